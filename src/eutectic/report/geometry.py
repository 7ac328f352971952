"""Merge geometry: angles between the parents, which branch ran, and how far each merge is from the plain linear one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from eutectic.artifacts import TENSORS, iterate_rows
from eutectic.report import figures
from eutectic.report.blocks import Block, Figure, Figures, Section, Table, Text, Value, headed
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import TensorGeometry

LINEAR_ULPS = 2.0
MOST_MAPS = 8
Measured = tuple[StepView, list[TensorGeometry]]
ANGLE, ULPS, SIGNS = "angle, degrees", "mean distance from linear, ulps", "elements whose signs disagree, %"
MAPS: tuple[tuple[Callable[[TensorGeometry], float], str, str], ...] = (
    (lambda row: math.degrees(row.angle), "Angle (degrees), parents of", ANGLE),
    (lambda row: row.ulps_mean, "Ulps from linear,", ULPS),
    (lambda row: 100 * row.sign_conflicts if len(row.norms) > 2 else 0.0, "Signs that disagree (%),", SIGNS),
)
LEAST = {ULPS: LINEAR_ULPS / 4}  # a merge all of whose cells lie below is linear, and its map shows rounding


def section(view: StudyView) -> Section:
    """Angles between the parents and how far each merge is from the plain linear one."""
    title = "Merge geometry"
    steps = [step for step in view.of("geometry") if step.readable is not None]
    if not steps:
        return Section("geometry", title)
    summaries = [(step, list(iterate_rows(step.readable / TENSORS, TensorGeometry))) for step in steps if step.readable]
    panels: list[Figure] = []
    seen: set[tuple[float, ...]] = set()
    for step, rows in summaries:
        angles = tuple(round(row.angle, 9) for row in rows)  # merges of the same parents have the same angles: drawn once
        for values, lead, unit in MAPS:
            drawn = {row.tensor: values(row) for row in rows if row.layer is not None}
            told = unit != ANGLE or angles not in seen
            if told and any(value > LEAST.get(unit, 0.0) for value in drawn.values()):
                panels.append(_map(f"map-{len(panels) + 1}", f"{lead} {step.address}", rows, drawn, unit))
        seen.add(angles)
    blocks: list[Block] = [Text(_linear_words(summaries))]
    if panels:
        blocks.append(Figures(panels[:MOST_MAPS], "Parents and merges by depth and kind of module: mean over the tensors of a cell."))
    blocks.append(_geometry_table(summaries))
    return Section("geometry", title, blocks)


def _map(name: str, title: str, rows: Sequence[TensorGeometry], values: Mapping[str, float], unit: str) -> Figure:
    """Mean values by module (rows) and layer (columns)."""
    cells: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row.layer is not None:
            cells.setdefault((row.module, row.layer), []).append(values[row.tensor])
    modules, layers = sorted({module for module, _ in cells}), sorted({layer for _, layer in cells})
    means = np.array([[np.mean(cells.get((module, layer), [math.nan])) for layer in layers] for module in modules])
    return figures.heat(name, title, modules, layers, means, labels=("layer", unit))


def _linear_words(summaries: Sequence[Measured]) -> str:
    """Which merges were linear all but in name."""
    far = {step.address: max((row.ulps_from_linear for row in rows), default=0.0) for step, rows in summaries}
    near = [name for name, ulps in far.items() if ulps <= LINEAR_ULPS]
    rest = {name: ulps for name, ulps in far.items() if ulps > LINEAR_ULPS}
    parts = []
    if near:
        same = f"Within {LINEAR_ULPS:.0f} output ulps of the linear merge with the same schedule, so the same model for every purpose"
        parts.append(f"{same}: {', '.join(near)}.")
    if rest:
        parts.append("Further from linear: " + ", ".join(f"{name} (up to {ulps:,.0f} ulps)" for name, ulps in rest.items()) + ".")
    return " ".join(parts)


def _geometry_table(summaries: Sequence[Measured]) -> Table:
    columns = headed(
        "merge",
        "tensors|count",
        "median angle, degrees|number",
        "largest angle, degrees|number",
        "median distance / norm|sci",
        "signs that disagree, %|percent",
        "branches",
        "mean ulps from linear|number",
        "largest ulps|number",
    )
    rows: list[tuple[Value, ...]] = []
    for step, tensors in summaries:
        angles = [math.degrees(row.angle) for row in tensors] or [0.0]
        branches = sorted({row.branch for row in tensors})
        counted = ", ".join(f"{branch} {sum(row.branch == branch for row in tensors)}" for branch in branches)
        ulps = [row.ulps_from_linear for row in tensors] or [0.0]
        distance = float(np.median([row.relative_distance for row in tensors] or [0.0]))
        mean = float(np.mean([row.ulps_mean for row in tensors] or [0.0]))
        signs = float(np.mean([row.sign_conflicts for row in tensors] or [0.0]))
        rows.append((step.address, len(tensors), float(np.median(angles)), max(angles), distance, signs, counted, mean, max(ulps)))
    return Table(
        "geometry",
        "Tensors of each merge: which branch ran, and how far the result is from linear in units of the output's last place.",
        columns,
        rows,
    )
