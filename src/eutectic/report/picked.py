"""Which merge does best against its best parent, and what that is worth: picked on dev and reported on test, or corrected for picking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eutectic.analysis import selection
from eutectic.analysis.compare import Comparison
from eutectic.analysis.statistics import Floats, Groups
from eutectic.analysis.synergy import cell_name, points
from eutectic.analysis.table import Cell, Scores, align, cell_order, on_dev
from eutectic.report.blocks import Table, Value, headed, interval
from eutectic.report.results import Results

CAPTION = (
    "The merge that does best against its best parent, in points, with 95 % intervals over items. Picked on dev, which shares no source "
    "with test, it is reported on test as it is. Where there are no dev items, picking and reporting share the items: the best of several "
    "looks better than it is, and the figure is corrected for that (bootstrap bias correction, docs/methods.md)."
)


@dataclass(frozen=True)
class Pick:
    """The best merge in a cell among `among`: its gain over its best parent where it was picked, and what is reported of it."""

    cell: Cell
    merge: str
    among: int
    on: str
    there: float
    gain: float
    low: float
    high: float


def picks(results: Results) -> list[Pick]:
    """One for each cell in which several merges are claims and have answered items in common."""
    claims: dict[Cell, dict[str, Comparison]] = {}
    made = {str(each["merge"]): [str(each["merge"]), *each["parents"]] for each in results.counted()}
    for merge, each in results.claims():
        if set(made[merge]) <= set(results.scores):
            claims.setdefault((each.part, each.form), {})[merge] = each
    found = []
    for cell in sorted(claims, key=cell_order):
        models = {merge: [results.scores[name] for name in made[merge]] for merge in claims[cell]}
        found.append(_picked(cell, models, claims[cell]) if len(models) > 1 else None)
    return [each for each in found if each is not None]


def _picked(cell: Cell, models: Mapping[str, Sequence[Scores]], claims: Mapping[str, Comparison]) -> Pick | None:
    names = list(models)
    if (dev := _gains([[*map(on_dev, of)] for of in models.values()], cell)) is not None:
        means = dev[0].mean(axis=0)
        test = claims[names[int(np.argmax(means))]]
        return Pick(cell, names[int(np.argmax(means))], len(names), "dev", float(means.max()), test.difference, test.low, test.high)
    if (shared := _gains([*models.values()], cell)) is None:
        return None
    found = selection.best(*shared)
    kept = found.corrected
    return Pick(cell, names[found.index], len(names), "test", found.apparent.estimate, kept.estimate, kept.low, kept.high)


def _gains(models: Sequence[Sequence[Scores]], cell: Cell) -> tuple[Floats, Groups] | None:
    """What the first of each list has over the best of its others, `[items, lists]`, on the items that all have; None without such."""
    if not set.intersection(*(set(each.cells.get(cell, ())) for of in models for each in of)):
        return None
    table = align([each for of in models for each in of], cell)
    columns, start = [], 0
    for of in models:
        own, others = table.scores[:, start], table.scores[:, start + 1 : start + len(of)]
        columns.append(own - others[:, np.argmax(others.mean(axis=0))])
        start += len(of)
    return np.stack(columns, axis=1), table.groups


def sentence(results: Results) -> str:
    """The picks as sentences, one for each part in the form that stands first; nothing where there are none."""
    first = {each.cell[0]: each for each in reversed(picks(results))}
    return "".join(f" {_told(each)}" for each in reversed(first.values()))


def _told(pick: Pick) -> str:
    reported = f"{points(pick.gain, sign=True)} points (95 % interval over items {points(pick.low, True)} to {points(pick.high, True)})"
    if pick.on == "dev":
        how = f"picked of {pick.among} on dev, stands on test at {reported} from its best parent"
    else:
        how = (
            f"which looks best of {pick.among} at {points(pick.there, sign=True)} points from its best parent, stands at {reported} once "
            "corrected for being picked on the items it is reported on"
        )
    return f"On {cell_name(*pick.cell)} this checkpoint of {pick.merge}, {how}."


def table(found: Sequence[Pick]) -> Table:
    """The picks, a row a cell."""
    columns = headed(
        "part",
        "scored by",
        "picked on",
        "merges|count",
        "merge|address",
        "there, points|points",
        "reported, points [95 % over items]|span",
        "gain|points",
        "low|points",
        "high|points",
    )
    rows: list[tuple[Value, ...]] = [
        (
            *each.cell,
            "dev" if each.on == "dev" else "test, corrected",
            each.among,
            each.merge,
            each.there,
            interval(each.gain, each.low, each.high, sign=True),
            each.gain,
            each.low,
            each.high,
        )
        for each in found
    ]
    return Table("picked", CAPTION, columns, rows, hidden=frozenset({"gain", "low", "high"}))
