"""The merges of a study as rows for `analysis.patterns`: scores and parents' scores from the synergies, recipes from the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eutectic.analysis.patterns import Merged
from eutectic.analysis.table import Cell
from eutectic.artifacts import SUMMARY, read_json
from eutectic.report.results import Results
from eutectic.report.view import EPOCH, STARTS, StudyView
from eutectic.specs.steps import TrainStep


def merges(view: StudyView, results: Results, cell: Cell) -> list[Merged]:
    """Every merge of two models or more that was measured in a cell with all its parents; equal ones once."""
    found = []
    for each in results.counted():
        shares = {row["name"]: float(row["accuracy"]) for row in each["scores"] if (row["part"], row["form"]) == cell}
        if len(each["parents"]) > 1 and {each["merge"], *each["parents"]} <= set(shares):
            found.append((str(each["merge"]), shares[each["merge"]], tuple(shares[name] for name in each["parents"])))
    columns = features(view, [name for name, *_ in found])
    return [Merged(*row, columns[row[0]]) for row in found]


def features(view: StudyView, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """What the parents of each merge were trained by and from: 1 or 0 for every objective and start.

    A column that is the same for all, or says what an earlier one says, is left out.
    """
    made = {name: recipe(view, name) for name in names}
    columns: dict[str, tuple[float, ...]] = {}
    for label in sorted({label for labels in made.values() for label in labels}):
        column = tuple(float(label in made[name]) for name in names)
        opposite = tuple(1 - value for value in column)
        if len(set(column)) > 1 and not {column, opposite} & set(columns.values()):
            columns[label] = column
    return {name: {label: column[place] for label, column in columns.items()} for place, name in enumerate(names)}


def recipe(view: StudyView, address: str) -> frozenset[str]:
    """Objectives of all stages behind a model, and the starts of what was trained: `SFT`, `from base`."""
    step = view.model(address)
    if step is None or step.kind in STARTS:
        return frozenset()
    found: set[str] = set()
    for role in ("model", "models", "base"):
        for parent in step.parents.get(role, ()):
            found |= recipe(view, parent)
            start = view.model(parent)
            if step.kind == "train" and start is not None and start.kind in STARTS:
                found.add(f"from {parent}")
    if isinstance(step.spec, TrainStep):
        found.add(step.spec.objective.upper())
    return frozenset(found)


def epochs(view: StudyView, results: Results, cell: Cell) -> dict[str, tuple[list[int], list[float]]]:
    """Epochs and scores of every chain, and merge of one, that was measured after two epochs or more; controls are left out.

    The last epoch is the stage's own result, and its address with an epoch an alias.
    """
    names: dict[str, list[str]] = {}
    for alias, address in view.aliases.items():
        names.setdefault(address, []).append(alias)
    controls, series = view.controls(), dict[str, dict[int, float]]()
    for each in results.accuracies[cell]:
        for name in (each.model, *names.get(each.model, ())):
            if each.model not in controls and (epoch := EPOCH.search(name)):
                series.setdefault(EPOCH.sub("", name), {})[int(epoch.group()[1:])] = each.interval.estimate
    kept = {name: sorted(shares.items()) for name, shares in series.items() if len(shares) > 1}
    return {name: ([epoch for epoch, _ in shares], [share for _, share in shares]) for name, shares in kept.items()}


def geometries(view: StudyView) -> dict[str, Mapping[str, Any]]:
    """The summary of the geometry between its parents for every merge, where it was measured for a merge of the same parents."""
    measured = {
        _parents(view, step.address): read_json(step.readable / SUMMARY) for step in view.of("geometry") if step.readable is not None
    }
    return {step.address: measured[key] for step in view.of("merge", "winner") if (key := _parents(view, step.address)) in measured}


def _parents(view: StudyView, merge: str) -> tuple[tuple[str, ...], ...]:
    step = view.find(merge, "merge", "winner")
    return tuple(step.parents.get(role, ()) for role in ("base", "models")) if step is not None else ()
