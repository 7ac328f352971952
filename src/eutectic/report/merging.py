"""Merges: against the best parent, the mean of the parents and the controls; and along a coefficient."""

from __future__ import annotations

from collections.abc import Sequence

from eutectic.analysis.compare import Comparison, from_row
from eutectic.analysis.synergy import BEST, CONTROL_NAMES
from eutectic.analysis.table import PARTS, Cell, cell_order
from eutectic.report import figures, picked
from eutectic.report.accuracy import cell_title
from eutectic.report.blocks import Block, Card, Cards, Figure, Figures, Section, Table, Text, Value, headed, interval
from eutectic.report.results import Results
from eutectic.report.view import StepView, StudyView
from eutectic.specs.steps import MergeStep


def section(view: StudyView, results: Results) -> Section:
    """Every merge with its verdict, its paired tests and what they could have seen."""
    if not results.synergies:
        return Section("merges", "Merges against parents and controls")
    blocks: list[Block] = [Figures(forests(results), FOREST_CAPTION), _verdicts(results), _comparisons(results)]
    if best := picked.picks(results):
        blocks.append(picked.table(best))
    if same := equals(view, results):
        blocks.append(Text(same))
    blocks.append(Text(FAMILIES, "note"))
    if panels := sweeps(view, results):
        blocks.append(
            Figures(
                panels, "Accuracy along the merge coefficient, with 95 % intervals over items. The ends (square, circle) are the parents."
            )
        )
    return Section("merges", "Merges against parents and controls", blocks)


HIDDEN = frozenset({"which", "items", "groups", "difference", "low", "high", "p", "p (McNemar)"})  # in the CSV file only
FAMILIES = (
    "Against the best parent all merges and cells that the study declared are one family of claims (max-T over sign flips of whole "
    "groups): who tries many merges and shows the best must pay for having tried. What is outside is described, not claimed. Mean, "
    "controls and ensemble of one merge are a list of their own (Holm). Intervals cover items, not training runs."
)
FOREST_CAPTION = (
    "Each merge minus its best parent, test split, with 95 % intervals over items that hold for the best parent whichever it is. Filled: a "
    "difference is shown in the family of all claims (max-T); open: not shown. The grey band is what this comparison could not have seen "
    "reliably (80 % power, at the level that is left when all claims are taken together)."
)


def forests(results: Results) -> list[Figure]:
    """One panel a cell: the difference to the best parent of every merge."""
    best = results.claims()
    panels: list[Figure] = []
    for number, cell in enumerate(sorted({(each.part, each.form) for _, each in best}, key=cell_order), 1):
        rows = [
            figures.Dot(merge, each.difference, each.low, each.high, "merge", each.detectable, each.outcome != "none")
            for merge, each in best
            if (each.part, each.form) == cell
        ]
        widest = max(
            max(abs(one.low), abs(one.high), one.detectable)
            for _, one in best
            if one.form == cell[1] and (one.part in PARTS) == (cell[0] in PARTS)
        )
        limits = (-1.05 * widest, 1.05 * widest)
        panels.append(
            figures.dots(f"merge-{number}", cell_title(cell), rows, limits=limits, unit="points above the best parent", zero=True)
        )
    return panels


def equals(view: StudyView, results: Results) -> str:
    """Merges that are one model under several names, as sentences; nothing where there are none."""
    merges = {step.address for step in view.of("merge")}
    formula = [f"{alias} = {address}" for alias, address in view.aliases.items() if address in merges]
    names = {str(each["merge"]) for each in results.synergies}
    close = [f"{each['merge']} = {each['equal_to']}" for each in results.synergies if each.get("equal_to") in names]
    told = (("Equal in formula", formula), ("Within two output ulps of each other", close))
    return " ".join(f"{how}, so counted as one: {'; '.join(which)}." for how, which in told if which)


def _verdicts(results: Results) -> Cards:
    cards = []
    for each in results.synergies:
        equal = [f"{control['name']} (equal to {control['equal_to']})" for control in each["controls"] if control["equal_to"]]
        note = f"of {', '.join(each['parents'])}; {each['family']} claims in the study's family, intervals cover items"
        folded = [("Counted as one", f"Within two output ulps of the merge, so not tested: {', '.join(equal)}.")] if equal else []
        cards.append(Card(each["merge"], each["verdict"], note, folded))
    return Cards("What the tests say", cards)


def _comparisons(results: Results) -> Table:
    columns = headed(
        "merge",
        "part",
        "scored by",
        "against|address",
        "which",
        "items|count",
        "groups|count",
        "merge, %|percent",
        "other, %|percent",
        "difference, points [95 % over items]|span",
        "difference|points",
        "low|points",
        "high|points",
        "squared difference, %|percent",
        "p|p",
        "p (adjusted)|p",
        "seen from, points|percent",
        "p (McNemar)|p",
        "outcome|address",
    )
    rows: list[tuple[Value, ...]] = []
    marks: list[str] = []
    for each in results.synergies:
        for one in map(from_row, each["comparisons"]):
            rows.append(_comparison(each["merge"], one))
            marks.append(one.outcome)
    caption = (
        "Paired comparisons of every merge, test split. Adjusted: against the best parent within the study's family of claims (max-T), the "
        "others by Holm. Squared difference: mean over items, for right or wrong answers the share on which two models differ. Seen from: "
        "the smallest difference shown four times in five at the level the family leaves. Items, single p-values and McNemar's test (only "
        "where every item is a group of its own) stand in the CSV file."
    )
    return Table(
        "merges",
        caption,
        columns,
        rows,
        marks=marks,
        folded=True,
        hidden=HIDDEN,
    )


def _comparison(merge: str, one: Comparison) -> tuple[Value, ...]:
    which = ", ".join(one.names)
    against = f"{one.against}, {which}" if one.against == BEST else CONTROL_NAMES.get(one.against, one.against)
    head = (merge, one.part, one.form, against, which, one.n, one.clusters, one.accuracy)
    if one.equal:
        return (*head, one.reference, *[None] * 9, "same model")
    words = {"gain": "above", "loss": "below", "none": "not shown", "described": "no claim"}[one.outcome]
    tests = (one.p, one.p_adjusted, one.detectable) if one.claimed else (None, None, None)
    return (
        *head,
        one.reference,
        interval(one.difference, one.low, one.high, sign=True),
        one.difference,
        one.low,
        one.high,
        one.discordance,
        *tests,
        one.mcnemar,
        words,
    )


def sweeps(view: StudyView, results: Results) -> list[Figure]:
    """Accuracy against a swept coefficient t, for merges that differ in it alone; the parents are its ends."""
    series: dict[str, list[tuple[float, StepView]]] = {}
    for step in view.of("merge"):
        name, comma, value = step.address.rpartition(",t=")
        if comma and step.address in results.scores:
            series.setdefault(name, []).append((float(value), step))
    panels: list[Figure] = []
    for name, points in series.items():
        for cell in results.accuracies:
            rows = _along(points, cell, results)
            if len(points) > 1 and len(rows) > 2:
                panels.append(
                    figures.sweep(f"sweep-{len(panels) + 1}", f"{name}: {cell_title(cell).lower()}", rows, labels=("t", "accuracy, %"))
                )
    return panels


def _along(points: Sequence[tuple[float, StepView]], cell: Cell, results: Results) -> list[tuple[float, figures.Dot]]:
    """Points of a sweep in one cell; with a base, t = 0 is the base and t = 1 the model (linear and slerp)."""
    parents = points[0][1].parents
    base, models = parents.get("base", ()), parents.get("models", ())
    spec = points[0][1].spec
    places = [(t, step.address) for t, step in points]
    if isinstance(spec, MergeStep) and spec.method in ("linear", "slerp") and len(base) == len(models) == 1:
        places += [(0.0, base[0]), (1.0, models[0])]
    rows = []
    for t, address in sorted(places):
        if (found := results.accuracy(address, cell)) is not None:
            rows.append((t, figures.Dot(address, found.interval.estimate, found.interval.low, found.interval.high, found.family)))
    return rows
