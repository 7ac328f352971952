"""What models may have met of the benchmarks: findings in training rows, scores on clean and suspect items apart, canaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eutectic.analysis import canary
from eutectic.analysis.compare import Comparison, best_of
from eutectic.analysis.statistics import Interval, share_intervals
from eutectic.analysis.table import Cell, Key, Scores, align, cell_order, cells_of
from eutectic.artifacts import CANARIES, FINDINGS, SUMMARY, read_json, read_rows
from eutectic.report.blocks import Block, Section, Table, Text, Value, headed, interval
from eutectic.report.results import Results
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import Canary, Finding

TITLE = "Contamination"
KINDS = ("lineage", "ngram", "near_duplicate")
SHOWN = 200
ALL_COUNT = (
    "Suspect: a training row has the item's source or group, its question or a long option in so many words, or nearly its question with "
    "its answer. What breaks a role stops the study; what is listed here did not. All accuracies and tests of this report count all items: "
    "a merge and its parents read the same rows, and a rule of words is no proof. Here clean and suspect items stand apart."
)
CANARY = (
    "What models show themselves. Options alone: share of items whose right option a model ranks first without the question, above "
    "guessing; it knows the options, or they give themselves away, as where the start model is as high. Order: by how many nats a run of "
    "items is likelier in the published order than shuffled, with a one-sided permutation test; a file sorted by topic is likelier so for "
    "every model, so read what training added."
)
Suspects = frozenset[Key]


def section(view: StudyView, results: Results) -> Section:
    """Comparisons with datasets, findings, scores on both kinds of items, and canaries."""
    steps = [step for step in view.of("contamination") if step.readable is not None]
    found = [(step, finding) for step in steps for finding in read_rows(_file(step, FINDINGS), Finding)]
    suspects = frozenset((_parent(step, "benchmark"), finding.item) for step, finding in found)
    blocks: list[Block] = []
    if steps:
        blocks += [Text(ALL_COUNT, "note"), _compared(steps)]
    if suspects:
        blocks += [*_scores(results, suspects), *_merges(view, results, suspects), _findings(found)]
    return Section("contamination", TITLE, [*blocks, *_canaries(view)])


def _file(step: StepView, name: str) -> Path:
    assert step.readable is not None
    return step.readable / name


def _parent(step: StepView, role: str) -> str:
    return step.parents[role][0]


def _compared(steps: Sequence[StepView]) -> Table:
    columns = headed("benchmark", "dataset", "items|count", "suspect|count", *(f"{kind.replace('_', ' ')}|count" for kind in KINDS),
                     "too short to compare|count")  # fmt: skip
    rows: list[tuple[Value, ...]] = []
    for step in steps:
        found = read_json(_file(step, SUMMARY))
        counts = [found["findings"].get(kind, 0) for kind in KINDS]
        rows.append((_parent(step, "benchmark"), _parent(step, "dataset"), found["items"], found["suspect"], *counts, found["too_short"]))
    caption = (
        "Items of the benchmarks against the training rows of every dataset that a measured model read; of an item at most three rows."
    )
    return Table("contamination", caption, columns, rows)


@dataclass(frozen=True)
class Apart:
    """One model in one cell, on items without and with findings."""

    model: str
    cell: Cell
    clean: Interval | None
    suspect: Interval


def apart(scores: Mapping[str, Scores], suspects: Suspects) -> Iterator[Apart]:
    """Every model in every cell with suspect items, test split; models that are another one are left out."""
    for cell in sorted({cell for each in scores.values() for cell in each.cells}, key=cell_order):
        for each in scores.values():
            if cell in each.cells and not each.equal_to:
                table = align([each], cell)
                held = np.array([key in suspects for key in table.keys])
                if held.any():
                    clean, suspect = (_share(table.scores[which], table.groups[which]) for which in (~held, held))
                    assert suspect is not None
                    yield Apart(each.name, cell, clean, suspect)


def _share(scores: np.ndarray, groups: np.ndarray) -> Interval | None:
    return share_intervals(scores, groups)[0] if len(scores) else None


def _scores(results: Results, suspects: Suspects) -> list[Block]:
    columns = headed("model", "part", "scored by", "clean items|count", "accuracy, % [95 % over items]|span", "suspect items|count",
                     "there, % [95 % over items]|span", "clean, %|percent", "suspect, %|percent")  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (
            each.model,
            *each.cell,
            each.clean.n if each.clean else 0,
            _span(each.clean),
            each.suspect.n,
            _span(each.suspect),
            each.clean.estimate if each.clean else None,
            each.suspect.estimate,
        )
        for each in apart(results.scores, suspects)
    ]
    caption = "Accuracy on clean and on suspect items. A start model read none of the rows: its difference is how hard the items are."
    return [Table("clean_and_suspect", caption, columns, rows, hidden=frozenset({"clean, %", "suspect, %"}))] if rows else []


def _span(found: Interval | None) -> str | None:
    return interval(found.estimate, found.low, found.high) if found else None


def clean_merges(view: StudyView, results: Results, suspects: Suspects) -> Iterator[tuple[str, Comparison, Comparison]]:
    """Every merge that counts against its best parent, on all items and on the clean ones, in cells where the two differ."""
    counted = {str(each["merge"]) for each in results.counted()}
    for step in view.of("synergy"):
        (merge,) = step.parents["merge"]
        models = [results.scores[address] for address in (merge, *step.parents["parents"]) if address in results.scores]
        if merge in counted and len(models) == 1 + len(step.parents["parents"]):
            for cell in cells_of(models):
                table = align(models, cell)
                clean = np.array([key not in suspects for key in table.keys])
                if clean.any() and not clean.all():
                    names = [each.name for each in models[1:]]
                    whole, kept = (
                        best_of(table.scores[which, 0], table.scores[which, 1:], table.groups[which], cell=cell, names=names)
                        for which in (np.ones(len(clean), bool), clean)
                    )
                    yield merge, whole, kept


def _merges(view: StudyView, results: Results, suspects: Suspects) -> list[Block]:
    columns = headed("merge", "part", "scored by", "all items|count", "difference, points [95 % over items]|span", "clean items|count",
                     "on clean items|span", "difference|points", "clean difference|points")  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (merge, whole.part, whole.form, whole.n, _difference(whole), kept.n, _difference(kept), whole.difference, kept.difference)
        for merge, whole, kept in clean_merges(view, results, suspects)
    ]
    caption = "Each merge minus its best parent, on all test items and on the clean ones alone. Described; the claims are tested above."
    hidden = frozenset({"difference", "clean difference"})
    return [Table("clean_merges", caption, columns, rows, hidden=hidden)] if rows else []


def _difference(found: Comparison) -> str:
    return interval(found.difference, found.low, found.high, sign=True)


def _findings(found: Sequence[tuple[StepView, Finding]]) -> Table:
    columns = headed("benchmark", "item|address", "dataset", "row|address", "found by", "with its answer|yes", "words")
    rows = [
        (
            _parent(step, "benchmark"),
            each.item,
            _parent(step, "dataset"),
            each.row,
            each.kind.replace("_", " "),
            each.answered,
            each.overlap,
        )
        for step, each in sorted(found, key=lambda pair: not pair[1].answered)[:SHOWN]
    ]
    more = f"The first {SHOWN} of {len(found):,} findings" if len(found) > SHOWN else "All findings"
    caption = f"{more}, those with a right answer first; `findings.jsonl` of each comparison holds them all."
    return Table("findings", caption, columns, rows, folded=True)


def _canaries(view: StudyView) -> list[Block]:
    """A row a model and benchmark."""
    rows = [row for step in view.of("canary") if step.readable is not None for row in _canary_rows(view, step)]
    columns = headed("model", "benchmark", "items|count", "options alone, points above chance [95 % over items]|span", "runs|count",
                     "order, nats a run|number", "p|p", "added by training, nats|number", "p of that|p", "above chance|points")  # fmt: skip
    return [Table("canaries", CANARY, columns, rows, hidden=frozenset({"above chance"}))] if rows else []


def _canary_rows(view: StudyView, step: StepView) -> Iterator[tuple[Value, ...]]:
    own, start = (_by_benchmark(each) for each in (step, _start(view, step)))
    for benchmark in dict.fromkeys(name for name, _ in own):
        options = own.get((benchmark, "options"), [])
        known = canary.options_only(options) if options else None
        runs, before = own.get((benchmark, "order"), []), start.get((benchmark, "order"), [])
        order = canary.order(runs) if runs else None
        added = canary.order(runs, before) if runs and before else None
        yield (
            step.address,
            benchmark,
            known.n if known else None,
            interval(known.estimate, known.low, known.high, sign=True) if known else None,
            order.runs if order else None,
            *((order.gain, order.p) if order else (None, None)),
            *((added.gain, added.p) if added else (None, None)),
            known.estimate if known else None,
        )


def _by_benchmark(step: StepView | None) -> dict[tuple[str, str], list[Canary]]:
    found: dict[tuple[str, str], list[Canary]] = {}
    for row in read_rows(_file(step, CANARIES), Canary) if step is not None else ():
        found.setdefault((row.benchmark, row.check), []).append(row)
    return found


def _start(view: StudyView, step: StepView) -> StepView | None:
    """The canary of the model that training began from; None for a start model itself."""
    start = view.start(step.address)
    return next((each for each in view.of("canary") if start is not None and each.address == start.address and each.readable), None)
