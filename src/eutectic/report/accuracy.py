"""How often every model is right, by role and by way of scoring, with intervals and with what needs no model at all."""

from __future__ import annotations

from collections.abc import Sequence

from eutectic.analysis.table import PARTS, Cell
from eutectic.report import figures
from eutectic.report.blocks import Block, Figure, Figures, Section, Table, Text, Value, headed
from eutectic.report.results import Accuracy, Results
from eutectic.report.view import StudyView
from eutectic.specs.rows import form_words

PART_WORDS = {"acquired": "acquired facts", "unseen": "unseen facts"}
ROLES = (
    "Acquired: the fact is in the text a stage read, but no instruction or preference pairs the question with its answer. Unseen: its "
    "whole group is in no training set. The two are never pooled. Intervals overlap more often than paired tests do: compare models by "
    "the tests below, not by these intervals."
)


def cell_title(cell: Cell) -> str:
    """A cell as a title: `Acquired facts, by likelihood`."""
    words = PART_WORDS.get(cell[0], cell[0])
    return f"{words[:1].upper()}{words[1:]}, {form_words(cell[1])}"


def section(view: StudyView, results: Results) -> Section:
    """One panel a cell and one table of everything."""
    if not results.accuracies:
        return Section("accuracy", "Accuracy")
    panels = [_panel(number, cell, rows, results) for number, (cell, rows) in enumerate(results.accuracies.items(), 1)]
    caption = (
        "Accuracy on the test split with 95 % intervals over items (bootstrap over groups of related ones). Squares: start models; filled "
        "circles: trained; diamonds: merges; open circles: controls of the merge above them, those equal to it left out. Dashed: "
        "baselines that need no model."
    )
    blocks: list[Block] = [Figures(panels, caption), _table(results)]
    waiting = [name for name in results.scores if name not in results.rescored]
    if waiting:
        blocks.append(Text(f"Close items are not yet scored again in float32 for {', '.join(waiting)}: ranks may still change.", "warning"))
    missing = [step.address for step in view.of("evaluate") if step.address not in results.scores]
    if missing:
        blocks.append(Text(f"Not scored yet: {', '.join(missing)}.", "warning"))
    blocks.append(Text(ROLES, "note"))
    return Section("accuracy", "Accuracy", blocks)


def _panel(number: int, cell: Cell, rows: Sequence[Accuracy], results: Results) -> Figure:
    found = [
        figures.Dot(
            _label(each), each.interval.estimate, each.interval.low, each.interval.high, each.family, filled=each.family != "control"
        )
        for each in rows
        if not results.scores[each.model].equal_to
    ]
    lines = {}
    for each in results.baselines:
        if each.part == cell[0] and each.split == "test" and each.chance is not None:
            lines["guess"] = each.chance
            rival = max(each.shortest or 0, each.longest or 0)
            if rival - each.chance > 0.04:  # nearer than that the two labels would stand on each other
                lines["length"] = rival
    return figures.dots(
        f"accuracy-{number}",
        f"{cell_title(cell)} (n = {rows[0].interval.n:,})",
        found,
        lines=lines,
        limits=_limits(cell, results),
        unit="accuracy, %",
    )


def _label(each: Accuracy) -> str:
    """A control stands below its merge and is named by what it is."""
    return f"+{each.model.rpartition('+')[2]}" if each.family == "control" and "+" in each.model else each.model


def _limits(cell: Cell, results: Results) -> tuple[float, float]:
    """One axis for acquired and unseen in the same form, so that they can be read against each other; what has no role has its own."""
    beside = [other for other in results.accuracies if other[1] == cell[1] and other[0] in PARTS] if cell[0] in PARTS else [cell]
    shares = [share for other in beside for each in results.accuracies[other] for share in (each.interval.low, each.interval.high)]
    shares += [each.chance for each in results.baselines if each.chance is not None and each.part in {other[0] for other in beside}]
    return max(0.0, min(shares) - 0.03), min(1.0, max(shares) + 0.03)


def _table(results: Results) -> Table:
    columns = headed(
        "model",
        "kind",
        "part",
        "scored by",
        "items|count",
        "groups|count",
        "accuracy, %|percent",
        "low|percent",
        "high|percent",
        "broken format, %|percent",
    )
    rows: list[tuple[Value, ...]] = [
        (
            each.model,
            each.family,
            *cell,
            each.interval.n,
            each.interval.clusters,
            each.interval.estimate,
            each.interval.low,
            each.interval.high,
            each.failures,
        )
        for cell, found in results.accuracies.items()
        for each in found
    ]
    caption = "Accuracy of every model. Broken format: answers in words from which no answer of the asked-for kind could be read."
    return Table("accuracy", caption, columns, rows, folded=True)
