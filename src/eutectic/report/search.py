"""Merge search: what both searchers tried, what each found, and the winner's dev score apart from its test score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from eutectic.analysis.statistics import Interval
from eutectic.artifacts import POINTS, SUMMARY, read_json, read_rows
from eutectic.report.blocks import Block, Figure, Figures, Section, Table, Text, Value, headed, interval
from eutectic.report.figures import COLOURS, LINES, STYLE, finish, panel, plain
from eutectic.report.results import Results
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import Point

SEARCHERS = {"random": ("random search", LINES[8], "o"), "cma": ("CMA-ES", LINES[1], "D")}
AXES = 6  # panels of parameters a search
PROGRESS = (
    "Dev score (mean probability of the right option, in percent, on the items of the search) of every candidate in the order tried, and "
    "the best so far (lines). Grey lines are the parents on the same items."
)
SPREAD = "The same scores against each number that was tuned; a searcher that learns crowds where it found most."
HONEST = (
    "Dev scores are the largest of many tries and therefore too good. Only the test column, whose items no search has seen, says what a "
    "winner is worth; what is claimed of it stands among the merges."
)


def section(view: StudyView, results: Results) -> Section:
    """Every finished search of the study."""
    steps = [step for step in view.of("search") if step.readable is not None]
    if not steps:
        asked = any(view.of("search"))
        return Section("search", "Merge search", missing="Not run yet." if asked else "This study searches no merges.")
    found = [(step, read_rows(step.readable / POINTS, Point), read_json(step.readable / SUMMARY)) for step in steps if step.readable]
    blocks: list[Block] = []
    for number, (step, points, summary) in enumerate(found, 1):
        blocks.append(Figures([progress(f"search-{number}", step.address, points, summary["chosen"])], PROGRESS))
        panels = [
            scatter(f"search-{number}-{place + 1}", f"{step.address}: {axis['name']}", points, place, axis)
            for place, axis in enumerate(summary["axes"][:AXES])
        ]
        blocks.append(Figures(panels, SPREAD))
    return Section("search", "Merge search", [*blocks, _table(found, results), Text(HONEST, "note")])


def progress(name: str, title: str, points: Sequence[Point], chosen: Sequence[int]) -> Figure:
    """Scores of both searchers against the number of the candidate, with the best so far."""
    parents = {point.model: 100 * float(np.mean([point.right[i] for i in chosen])) for point in points if point.by == "parent"}
    with mpl.rc_context(STYLE):
        canvas, axes = panel(title, 2.9, top=0.55)
        for score in parents.values():
            axes.axhline(score, color=COLOURS["control"], linewidth=1.0, zorder=1)
        told = [f"parent {label} {score:.1f}" for label, score in parents.items()]
        for by, (label, colour, marker) in SEARCHERS.items():
            scores = 100 * np.array([point.score for point in points if point.by == by and not point.failed])
            if len(scores):
                tried = np.arange(1, len(scores) + 1)
                axes.plot(tried, scores, marker, color=colour, markersize=2.6, markeredgewidth=0, alpha=0.55)
                axes.plot(tried, np.maximum.accumulate(scores), color=colour, linewidth=1.6, label=label)
                told.append(f"{label} best {scores.max():.1f} of {len(scores)}")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0.1)
        plain(axes, ("candidate", "dev score, %"))
        return finish(name, canvas, f"{title}: dev score of candidates in percent: {'; '.join(told)}.")


def scatter(name: str, title: str, points: Sequence[Point], place: int, axis: Mapping[str, Any]) -> Figure:
    """Scores of both searchers against one parameter."""
    with mpl.rc_context(STYLE):
        canvas, axes = panel(title, 2.5)
        told = []
        for by, (label, colour, marker) in SEARCHERS.items():
            tried = [point for point in points if point.by == by and not point.failed]
            values = [axis["low"] + (axis["high"] - axis["low"]) * point.place[place] for point in tried]
            axes.plot(values, [100 * point.score for point in tried], marker, color=colour, markersize=3.2, markeredgewidth=0, alpha=0.6)
            if tried:
                best = max(range(len(tried)), key=lambda i: tried[i].score)
                told.append(f"{label} best at {values[best]:.3g}")
        plain(axes, (axis["name"], "dev score, %"))
        return finish(name, canvas, f"{title}, dev score against its value: {'; '.join(told)}.")


Found = tuple[StepView, list[Point], dict[str, Any]]


def _table(found: Sequence[Found], results: Results) -> Table:
    columns = headed(
        "search",
        "model",
        "dev score, %|percent",
        "dev accuracy, %|percent",
        "dev items|count",
        "test accuracy, % [95 %]|span",
        "test accuracy|percent",
        "test items|count",
    )
    rows = [row for step, points, summary in found for row in _rows(step, points, summary, results)]
    caption = (
        "Parents, the best candidate of each searcher and the winner, on all dev items that the search drew, and on the test split where "
        "the study evaluates the model (by likelihood)."
    )
    return Table("search", caption, columns, rows, hidden=frozenset({"test accuracy"}))


def _rows(step: StepView, points: Sequence[Point], summary: Mapping[str, Any], results: Results) -> list[tuple[Value, ...]]:
    finals = {point.place: point for point in points if point.by == "final"}
    shown = [(point.model, point, point.model) for point in points if point.by == "parent"]
    for by, (label, _, _) in SEARCHERS.items():
        mine = [finals[point.place] for point in points if point.by == by and point.place in finals]
        if mine:
            shown.append((f"best of {label}", max(mine, key=lambda point: point.score), ""))
    winner = points[summary["winner"]["number"]]
    shown.append((f"{step.address}, the winner: {written(winner)}", winner, step.address))
    rows: list[tuple[Value, ...]] = []
    for label, point, address in shown:
        tested = _tested(results, address, summary["benchmark"])
        test = (interval(tested.estimate, tested.low, tested.high), tested.estimate, tested.n) if tested else (None, None, None)
        rows.append((step.address, label, point.score, point.accuracy, len(point.right), *test))
    return rows


def written(point: Point) -> str:
    """Parameters in few words: `t = [0.31, 0.77], with two`."""

    def shown(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.3g}"
        if isinstance(value, Mapping):
            return ", ".join(f"{name} {shown(inner)}" for name, inner in value.items())
        return f"[{'; '.join(map(shown, value))}]" if isinstance(value, list | tuple) else str(value)

    told = "; ".join(f"{name} = {shown(value)}" for name, value in point.parameters.items())
    return f"{told}; with {point.model}" if point.model else told


def _tested(results: Results, address: str, benchmark: str) -> Interval | None:
    """Accuracy of a model on the test items of a benchmark, by likelihood."""
    parts = {line.part for line in results.baselines if line.benchmark == benchmark and line.split == "test"}
    cells = [cell for cell in results.accuracies if cell[0] in parts and cell[1].partition(":")[0] == "cloze"]
    return next((found.interval for cell in cells if (found := results.accuracy(address, cell))), None)
