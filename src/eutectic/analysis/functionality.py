"""New functionality: items a merge reliably gets right and every parent reliably gets wrong, against the number expected by chance.

A few such items always turn up: any two models that err differently have some. How many is learned from models that bring nothing new.
Each parent in turn plays the merge's role: items it has right, and the merge and all other parents wrong. A merge that is only another
draw of a parent is exchangeable with it, so the two counts differ by chance alone. The plain reverse (merge wrong, all parents right)
is no such mirror: where the parents differ in strength, or the merge lies between them, it has another expectation.

The claim is as sure as its weakest part: the expected number is the largest of the parents' counts, the p-value the largest of the
parents' (intersection-union, Berger 1982). Against the mean of the counts a mere copy of the stronger parent would pass. In a study with
several seeds, the same models trained with another seed play the merge's role too (the reseeded null).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eutectic.analysis.statistics import Floats, Groups, mean_intervals, sign_flip
from eutectic.analysis.table import Cell, Scores, align
from eutectic.specs.rows import ItemScore

SURE_MARGIN = 0.5  # nats between the two best options from which one order of the options counts as reliable


@dataclass(frozen=True)
class Novelty:
    """New functionality of one merge in one cell, over `n` items in `clusters` clusters.

    `count` items (`items`, as benchmark and id) are new in the merge. `parents` holds how many are in each stand-in for it, by name;
    `expected` is the largest of them. `excess` is the smallest difference in items, from `low` to `high` (95 %, cluster bootstrap, for
    whichever is the largest); `p` is one-sided: more than chance.
    """

    part: str
    form: str
    n: int
    clusters: int
    count: int
    expected: int
    excess: int
    low: float
    high: float
    p: float
    parents: dict[str, int]
    items: tuple[tuple[str, str], ...] = ()

    def row(self) -> dict[str, Any]:
        """Plain JSON form, read back by `from_row`."""
        return {**asdict(self), "items": [list(key) for key in self.items]}


def from_row(row: dict[str, Any]) -> Novelty:
    """The finding a JSON row describes."""
    return Novelty(**{**row, "items": tuple((str(benchmark), str(item)) for benchmark, item in row["items"])})


def reliable(row: ItemScore) -> int:
    """1 where a model is reliably right on an item, -1 where reliably wrong, else 0.

    Over several orders of the options: right (wrong) in every one. In one order: by a margin above `SURE_MARGIN`; an answer in words has
    no margin, and nothing is known about how reliable it is.
    """
    if row.score not in (0.0, 1.0):
        return 0
    if len(row.rotated) < 2 and (row.margin is None or row.margin <= SURE_MARGIN):
        return 0
    return 1 if row.score else -1


def find(merge: Scores, parents: Sequence[Scores], cell: Cell, *, seed: int = 0) -> Novelty | None:
    """New functionality of a merge against its parents in a cell; None where the form says nothing about reliability."""
    table = align([merge, *parents], cell)
    sure = certainty([merge, *parents], cell, table.keys)
    if not sure.any():
        return None
    counts = {each.name: column for each, column in zip(parents, range(1, 1 + len(parents)), strict=True)}
    return against(
        alone(sure, 0), {name: alone(sure, column) for name, column in counts.items()}, table.groups, cell, table.keys, seed=seed
    )


def reseeded(merge: Scores, parents: Sequence[Scores], others: Sequence[Scores], cell: Cell, *, seed: int = 0) -> Novelty | None:
    """The same with `others`, models of the parents' recipe from other training seeds, in the merge's place before the same parents."""
    table = align([merge, *parents, *others], cell)
    sure = certainty([merge, *parents, *others], cell, table.keys)
    wrong = (sure[:, 1 : 1 + len(parents)] < 0).all(axis=1)
    if not sure.any() or not others:
        return None
    stand_ins = {each.name: (sure[:, 1 + len(parents) + place] > 0) & wrong for place, each in enumerate(others)}
    return against((sure[:, 0] > 0) & wrong, stand_ins, table.groups, cell, table.keys, seed=seed)


def certainty(models: Sequence[Scores], cell: Cell, keys: Sequence[tuple[str, str]]) -> np.ndarray:
    """`reliable` of every item in every model `[items, models]`."""
    return np.array([[reliable(model.cells[cell][key]) for model in models] for key in keys])


def alone(sure: np.ndarray, column: int) -> np.ndarray:
    """Items `[items]` that one model has reliably right and all others reliably wrong, from `sure` `[items, models]`."""
    others = np.delete(sure, column, axis=1)
    return np.asarray((sure[:, column] > 0) & (others < 0).all(axis=1))


def against(
    own: np.ndarray, others: dict[str, np.ndarray], groups: Groups, cell: Cell, keys: Sequence[tuple[str, str]], *, seed: int = 0
) -> Novelty:
    """Items that are new in the merge (`own` `[items]`, true or false) against those that are in each of the `others`.

    Where merge and other are exchangeable, swapping them in a cluster turns the sign of its difference: sign flips over clusters.
    """
    differences: Floats = own[:, None].astype(float) - np.column_stack([*others.values()])
    intervals = mean_intervals(differences, groups, seed=seed)
    wide = mean_intervals(differences, groups, level=1 - 0.05 / len(others), seed=seed)
    counts = {name: int(column.sum()) for name, column in others.items()}
    n = len(own)
    return Novelty(
        *cell,
        n=n,
        clusters=intervals[0].clusters,
        count=int(own.sum()),
        expected=max(counts.values()),
        excess=int(own.sum()) - max(counts.values()),
        low=n * min(each.low for each in intervals),
        high=n * min(each.high for each in wide),
        p=max(sign_flip(column, groups, alternative="greater", seed=seed) for column in differences.T),
        parents=counts,
        items=tuple(key for key, new in zip(keys, own, strict=True) if new),
    )
