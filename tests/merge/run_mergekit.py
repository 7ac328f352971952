"""Run mergekit over many configurations in one process of the oracle environment: `run_mergekit.py JOBS.json [mask]`, a list of [config, out].

With `mask`, what is drawn at random is the same for every tensor of a size: element i stays where frac(i * 2654435769 / 2^32) < p.
"""

import json
import sys

import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions


def masked(p: torch.Tensor) -> torch.Tensor:
    """What stands in for `torch.bernoulli`."""
    drawn = (torch.arange(p.numel(), dtype=torch.int64) * 2654435769 % 2**32).double() / 2**32
    return (drawn.view_as(p) < p.double()).to(p.dtype)


if sys.argv[2:] == ["mask"]:
    torch.bernoulli = masked
with open(sys.argv[1], encoding="utf-8") as listed:  # noqa: PTH123 - the other environment's plain way
    jobs = json.load(listed)
for config, out in jobs:
    with open(config, encoding="utf-8") as stream:  # noqa: PTH123 - the other environment's plain way
        loaded = MergeConfiguration.model_validate(yaml.safe_load(stream))
    run_merge(loaded, out, MergeOptions(copy_tokenizer=False, quiet=True, device="cpu"))
