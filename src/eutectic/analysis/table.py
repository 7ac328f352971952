"""Evaluations as columns: read once, then compared cell by cell.

A cell is what is never pooled with anything else: a part (the role `acquired` or `unseen`; the benchmark itself where it has no role)
in one form (cloze, letter, greedy, constrained) of one split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eutectic.analysis.statistics import share_intervals
from eutectic.artifacts import ITEMS, SUMMARY, read_json, read_rows
from eutectic.errors import InputError
from eutectic.specs.rows import FORM_WORDS, ItemScore

PARTS = ("acquired", "unseen")
FORMS = tuple(FORM_WORDS)
Cell = tuple[str, str]  # part, label of form and prompt
Measure = Literal["score", "format_failure"]
Key = tuple[str, str]  # benchmark, item id


@dataclass(frozen=True)
class Scores:
    """One model's Evaluation. `cells` maps (part, form) to rows by (benchmark, item id), test split and dev split apart."""

    name: str
    cells: dict[Cell, dict[Key, ItemScore]]
    dev: dict[Cell, dict[Key, ItemScore]]
    equal_to: str = ""

    def merged(self, other: Scores) -> Scores:
        """Both sets of rows under this name: one model may be measured by several evaluations."""
        return Scores(self.name, _union(self.cells, other.cells), _union(self.dev, other.dev), self.equal_to or other.equal_to)


@dataclass(frozen=True)
class Aligned:
    """One cell of several models on the items all of them have: `groups` `[items]`, `scores` `[items, models]` in [0, 1].

    Where another measure was asked for, `scores` holds that one. `binomial`: every score is one right or wrong answer, not a mean over
    rotations that came out so, and every item its own group; only there do formulas for coin tosses hold.
    """

    keys: tuple[Key, ...]
    groups: NDArray[np.str_]
    scores: NDArray[np.float64]
    binomial: bool = False


def part(row: ItemScore) -> str:
    """The name a row is counted under: its role, else its benchmark."""
    return row.role or row.benchmark


def read_scores(folder: Path, name: str) -> Scores:
    """Read an Evaluation folder; raises `InputError` when rows or summary are missing or do not fit."""
    cells: dict[Cell, dict[Key, ItemScore]] = {}
    dev: dict[Cell, dict[Key, ItemScore]] = {}
    for row in read_rows(folder / ITEMS, ItemScore):
        side = cells if row.split == "test" else dev
        side.setdefault((part(row), row.label), {})[row.benchmark, row.id] = row
    summary = read_json(folder / SUMMARY) if (folder / SUMMARY).exists() else {}
    return Scores(name, cells, dev, str(summary.get("equal_to") or ""))


def on_dev(scores: Scores) -> Scores:
    """The same model on the items of the dev split."""
    return replace(scores, cells=scores.dev, dev={})


def cells_of(scores: Sequence[Scores]) -> list[Cell]:
    """Cells that every one has on the test split: in the order of forms, acquired before unseen before benchmarks without a role."""
    if not scores:
        return []
    shared = set.intersection(*(set(one.cells) for one in scores))
    return sorted(shared, key=cell_order)


def cell_order(cell: Cell) -> tuple[int, int, str]:
    """Sorting key of cells, see `cells_of`."""
    return FORMS.index(cell[1].partition(":")[0]), PARTS.index(cell[0]) if cell[0] in PARTS else len(PARTS), cell[0]


def align(scores: Sequence[Scores], cell: Cell, measure: Measure = "score") -> Aligned:
    """The test items of a cell that all models answered, in one order; raises `InputError` if they share none."""
    rows = [one.cells.get(cell, {}) for one in scores]
    keys = tuple(sorted(set.intersection(*(set(table) for table in rows))))
    if not keys:
        raise InputError(
            f"{', '.join(one.name for one in scores)} share no {cell[1]} item of {cell[0]}", remedy="Evaluate them on the same benchmarks."
        )
    values = np.array([[getattr(table[key], measure) for table in rows] for key in keys], dtype=float)
    groups = np.array([rows[0][key].group for key in keys])
    rotated = any(table[key].rotated for table in rows for key in keys)
    binomial = not rotated and len(set(groups)) == len(keys) and bool(np.isin(values, (0.0, 1.0)).all())
    return Aligned(keys, groups, values, binomial)


def _union(a: dict[Cell, dict[Key, ItemScore]], b: dict[Cell, dict[Key, ItemScore]]) -> dict[Cell, dict[Key, ItemScore]]:
    return {cell: {**a.get(cell, {}), **b.get(cell, {})} for cell in (*a, *(c for c in b if c not in a))}


def cell_intervals(folder: Path) -> dict[tuple[str, str, str, str], dict[str, float]]:
    """The 95 % interval (`low`, `high`) of the accuracy in each cell of an Evaluation, by benchmark, role, split and form."""
    members: dict[tuple[str, str, str, str], list[ItemScore]] = {}
    for row in read_rows(folder / ITEMS, ItemScore):
        members.setdefault((row.benchmark, row.role, row.split, row.label), []).append(row)
    return {key: _bounds(rows) for key, rows in members.items()}


def _bounds(rows: Sequence[ItemScore]) -> dict[str, float]:
    values = np.array([[row.score] for row in rows])
    groups = [row.group for row in rows]
    alone = len(set(groups)) == len(rows) and not any(row.rotated for row in rows) and bool(np.isin(values, (0.0, 1.0)).all())
    (found,) = share_intervals(values, groups, binomial=alone)
    return {"low": found.low, "high": found.high}
