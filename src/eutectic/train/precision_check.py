"""Whether a stage can move the weights that it publishes.

An Adam step moves a weight by about the learning rate at most, so that after all updates none is further than learning rate x updates
from where it was. Rounded to the published type it is back where it was unless that is half a unit in the last place (ulp).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from eutectic.models.checkpoint import Checkpoint, open_checkpoint
from eutectic.specs.steps import TrainStep

TENSORS, ELEMENTS = 16, 65_536  # of the sample: at most so many matrices, from the start of each


def warning(address: str, spec: TrainStep, updates: int, weight: float) -> str:
    """One sentence where most published weights cannot move, else nothing. `weight` is the median absolute weight of the start.

    Silent for adapters: their weights are made in float32 from two matrices that move, one of which starts at zero.
    """
    travel, half = spec.learning_rate * updates, half_ulp(weight, getattr(torch, spec.publish_dtype))
    if spec.lora is not None or travel >= half:
        return ""
    return (
        f"{address}: {updates:,} updates at a learning rate of at most {spec.learning_rate:.2g} move a weight by at most {travel:.2g}, "
        f"less than half a step of {spec.publish_dtype} ({half:.2g}) at the median weight {weight:.2g}, so most published weights would be "
        "those it started from: set `publish_dtype: float32`, or give it more updates or a higher learning rate."
    )


def half_ulp(value: float, dtype: torch.dtype) -> float:
    """Half the distance between neighbours of `dtype` at `value` (at its smallest normal number for anything below)."""
    kind = torch.finfo(dtype)
    _, exponent = math.frexp(max(abs(value), kind.tiny))  # value = fraction x 2^exponent, the fraction from 0.5 to 1
    return 0.5 * float(kind.eps) * 2.0 ** (exponent - 1)


def median_weight(folder: Path) -> float:
    """Median absolute weight of a sample of a model's matrices, spread over its depth."""
    checkpoint = open_checkpoint(folder)
    names = [name for name in checkpoint.names if len(checkpoint.shape(name)) > 1 and checkpoint.dtype(name).is_floating_point]
    chosen = names[:: max(1, len(names) // TENSORS)]
    return float(torch.cat([_beginning(checkpoint, name) for name in chosen]).abs().median())


def _beginning(checkpoint: Checkpoint, name: str) -> torch.Tensor:
    """The first elements of a tensor as float32."""
    into = torch.empty(min(ELEMENTS, checkpoint.place(name).elements), dtype=checkpoint.dtype(name))
    checkpoint.read(name, 0, into)
    return into.float()
