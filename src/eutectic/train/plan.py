"""The batch plan: which examples make each update, compiled and hashed before anything is trained.

Its digest covers every token that is read or learned and the order of it all, and nothing else: two arms with one digest read the same.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator
from collections.abc import Sequence as Several
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from eutectic.artifacts import LEDGER, Parents, optional, read_json
from eutectic.fingerprint import canonical_json, stream_seed
from eutectic.models.packing import Sequence
from eutectic.specs.steps import ReferenceStep

Spent = TypeVar("Spent", bound=ReferenceStep)


@dataclass(frozen=True)
class Plan:
    """`updates[u]` are the indices of the examples of update `u`, `epochs[u]` the epoch it belongs to (from 1)."""

    updates: tuple[tuple[int, ...], ...]
    epochs: tuple[int, ...]
    digest: str

    def last_of_epoch(self, update: int) -> bool:
        """Whether update `update` (from 0) ends its epoch."""
        return update + 1 == len(self.updates) or self.epochs[update + 1] != self.epochs[update]

    def used(self) -> list[int]:
        """The indices of all examples that some update reads, in order of first use."""
        return list(dict.fromkeys(itertools.chain.from_iterable(self.updates)))


def compile_plan(sequences: Several[Sequence], spec: ReferenceStep, *, pairs: bool) -> Plan:
    """Examples shuffled anew each epoch. An update takes `batch` pairs, or as many texts as fit into `batch` x `sequence` tokens.

    Updates do not cross epochs; the last one of an epoch may be smaller. The budget is `epochs` (a broken last epoch takes that share of
    the examples), `updates`, or `tokens`: the last update then takes no example more than it needs to reach them.
    """
    updates: list[tuple[int, ...]] = []
    epochs: list[int] = []
    left = spec.tokens if spec.tokens is not None else math.inf
    passes = (spec.epochs or 1.0) if spec.tokens is None and spec.updates is None else math.inf
    for epoch in itertools.count(1):
        if epoch >= passes + 1 or left <= 0 or len(updates) >= (spec.updates or math.inf):
            break
        order = _order(sequences, spec, epoch, min(1.0, passes - (epoch - 1)))
        order = list(_within(order, sequences, left))
        left -= sum(len(sequences[i]) for i in order)
        made = _pairs(order, spec.batch) if pairs else _texts(order, sequences, spec.batch * spec.sequence)
        updates += made
        epochs += [epoch] * len(made)
    if spec.updates is not None:
        updates, epochs = updates[: spec.updates], epochs[: spec.updates]
    return Plan(tuple(updates), tuple(epochs), _digest(sequences, updates))


def budgeted(spec: Spent, parents: Parents) -> Spent:
    """The spec with the budget of a token-matched arm: the tokens that the finished stage it controls has read, from its ledger."""
    matched = optional(parents, "matched")
    if matched is None:
        return spec
    tokens = read_json(matched.path / LEDGER)["tokens"]
    return spec.model_copy(update={"epochs": None, "updates": None, "tokens": float(tokens)})


def _order(sequences: Several[Sequence], spec: ReferenceStep, epoch: int, share: float) -> list[int]:
    order = list(range(len(sequences)))
    random.Random(stream_seed(spec.seed, f"order:{epoch}")).shuffle(order)  # noqa: S311 - an order, not a secret
    return order[: max(1, round(share * len(order)))]


def _within(order: list[int], sequences: Several[Sequence], tokens: float) -> Iterator[int]:
    """Examples until `tokens` are reached."""
    for index in order:
        if tokens <= 0:
            return
        tokens -= len(sequences[index])
        yield index


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


def _digest(sequences: Several[Sequence], updates: Several[tuple[int, ...]]) -> str:
    """SHA-256 over every token that is read or learned, and the order of it all."""
    hasher = hashlib.sha256(canonical_json(updates).encode())
    for item in sequences:
        hasher.update(canonical_json([item.id, item.tokens, item.branches, item.predictors, item.groups]).encode())
    return hasher.hexdigest()


def loss_tokens(item: Sequence, *, pairs: bool) -> int:
    """Tokens an example adds to the likelihood; of a pair the chosen answer's and, where it is learned, the prompt's."""
    return sum(group <= 1 for group in item.groups) if pairs else len(item.targets)


def write(file: Path, plan: Plan, sequences: Several[Sequence], *, pairs: bool) -> None:
    """The plan as JSON lines, one an update: epoch, ids of the examples, tokens read, tokens learned, pairs."""
    with file.open("w", encoding="utf-8") as stream:
        for number, (update, epoch) in enumerate(zip(plan.updates, plan.epochs, strict=True), 1):
            items = [sequences[i] for i in update]
            row = {
                "update": number,
                "epoch": epoch,
                "tokens": sum(map(len, items)),
                "loss_tokens": sum(loss_tokens(item, pairs=pairs) for item in items),
                "pairs": len(items) if pairs else 0,
                "ids": [item.id for item in items],
            }
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
