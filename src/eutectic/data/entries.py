"""Files of questions as entries: JSON lines, JSON, CSV, TSV and Parquet, each entry with the place it stands at."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eutectic.data import parquet
from eutectic.data.readers import json_lines
from eutectic.errors import InputError


@dataclass(frozen=True)
class Entry:
    """One object of a file. `line` is where it begins, None in JSON documents and Parquet, where `place` says which one it is.

    A table without a header gives its cells under `cells`.
    """

    file: Path
    value: dict[str, Any]
    line: int | None = None
    place: str = ""

    @property
    def name(self) -> str:
        """What an item of this entry is called where it has no id of its own."""
        return f"{self.file.stem}-{self.line or self.place.removeprefix('entry ')}"

    def error(self, found: str, remedy: str, place: str = "") -> InputError:
        """What is wrong with the entry, with its place and that of the key."""
        return InputError(
            found, file=self.file, line=self.line, place=".".join(part for part in (self.place, place) if part), remedy=remedy
        )

    def holding(self, value: dict[str, Any], place: str = "") -> Entry:
        """Another object at the same place, or at a place within it."""
        return replace(self, value=value, place=place or self.place)


def read(file: Path) -> list[Entry]:
    """All entries of a file, by its suffix.

    Raises `InputError` for a file that is missing, empty, not UTF-8 (a byte order mark is accepted) or of a suffix without a reader, and
    with the line for what cannot be parsed.
    """
    if file.suffix.lower() not in READERS:
        raise InputError(
            f"no reader for `{file.suffix or file.name}` files of questions",
            file=file,
            remedy=f"Formats read: {', '.join(READERS)}.",
        )
    entries = list(READERS[file.suffix.lower()](file))
    if not entries:
        raise InputError("holds no item", file=file, remedy="Write one JSON object a line: question, options, answer.")
    return entries


def _text(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file, remedy="Check the path and its permissions.") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"is not UTF-8 text (byte {error.start})", file=file, line=line, remedy="Convert it to UTF-8.") from error


def _lines(file: Path) -> Iterator[Entry]:
    _text(file)
    for number, value in json_lines(file):
        yield Entry(file, value, line=number)


def _rows(file: Path) -> Iterator[Entry]:
    for number, value in parquet.rows(file):
        yield Entry(file, value, place=f"entry {number}")


def _document(file: Path) -> Iterator[Entry]:
    """The objects of a JSON list, or one object; JSON lines under the name `.json` are read as such."""
    text = _text(file)
    if not text.strip():
        return
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _lines(file)
            return
        raise InputError(f"is not JSON ({error.msg})", file=file, line=error.lineno, remedy="Mend the file.") from error
    for number, each in enumerate(value if isinstance(value, list) else [value], 1):
        if not isinstance(each, dict):
            raise InputError("holds no JSON object", file=file, place=f"entry {number}", remedy="Each entry must be one JSON object.")
        yield Entry(file, each, place=f"entry {number}")


def _table(file: Path) -> Iterator[Entry]:
    """Rows by the names of the header, or bare cells where the first row has no cell `question`."""
    rows = list(_cells(file, _text(file)))
    if not rows:
        return
    header = [cell.strip().lower() for cell in rows[0][1]]
    if "question" not in header:
        yield from (Entry(file, {"cells": cells}, line=line) for line, cells in rows)
        return
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"has {len(cells)} columns, the header {len(header)}", file=file, line=line, remedy="Put cells that hold commas in quotes."
            )
        yield Entry(file, dict(zip(header, cells, strict=True)), line=line)


def _cells(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of every row that is not empty; a cell in quotes may run over several lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if file.suffix.lower() == ".tsv" else ",", strict=True)
    begins = 1
    try:
        for cells in reader:
            if cells:
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"is no table ({error})", file=file, line=begins, remedy="Mend the quotes of that row.") from error


READERS: dict[str, Callable[[Path], Iterator[Entry]]] = {
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".json": _document,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": _rows,
}
