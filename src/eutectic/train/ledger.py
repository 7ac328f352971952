"""The ledger of a finished stage beside the counts of its plan (`outline`): what it spent, moved, and bought on held-out rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eutectic.artifacts import TRAIN
from eutectic.models.checkpoint import open_checkpoint
from eutectic.train import held_out
from eutectic.train.objectives import Objective


def spent(metrics: Path, tokens: int) -> dict[str, Any]:
    """Seconds of the whole run, kills included, and the rate."""
    lines = (json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines())
    seconds = [line["seconds"] for line in lines if "probe" not in line][-1]
    return {"seconds": seconds, "tokens_per_second": tokens / max(seconds, 1e-9)}


def unchanged_share(state: Mapping[str, Tensor], start: Path, dtype: torch.dtype) -> float:
    """Share of all weights that are the same number of the published type before and after."""
    checkpoint = open_checkpoint(start)
    same = total = 0
    for name in checkpoint.names:
        if name in state:
            old = checkpoint.tensor(name).to(dtype)
            same += int((old == state[name].cpu().to(dtype)).sum())
            total += old.numel()
    return same / total


def change(
    objective: Objective, dataset: Path, part: str, groups: Sequence[str], before: dict[str, Any], after: dict[str, Any], seed: int
) -> dict[str, Any]:
    """The figures of a held-out `part` of the dataset (a file of it) before and after; for pairs with baselines and a paired test."""
    found: dict[str, Any] = {"before": before, "after": after}
    if objective.pairs and groups:
        found["change"] = held_out.change(before["correct"], after["correct"], groups, seed)
        found["baselines"] = held_out.baselines(dataset / TRAIN, dataset / part)
    return found
