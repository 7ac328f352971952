"""Workshop door: one Benchmark against the training rows of one Dataset, by lineage first, then by words.

Role and kind of dataset decide what a match means. A violation stops the study: the question with its right answer (or a near-duplicate of
both) in any row, for an `unseen` item; the question word for word with its right answer in an instruction or preference row, for an
`acquired` one. Everything weaker makes the item suspect. Text is what an `acquired` item is acquired from, so there only the whole
question, word for word, counts. An item without a role promises nothing and can only be suspect, and so can, in words, an item made from
a corpus: its role is kept by lineage, and what other terms happen to say alike nobody could take out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eutectic.artifacts import FINDINGS, ITEMS, SUMMARY, TRAIN, Artifact, Parents, iterate_rows, one, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.data import roles
from eutectic.data.formats import SCHEMAS, AnyRow
from eutectic.data.overlap import Index, Match
from eutectic.errors import InputError
from eutectic.specs.rows import Finding, InstructionRow, Item, TextRow
from eutectic.specs.steps import ContaminationStep, DatasetStep

# Rows kept of one item and kind of match; the rest tells nothing new.
KEPT_ROWS = 3
SHOWN_ITEMS, SHOWN_CHARACTERS = 3, 160


def build(spec: ContaminationStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:  # noqa: ARG001 - doors have one shape
    """Write `findings.jsonl` and `summary.json`; return the summary. Raises `InputError` where a role is broken."""
    benchmark, dataset = one(parents, "benchmark"), one(parents, "dataset")
    assert isinstance(dataset.spec, DatasetStep)
    roles.check(dataset, benchmark)
    items = read_rows(benchmark.path / ITEMS, Item)
    index = Index(items)
    context.progress.start(f"compare {benchmark.address} with {dataset.address}", 1, "dataset")
    given = not benchmark.parents.get("corpus")
    found = [*lineage(dataset.path, dataset.spec.kind, items), *in_words(dataset.path, dataset.spec.kind, index, given=given)]
    refuse([finding for finding in found if finding.violation], items, dataset, benchmark)
    context.progress.advance(1)
    write_rows(out / FINDINGS, found)
    summary = {
        "items": len(items),
        "suspect": len({finding.item for finding in found}),
        "too_short": len(index.short),
        "findings": dict(sorted(Counter(finding.kind for finding in found).items())),
    }
    write_json(out / SUMMARY, summary)
    return summary


def check(spec: ContaminationStep, parents: Parents) -> None:  # noqa: ARG001 - doors have one shape
    """Raise `InputError` for a broken role where lineage shows it; nothing can be said before both are made."""
    benchmark, dataset = one(parents, "benchmark"), one(parents, "dataset")
    if benchmark.folder is not None and dataset.folder is not None:
        roles.check(dataset, benchmark)


def lineage(dataset: Path, kind: str, items: Sequence[Item]) -> list[Finding]:
    """Items without a role whose group or source a training row has; those with a role are errors and found by `roles`."""
    found = roles.shared(dataset, kind, [item for item in items if not item.role])
    return [Finding(item=name, kind="lineage", row=row, overlap="its group or source") for name, rows in found.items() for row in rows]


def in_words(dataset: Path, kind: str, index: Index, *, given: bool) -> list[Finding]:
    """What training rows have of the items in words: of one item, kind and answer the first few rows. Only items that were `given` in a
    file can break their role by it.
    """
    counts: Counter[tuple[str, str, bool]] = Counter()
    found = []
    for match in index.matches(texts(dataset, kind)):
        counts[match.item.id, match.kind, match.answered] += 1
        if _counts(match, kind) and counts[match.item.id, match.kind, match.answered] <= KEPT_ROWS:
            violation = given and violates(match, kind)
            found.append(
                Finding(
                    item=match.item.id, kind=match.kind, row=match.row, answered=match.answered, violation=violation, overlap=match.text
                )
            )
    return found


def violates(match: Match, kind: str) -> bool:
    """Whether a match breaks what the item's role promises of a dataset of this kind."""
    if match.item.role == "unseen":
        return match.answered
    return match.item.role == "acquired" and kind != "text" and match.answered and match.kind == "ngram"


def _counts(match: Match, kind: str) -> bool:
    return match.item.role != "acquired" or kind != "text" or match.whole


def texts(dataset: Path, kind: str) -> Iterator[tuple[str, str]]:
    """Id and whole text of every training row."""
    return ((row.id, text_of(row)) for row in iterate_rows(dataset / TRAIN, SCHEMAS[kind]))


def text_of(row: AnyRow) -> str:
    """Everything a row lets a model read."""
    if isinstance(row, TextRow):
        return row.text
    messages = row.messages if isinstance(row, InstructionRow) else (*row.prompt, *row.chosen, *row.rejected)
    return "\n".join(message.content for message in messages)


def refuse(broken: Sequence[Finding], items: Sequence[Item], dataset: Artifact, benchmark: Artifact) -> None:
    """Raise `InputError` for broken roles, naming the first items with the row and the words that break them."""
    if not broken:
        return
    first = {finding.item: finding for finding in reversed(broken)}
    role_of = {item.id: item.role for item in items}
    named = [name for name in role_of if name in first]
    shown = [f"item {name} ({role_of[name]}) by row {first[name].row}: {_cut(first[name].overlap)!r}" for name in named[:SHOWN_ITEMS]]
    more = f"; and {len(named) - len(shown)} more items" if len(named) > len(shown) else ""
    raise InputError(
        f"rows of the dataset {dataset.address} hold questions of {benchmark.address} with their answers: {'; '.join(shown)}{more}",
        place=f"benchmarks.{benchmark.address}",
        remedy=f"Take these rows out of {dataset.address}, or the items out of {benchmark.address}, or leave their `role` out: "
        "they are then reported as suspect.",
    )


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
