"""What was read, what was trained on, and what the questions can be answered by without a model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from eutectic.artifacts import DEV, DOCUMENTS, DROPPED, HELD_OUT, TRAIN, iterate_rows
from eutectic.report.arms import ledger
from eutectic.report.blocks import Section, Table, Text, headed
from eutectic.report.results import Results
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import Document


def section(view: StudyView) -> Section:
    """Corpora with their sources and licences, datasets, and which stage learned which tokens."""
    corpora = [step for step in view.of("corpus") if step.readable is not None]
    datasets = [step for step in view.of("dataset") if step.readable is not None]
    blocks = []
    if corpora:
        blocks.append(_corpora(corpora))
        blocks.append(_sources(corpora))
    if datasets:
        blocks.append(_datasets(datasets, view))
    return Section("data", "What was read and trained on", blocks)


def benchmarks(results: Results) -> Section:
    """Baselines that need no model: a benchmark that the longest option wins measures nothing."""
    if not results.baselines:
        return Section("baselines", "Benchmarks and what beats them without knowledge")
    columns = headed(
        "benchmark",
        "role or part",
        "split",
        "kind",
        "items|count",
        "groups|count",
        "guessing, %|percent",
        "shortest option, %|percent",
        "longest option, %|percent",
    )
    rows = [
        (each.benchmark, each.part, each.split, each.kind, each.items, each.groups, each.chance, each.shortest, each.longest)
        for each in results.baselines
    ]
    note = "Recipes and variants are picked on the dev split only; whatever does not say `dev` in this report is the test split."
    caption = "Share of items answered right by guessing, or by always taking the shortest or the longest option."
    return Section(
        "baselines",
        "Benchmarks and what beats them without knowledge",
        [Table("baselines", caption, columns, rows), Text(note, "note"), *_shared(results)],
    )


def _shared(results: Results) -> list[Text]:
    """Whether dev and test keep to different groups, as counted."""
    if results.shared_groups:
        return [
            Text(
                f"Groups with items in both dev and test: {results.shared_groups}. What was picked on dev may be flattered on test.",
                "warning",
            )
        ]
    return [Text("No group (parent class or source document) of a benchmark has items in both dev and test.", "note")]


def _corpora(steps: list[StepView]) -> Table:
    columns = headed(
        "corpus",
        "documents|count",
        "held out|count",
        "groups|count",
        "words|count",
        "left out|count",
    )
    rows = []
    for step in steps:
        assert step.readable is not None
        documents = list(iterate_rows(step.readable / DOCUMENTS, Document))
        words = sum(len(document.text.split()) for document in documents)
        held = sum(document.held_out for document in documents)
        rows.append((step.address, len(documents), held, len({d.group for d in documents}), words, lines(step.readable / DROPPED)))
    caption = (
        "Text that was read. Held-out documents are in no training set; what was left out stands with its reason in the corpus folder."
    )
    return Table("corpora", caption, columns, rows)


def _sources(steps: list[StepView]) -> Table:
    counts: Counter[tuple[str, str, str]] = Counter()
    for step in steps:
        assert step.readable is not None
        counts.update((step.address, Path(d.source).name, d.licence) for d in iterate_rows(step.readable / DOCUMENTS, Document))
    rows = [(*key, count) for key, count in counts.most_common()]
    shown = rows[:40]
    caption = "Sources and their licences." if len(rows) <= 40 else f"The 40 largest of {len(rows)} sources and their licences."
    return Table("sources", caption, headed("corpus", "source", "licence", "documents|count"), shown)


def _datasets(steps: list[StepView], view: StudyView) -> Table:
    columns = headed(
        "dataset",
        "kind",
        "training rows|count",
        "dev rows|count",
        "held-out rows|count",
        "trained on by",
        "tokens read|count",
        "tokens learned|count",
    )
    rows: list[tuple[str | int | None, ...]] = []
    for step in steps:
        assert step.readable is not None
        users = [each for each in view.of("train") if step.address in each.parents.get("dataset", ())]
        kept = (step.address, getattr(step.spec, "kind", ""), *(lines(step.readable / part) for part in (TRAIN, DEV, HELD_OUT)))
        rows += [(*kept, each.address, ledger(each).get("tokens"), ledger(each).get("loss_tokens")) for each in users] or [
            (*kept, None, None, None)
        ]
    return Table("datasets", "What each stage was trained on; learned tokens are those that enter the loss.", columns, rows)


def lines(file: Path) -> int:
    """Number of lines of a file, 0 if it is not there."""
    if not file.exists():
        return 0
    with file.open("rb") as stream:
        return sum(1 for _ in stream)
