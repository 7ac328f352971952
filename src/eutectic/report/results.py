"""All scores of a study, read once: every section that counts right answers takes them from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eutectic.analysis.compare import Comparison, compare, from_row
from eutectic.analysis.statistics import Interval, share_intervals
from eutectic.analysis.synergy import BEST
from eutectic.analysis.table import Cell, Measure, Scores, align, cell_order, read_scores
from eutectic.artifacts import ITEMS, SUMMARY, iterate_rows, read_json
from eutectic.report.view import MODELS, STARTS, StudyView
from eutectic.specs.rows import WEIGHED_FORMS, Item, form_of

FAMILIES = ("start", "trained", "merge", "control")


@dataclass(frozen=True)
class Accuracy:
    """One model in one cell; `failures` is the share of answers that broke the asked-for format (of answers in words)."""

    model: str
    family: str
    cell: Cell
    interval: Interval
    failures: float | None = None


@dataclass(frozen=True)
class Baseline:
    """What needs no model: share of choice items right by guessing, by the shortest and by the longest option (ties shared)."""

    part: str
    benchmark: str
    split: str
    kind: str
    items: int
    groups: int
    chance: float | None
    shortest: float | None
    longest: float | None


@dataclass(frozen=True)
class Results:
    """Scores by model address in the order of the study, accuracies by cell, baselines, summaries of synergies and families of claims.

    `rescored` models have their final scores; `shared_groups` counts groups with items in both dev and test of a benchmark.
    """

    scores: Mapping[str, Scores]
    accuracies: Mapping[Cell, Sequence[Accuracy]]
    baselines: Sequence[Baseline]
    synergies: Sequence[Mapping[str, Any]]
    rescored: frozenset[str]
    shared_groups: int = 0
    families: Sequence[Mapping[str, Any]] = ()
    compared: dict[tuple[str, str, Measure], list[Comparison]] = field(default_factory=dict)  # what `against` has worked out

    def accuracy(self, model: str, cell: Cell) -> Accuracy | None:
        """The accuracy of a model in a cell, if it was measured."""
        return next((each for each in self.accuracies.get(cell, ()) if each.model == model), None)

    def counted(self) -> list[Mapping[str, Any]]:
        """Summaries of the merges that count: one that equals another of them within two output ulps is that one."""
        names = {str(each["merge"]) for each in self.synergies}
        return [each for each in self.synergies if each.get("equal_to") not in names]

    def claims(self) -> list[tuple[str, Comparison]]:
        """Merges against their best parent in the cells that are claims."""
        best = [(str(each["merge"]), from_row(row)) for each in self.counted() for row in each["comparisons"] if row["against"] == BEST]
        return [(merge, each) for merge, each in best if each.claimed]

    def against(self, model: str, other: str, measure: Measure = "score") -> list[Comparison]:
        """Every cell of `model` minus `other`, as one Holm family; nothing where one of them was not evaluated."""
        if model not in self.scores or other not in self.scores:
            return []
        if (model, other, measure) not in self.compared:
            self.compared[model, other, measure] = compare(self.scores[model], self.scores[other], measure)
        return self.compared[model, other, measure]


def collect(view: StudyView) -> Results:
    """Read every finished evaluation, benchmark and synergy of the study."""
    scores: dict[str, Scores] = {}
    final: set[str] = set()
    for kind in ("rescore", "evaluate"):  # a rescored evaluation stands for the first one
        for step in view.of(kind):
            if step.readable is None or (kind == "evaluate" and step.address in final):
                continue
            found = read_scores(step.readable, step.address)
            scores[step.address] = scores[step.address].merged(found) if step.address in scores else found
        if kind == "rescore":
            final = set(scores)
    controls = view.controls()
    ordered = {address: scores[address] for address in _order(view, controls) if address in scores} | scores
    cells = sorted({cell for each in ordered.values() for cell in each.cells}, key=cell_order)
    accuracies = {cell: cell_accuracies(view, ordered, cell, controls) for cell in cells}
    lines, shared = baselines(view)
    return Results(ordered, accuracies, lines, summaries(view, "synergy"), frozenset(final), shared, summaries(view, "family"))


def _order(view: StudyView, controls: Mapping[str, str]) -> list[str]:
    """Start models, trained models, merges, each with its controls behind it."""
    models = [step.address for step in view.of(*MODELS) if step.address not in controls]
    ordered = sorted(models, key=lambda address: FAMILIES.index(family(view, address, controls)))
    return [each for address in ordered for each in (address, *(control for control, of in controls.items() if of == address))]


def family(view: StudyView, address: str, controls: Mapping[str, str]) -> str:
    """What a model is in the study: start, trained, merge or control."""
    if address in controls:
        return "control"
    step = view.model(address)
    kind = step.kind if step else ""
    return "start" if kind in STARTS else "trained" if kind == "train" else "merge"


def cell_accuracies(view: StudyView, scores: Mapping[str, Scores], cell: Cell, controls: Mapping[str, str]) -> list[Accuracy]:
    """Accuracies of all models in a cell; models with the same items share their bootstrap draws."""
    models = [each for each in scores.values() if cell in each.cells]
    found: list[Accuracy] = []
    for batch in same_items(models, cell):
        table = align(batch, cell)
        for each, interval in zip(batch, share_intervals(table.scores, table.groups, binomial=table.binomial), strict=True):
            rows = each.cells[cell].values()
            failures = float(np.mean([row.format_failure for row in rows])) if form_of(cell[1]) not in WEIGHED_FORMS else None
            found.append(Accuracy(each.name, family(view, each.name, controls), cell, interval, failures))
    place = {name: index for index, name in enumerate(scores)}
    return sorted(found, key=lambda one: place[one.model])


def same_items(models: Sequence[Scores], cell: Cell) -> list[list[Scores]]:
    """The models in batches that answered exactly the same items."""
    batches: dict[frozenset[tuple[str, str]], list[Scores]] = {}
    for each in models:
        batches.setdefault(frozenset(each.cells[cell]), []).append(each)
    return list(batches.values())


def baselines(view: StudyView) -> tuple[list[Baseline], int]:
    """Counted from the items themselves, by benchmark and split; and the number of groups with items in both splits of a benchmark."""
    found: list[Baseline] = []
    shared = 0
    for step in view.of("benchmark"):
        if step.readable is None:
            continue
        items = list(iterate_rows(step.readable / ITEMS, Item))
        splits = {split: [item for item in items if item.split == split] for split in ("dev", "test")}
        found += [baseline(step.address, split, kept) for split, kept in splits.items() if kept]
        shared += len({item.group for item in splits["dev"]} & {item.group for item in splits["test"]})
    return found, shared


def baseline(benchmark: str, split: str, items: Sequence[Item]) -> Baseline:
    """Baselines of some items of a benchmark."""
    choices = [item for item in items if item.kind == "choice" and item.answer is not None]
    role = items[0].role
    return Baseline(
        role or benchmark,
        benchmark,
        split,
        "choice" if choices else items[0].kind,
        len(items),
        len({item.group for item in items}),
        *(float(np.mean([rule(item) for item in choices])) if choices else None for rule in (_chance, _shortest, _longest)),
    )


def _chance(item: Item) -> float:
    return 1 / len(item.options)


def _shortest(item: Item) -> float:
    return _by_length(item, min(map(len, item.options)))


def _longest(item: Item) -> float:
    return _by_length(item, max(map(len, item.options)))


def _by_length(item: Item, length: int) -> float:
    """Expected score of picking among the options of one length."""
    picked = [index for index, option in enumerate(item.options) if len(option) == length]
    return float(item.answer in picked) / len(picked)


def summaries(view: StudyView, kind: str) -> list[dict[str, Any]]:
    """Summaries of the finished steps of a kind, in the order of the study."""
    return [read_json(step.readable / SUMMARY) for step in view.of(kind) if step.readable is not None]
