"""The ledger of a finished stage: what was read, learned and spent, and what held-out rows say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eutectic.artifacts import HELD_OUT, METRICS, TRAIN
from eutectic.models.checkpoint import open_checkpoint
from eutectic.train import held_out
from eutectic.train.examples import Examples
from eutectic.train.loop import Run
from eutectic.train.objectives import Objective


def count(run: Run, examples: Examples) -> dict[str, Any]:
    """Tokens, pairs, updates and seconds, from the metrics of the whole run."""
    lines = [json.loads(line) for line in (run.saves.out / METRICS).read_text(encoding="utf-8").splitlines()]
    rows = [line for line in lines if "probe" not in line]
    used = sum(len(update) for update in run.plan.updates)
    return {
        "tokens": rows[-1]["tokens"],
        "loss_tokens": sum(row["loss_tokens"] for row in rows),
        "pairs": used if run.objective.pairs else 0,
        "updates": len(rows),
        "examples": used,
        "rows": examples.rows,
        "cut_rows": examples.cut_rows,
        "cut_tokens": examples.cut_tokens,
        "learning_rate_integral": sum(row["learning_rate"] for row in rows),
        "seconds": rows[-1]["seconds"],
        "tokens_per_second": rows[-1]["tokens"] / max(rows[-1]["seconds"], 1e-9),
        "plan": run.plan.digest,
    }


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


def held_out_change(
    objective: Objective, dataset: Path, unseen: Examples, before: dict[str, Any], after: dict[str, Any], seed: int
) -> dict[str, Any]:
    """The held-out figures before and after; for pairs with baselines and a paired test."""
    found: dict[str, Any] = {"before": before, "after": after}
    if objective.pairs and unseen.sequences:
        found["change"] = held_out.change(before["correct"], after["correct"], unseen.groups, seed)
        found["baselines"] = held_out.baselines(dataset / TRAIN, dataset / HELD_OUT)
    return found
