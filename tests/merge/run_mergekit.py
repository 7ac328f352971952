"""Run mergekit over many configurations in one process of the oracle environment: `run_mergekit.py JOBS.json`, a list of [config, out]."""

import json
import sys

import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions

with open(sys.argv[1], encoding="utf-8") as listed:  # noqa: PTH123 - the other environment's plain way
    jobs = json.load(listed)
for config, out in jobs:
    with open(config, encoding="utf-8") as stream:  # noqa: PTH123 - the other environment's plain way
        loaded = MergeConfiguration.model_validate(yaml.safe_load(stream))
    run_merge(loaded, out, MergeOptions(copy_tokenizer=False, quiet=True, device="cpu"))
