"""What a change in words is made of, and how different the parents were.

**Knowledge or format.** A model that answers in words fails in two ways: it prefers a wrong option, or it does not answer in the asked-for
form. Beside each answer in words stands the option the model prefers by likelihood, which needs no form. Every item belongs to one of
four kinds by what changed from the best parent to the merge, and the changes in score over the four add up to the whole change exactly.

**Diversity of the parents** in outputs: disagreement, Yule's Q and Cohen's kappa of their errors (Kuncheva and Whitaker 2003, Machine
Learning 51:181, sections 2 and 3), each the mean over pairs of parents; in score: the mean over pairs of |P1 - P2|.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eutectic.analysis.statistics import Floats, mean_intervals
from eutectic.analysis.table import Cell, Scores, align

KINDS = ("knowledge", "format", "both", "neither")
KIND_WORDS = {
    "knowledge": "another option preferred, same format",
    "format": "format repaired or broken, same option",
    "both": "both changed",
    "neither": "neither: other words for the same option",
}


@dataclass(frozen=True)
class Share:
    """One kind of item: how many there are, how many turned right and wrong, and their part of the change with its 95 % interval."""

    kind: str
    items: int
    gained: float
    lost: float
    change: float
    low: float
    high: float


@dataclass(frozen=True)
class Split:
    """The change in words of a merge against `parent`, its best in this cell, over `n` items that were also weighed in the form `weighed`.

    `change` is the sum of the four `shares`' changes; `gained` and `lost` are summed scores over items.
    """

    part: str
    form: str
    weighed: str
    parent: str
    n: int
    merge_score: float
    parent_score: float
    shares: tuple[Share, ...]

    @property
    def change(self) -> float:
        """Merge minus parent, as a share."""
        return self.merge_score - self.parent_score

    def row(self) -> dict[str, Any]:
        """Plain JSON form, read back by `from_row`."""
        return {**asdict(self), "shares": [asdict(each) for each in self.shares]}


def from_row(row: dict[str, Any]) -> Split:
    """The split a JSON row describes."""
    return Split(**{**row, "shares": tuple(Share(**each) for each in row["shares"])})


def split(merge: Scores, parents: Sequence[Scores], cell: Cell, *, seed: int = 0) -> Split | None:
    """Split the change in words in a cell; None where it is not in words or its items were not also weighed by likelihood."""
    weighed = beside(cell, [merge, *parents])
    if weighed is None:
        return None
    keys = sorted(set.intersection(*(set(each.cells[which]) for each in (merge, *parents) for which in (cell, weighed))))
    if not keys:
        return None
    means = [float(np.mean([each.cells[cell][key].score for key in keys])) for each in parents]
    best = parents[int(np.argmax(means))]
    rows, others = [merge.cells[cell][key] for key in keys], [best.cells[cell][key] for key in keys]
    change = np.array([a.score - b.score for a, b in zip(rows, others, strict=True)])
    chose = np.array([merge.cells[weighed][key].choice != best.cells[weighed][key].choice for key in keys])
    form = np.array([a.format_failure != b.format_failure for a, b in zip(rows, others, strict=True)])
    shares = _shares(change, (chose & ~form, form & ~chose, chose & form, ~chose & ~form), [row.group for row in rows], seed)
    own = float(np.mean([row.score for row in rows]))
    return Split(*cell, weighed=weighed[1], parent=best.name, n=len(keys), merge_score=own, parent_score=max(means), shares=shares)


def _shares(change: Floats, masks: Sequence[np.ndarray], groups: Sequence[str], seed: int) -> tuple[Share, ...]:
    columns = np.column_stack([np.where(mask, change, 0.0) for mask in masks])
    intervals = mean_intervals(columns, groups, seed=seed)
    return tuple(
        Share(kind, int(mask.sum()), *_turned(column), each.estimate, each.low, each.high)
        for kind, mask, column, each in zip(KINDS, masks, columns.T, intervals, strict=True)
    )


def _turned(column: Floats) -> tuple[float, float]:
    """Score gained and score lost, both positive."""
    return float(column[column > 0].sum()), float(np.abs(column[column < 0]).sum())


def beside(cell: Cell, models: Sequence[Scores]) -> Cell | None:
    """The cell of a likelihood form that stands beside a cell in words: cloze with the same prompt, plain cloze, letters; None without."""
    form, _, prompt = cell[1].partition(":")
    if form != "greedy":
        return None
    named = [f"{name}:{prompt}" for name in ("cloze", "letter")] if prompt else []
    wanted = [*named[:1], "cloze", *named[1:], "letter"]
    return next(((cell[0], label) for label in wanted if all((cell[0], label) in each.cells for each in models)), None)


@dataclass(frozen=True)
class Diversity:
    """How different the parents of a merge are in one cell, as means over pairs of parents.

    `disagreement`: share of items that one has right and the other wrong. `q` and `kappa` are 1 for parents that err on the same items and
    0 for independent errors; None where one never errs or always does. `score` is |P1 - P2|.
    """

    part: str
    form: str
    n: int
    disagreement: float
    q: float | None
    kappa: float | None
    score: float

    def row(self) -> dict[str, Any]:
        """Plain JSON form: the fields by name."""
        return asdict(self)


def diversity(parents: Sequence[Scores], cell: Cell) -> Diversity | None:
    """Diversity of at least two parents in a cell; a score counts as right above one half."""
    if len(parents) < 2:
        return None
    scores = align(parents, cell).scores
    pairs = [(scores[:, a], scores[:, b]) for a, b in itertools.combinations(range(len(parents)), 2)]
    tables = [contingency(a > 0.5, b > 0.5) for a, b in pairs]
    return Diversity(
        *cell,
        n=len(scores),
        disagreement=float(np.mean([(one + other) / len(scores) for _, one, other, _ in tables])),
        q=_mean([yules_q(*each) for each in tables]),
        kappa=_mean([cohens_kappa(*each) for each in tables]),
        score=float(np.mean([abs(a.mean() - b.mean()) for a, b in pairs])),
    )


def contingency(a: np.ndarray, b: np.ndarray) -> tuple[int, int, int, int]:
    """Items that both have right, only `a`, only `b`, neither; `a` and `b` are true or false, `[items]`."""
    return int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum())


def yules_q(both: int, one: int, other: int, neither: int) -> float:
    """(N11 N00 - N10 N01) / (N11 N00 + N10 N01); NaN where both products are 0."""
    agree, differ = both * neither, one * other
    return (agree - differ) / (agree + differ) if agree + differ else math.nan


def cohens_kappa(both: int, one: int, other: int, neither: int) -> float:
    """Agreement beyond what the two shares give by chance (Cohen 1960); NaN where chance alone gives all."""
    n = both + one + other + neither
    a, b = (both + one) / n, (both + other) / n
    chance = a * b + (1 - a) * (1 - b)
    return ((both + neither) / n - chance) / (1 - chance) if chance < 1 else math.nan


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else None
