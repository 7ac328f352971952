"""Merges: against the best parent, the mean of the parents and the controls; along a coefficient; and what the merge did to the tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eutectic.analysis.compare import Comparison, from_row
from eutectic.analysis.synergy import CONTROL_NAMES, across
from eutectic.analysis.table import Cell, cell_order
from eutectic.artifacts import SUMMARY, TENSORS, iterate_rows, read_json
from eutectic.report import figures
from eutectic.report.accuracy import cell_title
from eutectic.report.blocks import Block, Card, Cards, Column, Figures, Section, Table, Text, Value, interval
from eutectic.report.results import Results
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import TensorGeometry
from eutectic.specs.steps import MergeStep

LINEAR_ULPS = 2.0


def section(view: StudyView, results: Results) -> Section:
    """Every merge with its verdict, its paired tests and what they could have seen."""
    if not results.synergies:
        return Section("merges", "Merges against parents and controls")
    blocks: list[Block] = [Figures(forests(results), FOREST_CAPTION), _verdicts(results), _comparisons(results)]
    if panels := sweeps(view, results):
        blocks.append(Figures(panels, "Accuracy along the merge coefficient, with 95 % intervals. The ends (square, circle) are the parents."))
    return Section("merges", "Merges against parents and controls", blocks)


FOREST_CAPTION = (
    "Each merge minus its best parent, test split, with 95 % intervals that hold for the best parent whichever it is. Filled: a difference is shown after Holm over all of them; open: not shown. The grey band is what this "
    "comparison could not have seen reliably (80 % power, at the level that is left when all these comparisons are taken together)."
)


def forests(results: Results) -> list[figures.Figure]:
    """One panel a cell: the difference to the best parent of every merge."""
    best = across(results.synergies)
    panels = []
    for number, cell in enumerate(sorted({(each.part, each.form) for _, each in best}, key=cell_order), 1):
        rows = [
            figures.Dot(merge, each.difference, each.low, each.high, "merge", each.detectable, each.outcome != "none")
            for merge, each in best
            if (each.part, each.form) == cell
        ]
        widest = max(max(abs(one.low), abs(one.high), one.detectable) for _, one in best if one.form == cell[1])
        limits = (-1.05 * widest, 1.05 * widest)
        panels.append(figures.dots(f"merge-{number}", cell_title(cell), rows, limits=limits, unit="points above the best parent", zero=True))
    return panels


def _verdicts(results: Results) -> Cards:
    cards = []
    for each in results.synergies:
        equal = [f"{control['name']} (equal to {control['equal_to']})" for control in each["controls"] if control["equal_to"]]
        note = f"of {', '.join(each['parents'])}; {each['family']} tests in the family"
        folded = [("Counted as one", f"Within two output ulps of the merge, so not tested: {', '.join(equal)}.")] if equal else []
        cards.append(Card(each["merge"], each["verdict"], note, folded))
    return Cards("What the tests say", cards)


def _comparisons(results: Results) -> Table:
    columns = [
        Column("merge"), Column("part"), Column("scored by"), Column("against", "address"), Column("which"), Column("items", "count"),
        Column("groups", "count"), Column("merge, %", "percent"), Column("other, %", "percent"), Column("difference, points [95 %]", "span"),
        Column("difference", "points"), Column("low", "points"), Column("high", "points"), Column("differ on, %", "percent"), Column("p", "p"), Column("p (Holm)", "p"),
        Column("seen from, points", "percent"), Column("p (McNemar)", "p"), Column("outcome"),
    ]  # fmt: skip
    rows: list[tuple[Value, ...]] = []
    marks: list[str] = []
    for each in results.synergies:
        for one in map(from_row, each["comparisons"]):
            rows.append(_comparison(each["merge"], one))
            marks.append(one.outcome)
    caption = "Paired comparisons of every merge, test split. Seen from: the smallest difference shown four times in five at the level the family leaves. " \
        "McNemar ignores groups and families and is given for reference only."  # fmt: skip
    return Table("merges", caption, columns, rows, marks=marks, folded=True, hidden=frozenset({"p (McNemar)", "groups", "difference", "low", "high"}))


def _comparison(merge: str, one: Comparison) -> tuple[Value, ...]:
    head = (merge, one.part, one.form, CONTROL_NAMES.get(one.against, one.against), ", ".join(one.names), one.n, one.clusters, one.accuracy)
    if one.equal:
        return (*head, one.reference, *[None] * 9, f"equal to {one.equal}")
    words = {"gain": "above", "loss": "below", "none": "not shown"}[one.outcome]
    return (
        *head, one.reference, interval(one.difference, one.low, one.high, sign=True), one.difference, one.low, one.high, one.discordance, one.p, one.p_adjusted, one.detectable, one.mcnemar, words,
    )  # fmt: skip


def sweeps(view: StudyView, results: Results) -> list[figures.Figure]:
    """Accuracy against a swept coefficient t, for merges that differ in it alone; the parents are its ends."""
    series: dict[str, list[tuple[float, StepView]]] = {}
    for step in view.of("merge"):
        name, comma, value = step.address.rpartition(",t=")
        if comma and step.address in results.scores:
            series.setdefault(name, []).append((float(value), step))
    panels = []
    for name, points in series.items():
        for cell in results.accuracies:
            rows = _along(points, cell, results)
            if len(points) > 1 and len(rows) > 2:
                panels.append(figures.sweep(f"sweep-{len(panels) + 1}", f"{name}: {cell_title(cell).lower()}", rows, labels=("t", "accuracy, %")))
    return panels


def _along(points: Sequence[tuple[float, StepView]], cell: Cell, results: Results) -> list[tuple[float, figures.Dot]]:
    """Points of a sweep in one cell; with a base, t = 0 is the base and t = 1 the model (linear and slerp)."""
    parents = points[0][1].parents
    ends = [(0.0, *parents.get("base", ())), (1.0, *parents.get("models", ()))]
    spec = points[0][1].spec
    exact = isinstance(spec, MergeStep) and spec.method in ("linear", "slerp") and all(len(end) == 2 for end in ends)
    places = [(t, step.address) for t, step in points] + ([(end[0], str(end[1])) for end in ends] if exact else [])
    rows = []
    for t, address in sorted(places):
        if (found := results.accuracy(address, cell)) is not None:
            rows.append((t, figures.Dot(address, found.interval.estimate, found.interval.low, found.interval.high, found.family)))
    return rows


def geometry(view: StudyView) -> Section:
    """Angles between the parents and how far each merge is from the plain linear one."""
    title = "Merge geometry"
    steps = [step for step in view.of("geometry") if step.readable is not None]
    if not steps:
        return Section("geometry", title)
    summaries = [(step, read_json(step.readable / SUMMARY), list(iterate_rows(step.readable / TENSORS, TensorGeometry))) for step in steps if step.readable]
    two = [(step, rows) for step, _, rows in summaries if any(len(row.norms) == 2 and row.layer is not None for row in rows)]
    panels, seen = [], set[tuple[float, ...]]()
    for step, rows in two:
        print_of_angles = tuple(round(row.angle, 9) for row in rows)  # merges of the same parents have the same angles: one panel
        if print_of_angles not in seen:
            seen.add(print_of_angles)
            panels.append(figures.lines(f"angle-{len(panels) + 1}", f"Parents of {step.address}", _angles(rows), labels=("layer", "angle, degrees")))
    blocks: list[Block] = [Text(_linear_words(summaries))]
    if panels:
        blocks.append(Figures(panels[:6], "Angle between the parents' tensors by depth: mean over the tensors of a module."))
    blocks.append(_geometry_table(summaries))
    return Section("geometry", title, blocks)


def _angles(rows: Sequence[TensorGeometry]) -> dict[str, tuple[list[float], list[float]]]:
    """Mean angle in degrees by layer for each module."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if row.layer is not None:
            found.setdefault(row.module, {}).setdefault(row.layer, []).append(math.degrees(row.angle))
    return {module: ([float(k) for k in sorted(layers)], [float(np.mean(layers[k])) for k in sorted(layers)]) for module, layers in sorted(found.items())}


def _linear_words(summaries: Sequence[tuple[StepView, Mapping[str, Any], Sequence[TensorGeometry]]]) -> str:
    """Which merges were linear all but in name."""
    far = {step.address: max((row.ulps_from_linear for row in rows), default=0.0) for step, _, rows in summaries}
    near = [name for name, ulps in far.items() if ulps <= LINEAR_ULPS]
    rest = {name: ulps for name, ulps in far.items() if ulps > LINEAR_ULPS}
    parts = []
    if near:
        parts.append(f"Within {LINEAR_ULPS:.0f} output ulps of the linear merge with the same schedule, so the same model for every purpose: {', '.join(near)}.")
    if rest:
        parts.append("Further from linear: " + ", ".join(f"{name} (up to {ulps:,.0f} ulps)" for name, ulps in rest.items()) + ".")
    return " ".join(parts)


def _geometry_table(summaries: Sequence[tuple[StepView, Mapping[str, Any], Sequence[TensorGeometry]]]) -> Table:
    columns = [
        Column("merge"), Column("tensors", "count"), Column("median angle, degrees", "number"), Column("largest angle, degrees", "number"),
        Column("median distance / norm", "sci"), Column("branches"), Column("mean ulps from linear", "number"), Column("largest ulps", "number"),
    ]  # fmt: skip
    rows: list[tuple[Value, ...]] = []
    for step, _, tensors in summaries:
        angles = [math.degrees(row.angle) for row in tensors] or [0.0]
        branches = sorted({row.branch for row in tensors})
        counted = ", ".join(f"{branch} {sum(row.branch == branch for row in tensors)}" for branch in branches)
        ulps = [row.ulps_from_linear for row in tensors] or [0.0]
        distance = float(np.median([row.relative_distance for row in tensors] or [0.0]))
        mean = float(np.mean([row.ulps_mean for row in tensors] or [0.0]))
        rows.append((step.address, len(tensors), float(np.median(angles)), max(angles), distance, counted, mean, max(ulps)))
    return Table("geometry", "Tensors of each merge: which branch ran, and how far the result is from linear in units of the output's last place.", columns, rows)
