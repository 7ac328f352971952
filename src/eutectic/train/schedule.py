"""Learning-rate schedules."""

from __future__ import annotations

import math

from eutectic.specs.steps import TrainStep


def learning_rate(update: int, updates: int, spec: TrainStep) -> float:
    """Learning rate of update `update` (from 0): a linear rise over the warm-up, then the schedule down to 0.

    `warmup` below 1 is a share of the updates, from 1 on their number. Cosine (Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5 without
    restarts), linear, constant, or warm-up-stable-decay (Hu et al. 2024, arXiv 2404.06395, sec. 4): the peak, then a linear fall over the
    last `decay` share of all updates.
    """
    rising = min(updates, rising_updates(updates, spec))
    if update < rising:
        return spec.learning_rate * (update + 1) / rising
    passed = (update - rising) / max(1, updates - rising)
    match spec.schedule:
        case "cosine":
            return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * passed))
        case "linear":
            return spec.learning_rate * (1 - passed)
        case "constant":
            return spec.learning_rate
        case "wsd":
            return spec.learning_rate * min(1.0, (updates - update) / max(1, math.ceil(spec.decay * updates)))


def rising_updates(updates: int, spec: TrainStep) -> int:
    """Updates of the warm-up."""
    return math.ceil(spec.warmup * updates) if spec.warmup < 1 else round(spec.warmup)


def integral(updates: int, spec: TrainStep) -> float:
    """Sum of the learning rates of all updates: how far the weights may travel."""
    return math.fsum(learning_rate(update, updates, spec) for update in range(updates))
