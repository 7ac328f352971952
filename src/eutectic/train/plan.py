"""The batch plan: which examples make each update, compiled and hashed before anything is trained."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence as Several
from dataclasses import dataclass

from eutectic.fingerprint import canonical_json, stream_seed
from eutectic.models.packing import Sequence
from eutectic.specs.steps import TrainStep
from eutectic.train.objectives import Objective, Update


@dataclass(frozen=True)
class Plan:
    """`updates[u]` are the indices of the examples of update `u`, `epochs[u]` the epoch it belongs to (from 1)."""

    updates: tuple[tuple[int, ...], ...]
    epochs: tuple[int, ...]
    digest: str

    def last_of_epoch(self, update: int) -> bool:
        """Whether update `update` (from 0) ends its epoch."""
        return update + 1 == len(self.updates) or self.epochs[update + 1] != self.epochs[update]


def compile_plan(sequences: Several[Sequence], objective: Objective, spec: TrainStep) -> Plan:
    """Examples shuffled anew each epoch. An update takes `batch` pairs, or as many texts as fit into `batch` x `sequence` tokens.

    Updates do not cross epochs; the last one of an epoch may be smaller. A broken last epoch takes that share of the examples.
    """
    updates: list[tuple[int, ...]] = []
    epochs: list[int] = []
    for epoch in range(1, math.ceil(spec.epochs) + 1):
        order = list(range(len(sequences)))
        random.Random(stream_seed(spec.seed, f"order:{epoch}")).shuffle(order)  # noqa: S311 - an order, not a secret
        share = min(1.0, spec.epochs - (epoch - 1))
        order = order[: max(1, round(share * len(order)))]
        made = _pairs(order, spec.batch) if objective.pairs else _texts(order, sequences, spec.batch * spec.sequence)
        updates += made
        epochs += [epoch] * len(made)
    return Plan(tuple(updates), tuple(epochs), _digest(sequences, updates, spec))


def _pairs(order: list[int], batch: int) -> list[tuple[int, ...]]:
    return [tuple(order[start : start + batch]) for start in range(0, len(order), batch)]


def _texts(order: list[int], sequences: Several[Sequence], tokens: int) -> list[tuple[int, ...]]:
    """Consecutive examples of at most `tokens` tokens together, at least one."""
    made: list[list[int]] = []
    filled = tokens
    for index in order:
        if filled + len(sequences[index]) > tokens:
            made.append([])
            filled = 0
        made[-1].append(index)
        filled += len(sequences[index])
    return [tuple(update) for update in made]


def _digest(sequences: Several[Sequence], updates: list[tuple[int, ...]], spec: TrainStep) -> str:
    """SHA-256 over the settings, every token that is read or learned, and the order of it all."""
    hasher = hashlib.sha256(canonical_json({"spec": spec.identity(), "updates": updates}).encode())
    for item in sequences:
        hasher.update(canonical_json([item.id, item.tokens, item.branches, item.predictors, item.groups]).encode())
    return hasher.hexdigest()


def totals(sequences: Several[Sequence], objective: Objective, numbers: dict[str, float]) -> Update:
    """What the losses of one update are divided by. Of a pair only the chosen answer's tokens count as learned."""
    tokens = sum(sum(group == 1 for group in item.groups) if objective.pairs else len(item.targets) for item in sequences)
    return Update(loss_tokens=tokens, pairs=len(sequences) if objective.pairs else 0, numbers=numbers)


def learning_rate(update: int, updates: int, spec: TrainStep) -> float:
    """Learning rate of update `update` (from 0): a linear rise over the first `warmup` share, then the schedule down to 0.

    Cosine (Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5 without restarts), linear, or constant.
    """
    rising = math.ceil(spec.warmup * updates)
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
