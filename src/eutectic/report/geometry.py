"""Merge geometry: angles between the parents, which branch ran, and how far each merge is from the plain linear one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from eutectic.artifacts import TENSORS, iterate_rows
from eutectic.report import figures
from eutectic.report.blocks import Block, Figure, Figures, Section, Table, Text, Value, headed
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import TensorGeometry

LINEAR_ULPS = 2.0
Measured = tuple[StepView, list[TensorGeometry]]


def section(view: StudyView) -> Section:
    """Angles between the parents and how far each merge is from the plain linear one."""
    title = "Merge geometry"
    steps = [step for step in view.of("geometry") if step.readable is not None]
    if not steps:
        return Section("geometry", title)
    summaries = [(step, list(iterate_rows(step.readable / TENSORS, TensorGeometry))) for step in steps if step.readable]
    two = [(step, rows) for step, rows in summaries if any(len(row.norms) == 2 and row.layer is not None for row in rows)]
    panels: list[Figure] = []
    seen: set[tuple[float, ...]] = set()
    for step, rows in two:
        print_of_angles = tuple(round(row.angle, 9) for row in rows)  # merges of the same parents have the same angles: one panel
        if print_of_angles not in seen:
            seen.add(print_of_angles)
            panels.append(
                figures.lines(f"angle-{len(panels) + 1}", f"Parents of {step.address}", _angles(rows), labels=("layer", "angle, degrees"))
            )
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
    return {
        module: ([float(k) for k in sorted(layers)], [float(np.mean(layers[k])) for k in sorted(layers)])
        for module, layers in sorted(found.items())
    }


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
        rows.append((step.address, len(tensors), float(np.median(angles)), max(angles), distance, counted, mean, max(ulps)))
    return Table(
        "geometry",
        "Tensors of each merge: which branch ran, and how far the result is from linear in units of the output's last place.",
        columns,
        rows,
    )
