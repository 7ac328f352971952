"""What a merge's Synergy says beyond accuracy: new functionality, knowledge or format, and how different the parents were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from eutectic.analysis import effects, functionality
from eutectic.analysis.table import Cell, Scores


def accuracy(merge: Scores, parents: Sequence[Scores], cells: Iterable[Cell], *, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """JSON rows by key of the summary, a row for each cell that has an answer. These are described, and belong to no family of tests."""
    rows: dict[str, list[dict[str, Any]]] = {"functionality": [], "formats": [], "diversity": []}
    for cell in cells:
        found = {
            "functionality": functionality.find(merge, parents, cell, seed=seed),
            "formats": effects.split(merge, parents, cell, seed=seed),
            "diversity": effects.diversity(parents, cell),
        }
        for key, each in found.items():
            if each is not None:
                rows[key].append(each.row())
    return rows
