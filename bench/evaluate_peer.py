"""The peer's side of `bench/evaluate.py`, in its own environment: `evaluate_peer.py JOB.json` writes `found.json` beside it."""

import json
import resource
import sys
import time
from pathlib import Path

import torch

job_file = Path(sys.argv[1])
job = json.loads(job_file.read_text())
torch.set_num_threads(job["threads"])
clock = time.process_time if job["clock"] == "cpu" else time.monotonic


def read(task: str) -> list[dict]:
    return json.loads((Path(job["data"]) / f"{task}.json").read_text())


def weigh() -> dict:
    """`HFLM.loglikelihood`; with `counted: all` its loading counts too, as for every written checkpoint."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    rows = read(job["task"])
    begun = clock()
    lm = HFLM(pretrained=job["model"], dtype=job["dtype"], device="cpu", batch_size=job["batch"])
    loaded = clock() - begun

    def ask(some: list[dict]) -> list[float]:
        pairs = [(row["question"], f" {option}") for row in some for option in row["options"]]
        requests = [Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=n) for n, pair in enumerate(pairs)]
        return [value for value, _ in lm.loglikelihood(requests, disable_tqdm=True)]

    ask(rows[:2])
    begun = clock()
    flat = iter(ask(rows))
    seconds = clock() - begun
    found = [[next(flat) for _ in row["options"]] for row in rows]
    return {"seconds": seconds + (loaded if job.get("counted") == "all" else 0.0), "log_likelihoods": found}


def write() -> dict:
    """transformers' `generate`, prompts sorted by length and padded on the left."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    asked = [
        tokenizer.apply_chat_template([{"role": "user", "content": row["question"]}], add_generation_prompt=True, return_dict=False)
        for row in read("plain")[:64]
    ]
    order = sorted(range(len(asked)), key=lambda n: -len(asked[n]))
    answers, tokens = [""] * len(asked), 0
    model.generate(torch.tensor([asked[0]]), max_new_tokens=4, do_sample=False)
    begun = clock()
    for start in range(0, len(order), job["batch"]):
        chosen = order[start : start + job["batch"]]
        padded = tokenizer.pad({"input_ids": [asked[n] for n in chosen]}, return_tensors="pt")
        out = model.generate(**padded, max_new_tokens=32, do_sample=False)[:, padded["input_ids"].shape[1] :]
        for n, row in zip(chosen, out.tolist(), strict=True):
            end = next((place + 1 for place, token in enumerate(row) if token == tokenizer.eos_token_id), len(row))
            tokens += end
            answers[n] = tokenizer.decode(row[:end], skip_special_tokens=True)
    return {"rate": tokens / (clock() - begun), "answers": answers}


with torch.inference_mode():
    found = {"weigh": weigh, "write": write}[job["do"]]()
found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
(job_file.parent / "found.json").write_text(json.dumps(found))
