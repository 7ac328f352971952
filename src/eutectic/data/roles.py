"""Whether the rows that are trained on keep what the roles of a benchmark's items promise.

Benchmarks made from a corpus are kept out of datasets when these are made. Benchmark files and files of rows name groups and sources of
their own: here the two are compared as they stand on disk. Training is not keyed on benchmarks; this only stops what would be measured
under a wrong name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eutectic.artifacts import ITEMS, TRAIN, Artifact, iterate_rows, read_rows
from eutectic.data.formats import SCHEMAS
from eutectic.errors import InputError
from eutectic.specs.rows import Item, Role
from eutectic.specs.steps import DatasetStep

SHOWN_ITEMS, SHOWN_ROWS = 5, 3
PROMISES = {
    "unseen": "its group and its sources are in no training row",
    "acquired": "its sources are in text rows only, not in instruction or preference rows",
}


@dataclass(frozen=True)
class Violation:
    """An item whose role is not kept, and the first training rows that break it."""

    item: str
    role: Role
    rows: tuple[str, ...]


def violations(dataset: Path, kind: str, benchmark: Path) -> list[Violation]:
    """Items of a Benchmark folder whose role the training rows of a Dataset folder break, in the benchmark's order.

    An `unseen` item is broken by any row of its group or of one of its sources, an `acquired` item by an instruction or preference row of
    one of its sources.
    """
    items = [item for item in read_rows(benchmark / ITEMS, Item) if item.role == "unseen" or (item.role == "acquired" and kind != "text")]
    found = shared(dataset, kind, items)
    return [Violation(item.id, item.role, tuple(found[item.id])) for item in items if item.id in found]


def shared(dataset: Path, kind: str, items: Sequence[Item]) -> dict[str, list[str]]:
    """By item, the first training rows that have one of its sources or (but for `acquired` items) its group."""
    by_group, by_source = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for item in items:
        if item.role != "acquired":
            by_group[item.group].append(item.id)
        for source in item.source_ids:
            by_source[source].append(item.id)
    found: dict[str, list[str]] = {}
    for row in iterate_rows(dataset / TRAIN, SCHEMAS[kind]) if items else ():
        broken = {*by_group.get(row.group, ()), *(name for source in row.source_ids for name in by_source.get(source, ()))}
        for name in broken:
            rows = found.setdefault(name, [])
            if len(rows) < SHOWN_ROWS and row.id not in rows:
                rows.append(row.id)
    return {item.id: found[item.id] for item in items if item.id in found}


def check(dataset: Artifact, benchmark: Artifact) -> None:
    """Raise `InputError` where a role is broken, naming the first items with the rows that break them."""
    assert isinstance(dataset.spec, DatasetStep)
    found = violations(dataset.path, dataset.spec.kind, benchmark.path)
    if not found:
        return
    role = found[0].role
    of_role = [violation for violation in found if violation.role == role]
    shown = [f"item {v.item} by row {', '.join(v.rows)}" for v in of_role[:SHOWN_ITEMS]]
    more = f" and {len(of_role) - len(shown)} more" if len(of_role) > len(shown) else ""
    raise InputError(
        f"an item of role `{role}` promises that {PROMISES[role]}; the {dataset.spec.kind} dataset {dataset.address} breaks this for "
        f"{len(of_role)} of its items: {'; '.join(shown)}{more}",
        place=f"benchmarks.{benchmark.address}",
        remedy=f"Take these rows out of {dataset.address}, or give the items a role that is true. If they have nothing in common, give "
        "rows and items a `group` and `source_ids` of their own.",
    )
