"""Log-likelihoods of lm-evaluation-harness, in its own environment: `run_harness.py JOB.json` writes `found.json` beside it.

The job holds `models` (name -> folder) and `requests` (name -> pairs of context and continuation); found is, for each name, one list a batch size.
"""

import json
import sys
from pathlib import Path

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

file = Path(sys.argv[1])
job = json.loads(file.read_text(encoding="utf-8"))
torch.set_num_threads(1)
found = {}
for name, folder in job["models"].items():
    requests = [Instance("loglikelihood", {}, tuple(pair), number) for number, pair in enumerate(job["requests"][name])]
    found[name] = []
    for size in (1, 8):
        model = HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=size)
        found[name].append([value for value, _ in model.loglikelihood(requests, disable_tqdm=True)])
file.with_name("found.json").write_text(json.dumps(found), encoding="utf-8")
