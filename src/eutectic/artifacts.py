"""Artifacts: published folders, their file names, their records, and reading and writing rows.

An `Artifact` is what a workshop gets for each parent. A merge that is not written has no folder: whoever can use it
(`search`) makes its tensors from its `spec` and `parents`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from eutectic.errors import InputError
from eutectic.specs.base import Spec

Row = TypeVar("Row", bound=Spec)

DOCUMENTS, DROPPED = "documents.jsonl", "dropped.jsonl"
TRAIN, DEV, HELD_OUT, CARD = "train.jsonl", "dev.jsonl", "held_out.jsonl", "README.md"
ITEMS, SUMMARY = "items.jsonl", "summary.json"
METRICS, LEDGER = "metrics.jsonl", "ledger.json"
EPOCHS = "epochs"  # folder of the checkpoints kept after an epoch, one folder a number
SAMPLES = "samples.jsonl"  # of general benchmarks
FINDINGS, CANARIES = "findings.jsonl", "canaries.jsonl"
TURNS, PROMPTS, TENSORS, POINTS = "turns.jsonl", "prompts.jsonl", "tensors.jsonl", "points.jsonl"
RECORD = "record.json"


class Record(Spec):
    """`record.json` of a published folder: what was asked, from what, by what, at what cost."""

    kind: str  # of artifact: the folder of the store it stands in
    step: str  # kind of step that wrote it
    address: str
    key: str
    revision: int
    spec: dict[str, Any]
    parents: dict[str, tuple[str, ...]]  # role -> keys
    consumed: dict[str, str]  # key -> digest of the parent's content when it was read
    digest: str  # BLAKE3 of this folder's content
    versions: dict[str, str]
    device: str = "cpu"
    threads: int = 0  # of all processes together
    processes: int = 1
    seconds: float = 0.0
    peak_memory: int = 0  # bytes, resident
    finished: str = ""  # UTC, ISO 8601
    ledger: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """A parent as a workshop sees it. `folder` is None for an unwritten merge, a file for a source file."""

    kind: str
    address: str
    key: str
    folder: Path | None
    spec: Spec | None = None
    parents: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The folder (or source file); raises `InputError` for an unwritten merge."""
        if self.folder is None:
            raise InputError(f"{self.address} is an unwritten merge and has no folder", remedy="Set `keep: true` on the merge.")
        return self.folder


Parents = Mapping[str, tuple[Artifact, ...]]


def one(parents: Parents, role: str) -> Artifact:
    """The only parent in a role."""
    (parent,) = parents[role]
    return parent


def optional(parents: Parents, role: str) -> Artifact | None:
    """The parent in a role that may be empty."""
    found = parents.get(role, ())
    return found[0] if found else None


def write_rows(file: Path, rows: Iterable[Spec]) -> int:
    """Write rows as JSON lines (UTF-8) and return their number."""
    count = 0
    with file.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(row.model_dump_json(exclude_defaults=True) + "\n")
            count += 1
    return count


def read_rows(file: Path, schema: type[Row]) -> list[Row]:
    """All rows of a JSON-lines file; a row that does not fit the schema is an `InputError` with file and line."""
    return list(iterate_rows(file, schema))


def iterate_rows(file: Path, schema: type[Row]) -> Iterator[Row]:
    """Rows of a JSON-lines file one by one; see `read_rows`."""
    try:
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield _row(line, schema, file, number)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=file, remedy="The file must be UTF-8 JSON lines.") from error


def _row(line: str, schema: type[Row], file: Path, number: int) -> Row:
    try:
        return schema.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"the row does not fit {schema.__name__}: {first['msg']}",
            file=file,
            line=number,
            place=place,
            remedy="Mend or delete that line.",
        ) from error


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object for people and machines, whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(file)


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; raises `InputError` when it is missing or is none."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read as JSON ({error})", file=file, remedy="Delete the folder it stands in; it will be made again."
        ) from error
    if not isinstance(value, dict):
        raise InputError("holds no JSON object", file=file)
    return value
