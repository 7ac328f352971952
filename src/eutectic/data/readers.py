"""Source files as documents: ontologies (OBO), JSON lines, plain text and Markdown, one function a format.

A reader hands on only what `keep` accepts, so that a keyword filter over a large ontology costs no memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eutectic.data import ontology
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Dropped, Quantity, Section, Term

HEAD = 1 << 16  # bytes that tell an empty or a binary file

Keep = Callable[[str], bool]
Read = tuple[list[Document], list[Dropped]]


def read(file: Path, keep: Keep) -> Read:
    """Documents of one file whose text `keep` accepts, and what was left out.

    Raises `InputError` for a missing, empty or binary file and for a format without a reader.
    """
    check(file)
    try:
        return READERS[file.suffix.lower()](file, keep)
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not UTF-8 text (byte {error.start})", file=file, remedy="Convert it to UTF-8, or leave it out of `files`."
        ) from error


def check(file: Path) -> None:
    """Raise the `InputError` of `read` that can be known from the name and the first bytes."""
    if file.suffix.lower() not in READERS:
        raise InputError(
            f"no reader for `{file.suffix or file.name}` files", file=file, remedy=f"Formats read: {', '.join(sorted(READERS))}."
        )
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file, remedy="Check the path and its permissions.") from error
    if not head.strip():
        raise InputError("is empty", file=file, remedy="Delete it, or narrow the `files` pattern of the corpus.")
    if b"\0" in head:
        raise InputError("is a binary file, not text", file=file, remedy="Narrow the `files` pattern of the corpus to text files.")


def read_ontology(file: Path, keep: Keep) -> Read:
    """One document a term with a definition; its `group` is settled later, by `classes.assign`."""
    entries = ontology.read(file)
    known, parents = ontology.names(entries), {entry.id: entry.parents for entry in entries}
    reasons: dict[str, int] = {}
    documents = []
    for entry in entries:
        if reason := _misfit(entry, keep):
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            documents.append(_term_document(entry, known, ontology.above(entry.id, parents), file))
    return documents, [Dropped(source=file.name, reason=f"{count} terms: {reason}") for reason, count in sorted(reasons.items())]


def _misfit(entry: ontology.Entry, keep: Keep) -> str:
    if not entry.definition:
        return "no definition written by a person"
    if not keep(f"{entry.name}. {entry.definition}"):
        return "none of the keywords"
    if not ontology.fit(entry.name, entry.definition):
        low, high = ontology.DEFINITION_WORDS
        return f"name over {ontology.NAME_WORDS} words or definition outside {low}-{high} words"
    return "definition repeats the name" if ontology.repeats_name(entry) else ""


def _term_document(entry: ontology.Entry, known: dict[str, str], above: tuple[str, ...], file: Path) -> Document:
    term = Term(
        name=entry.name,
        definition=entry.definition,
        synonyms=entry.synonyms,
        parents=tuple(known[i] for i in entry.parents if i in known),
        ancestors=tuple(dict.fromkeys(known[i] for i in above if i in known)),
    )
    text = f"{sentence_case(term.name)}: {term.definition}"
    return Document(id=entry.id, group=entry.id, title=term.name, text=text, source=file.name, term=term)


def read_json_lines(file: Path, keep: Keep) -> Read:
    """One document a line: an object with `text`, or with `title` and `quantities`; other keys of `Document` as they are."""
    documents = []
    reasons: list[Dropped] = []
    for number, value in json_lines(file):
        document = _json_document(value, file, number)
        if keep(f"{document.title}. {document.text}"):
            documents.append(document)
        else:
            reasons.append(Dropped(source=f"{file.name}, line {number}", reason="none of the keywords"))
    return documents, reasons


def json_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line; raises `InputError` naming the line that holds none."""
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise InputError(f"is not JSON ({error})", file=file, line=number, remedy="Each line must be one JSON object.") from error
            if not isinstance(value, dict):
                raise InputError("holds no JSON object", file=file, line=number, remedy="Each line must be one JSON object.")
            yield number, value


def _json_document(value: dict[str, Any], file: Path, number: int) -> Document:
    title = str(value.get("title", ""))
    identity = str(value.get("id") or f"{file.stem}:{number}")
    text = value.get("text")
    if text is None and value.get("quantities"):
        text = title
    filled = {"source": file.name, "group": identity, **value, "id": identity, "title": title, "text": text}
    try:
        document = Document.model_validate(filled)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"is no document: {first['msg']}", file=file, line=number, place=place, remedy="A document needs at least `text`."
        ) from error
    if not document.text.strip():
        raise InputError("the `text` of this document is empty", file=file, line=number, remedy="Fill or delete that line.")
    return document


def read_text(file: Path, keep: Keep) -> Read:
    """The whole file as one document; a first Markdown heading is its title."""
    text = file.read_text(encoding="utf-8").strip()
    if not keep(text):
        return [], [Dropped(source=file.name, reason="none of the keywords")]
    title = next((line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("#")), file.stem)
    sections = tuple(_sections(text))
    return [Document(id=file.name, group=file.name, title=title, text=text, source=file.name, sections=sections)], []


def _sections(text: str) -> Iterator[Section]:
    """Markdown headings with the character range below each."""
    starts: list[tuple[int, int, str]] = []
    position = 0
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            starts.append((position, position + len(line), line.lstrip("# ").strip()))
        position += len(line)
    for index, (_, body, title) in enumerate(starts):
        end = starts[index + 1][0] if index + 1 < len(starts) else len(text)
        yield Section(title=title, start=min(body, end), end=end)


def sentence_case(name: str) -> str:
    """`name` with a capital first, the rest untouched."""
    return name[:1].upper() + name[1:]


def quantity_text(quantity: Quantity) -> str:
    """Value and unit as written in text, e.g. `1811 K`: whole numbers bare, others to four significant digits."""
    return f"{number_text(quantity.value)} {quantity.unit}".strip()


def number_text(value: float) -> str:
    """A number as people write it: four significant digits, no exponent between 1e-3 and 1e7."""
    rounded = float(f"{value:.4g}")
    if rounded.is_integer() and abs(rounded) < 1e7:
        return str(int(rounded))
    if 1e-3 <= abs(rounded) < 1e7:
        return f"{rounded:.7f}".rstrip("0")
    return f"{rounded:.4g}"


READERS: dict[str, Callable[[Path, Keep], Read]] = {
    ".obo": read_ontology,
    ".jsonl": read_json_lines,
    ".txt": read_text,
    ".md": read_text,
}
