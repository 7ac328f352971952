"""Source files as documents: ontologies (OBO), JSON lines, and papers in the formats of `data.papers`, one function a format.

A reader hands on only what `keep` accepts, so that a keyword filter over a large ontology costs no memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eutectic.data import ontology
from eutectic.data.papers.document import document as paper_document
from eutectic.data.papers.formats import PAPERS
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Dropped, Quantity, Term
from eutectic.specs.study import Cut

HEAD = 1 << 16  # bytes that tell an empty or a binary file
PDF = b"%PDF-"

Keep = Callable[[str], bool]
Read = tuple[list[Document], list[Dropped]]


def read(file: Path, keep: Keep, cut: Sequence[Cut] = ()) -> Read:
    """Documents of one file whose text `keep` accepts, and what was left out; of papers, the parts named in `cut` are.

    Raises `InputError` for a missing, empty or binary file, for a damaged one and for a format without a reader.
    """
    check(file)
    suffix = file.suffix.lower()
    try:
        return READERS[suffix](file, keep) if suffix in READERS else _read_paper(file, keep, cut)
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not UTF-8 text (byte {error.start})", file=file, remedy="Convert it to UTF-8, or leave it out of `files`."
        ) from error


def check(file: Path) -> None:
    """Raise the `InputError` of `read` that can be known from the name and the first bytes."""
    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"no reader for `{suffix or file.name}` files", file=file, remedy=f"Formats read: {', '.join(FORMATS)}.")
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file, remedy="Check the path and its permissions.") from error
    if not head.strip():
        raise InputError("is empty", file=file, remedy="Delete it, or narrow the `files` pattern of the corpus.")
    if (PDF in head[:1024]) != (suffix == ".pdf"):
        found = "is a PDF under another name" if PDF in head[:1024] else f"is no PDF: it begins with {head[:12].decode('latin-1')!r}"
        raise InputError(found, file=file, remedy="Give it its right suffix, or fetch it again (a page may have been saved in its place).")
    if suffix != ".pdf" and b"\0" in head:
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
    with file.open(encoding="utf-8-sig") as stream:
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


def _read_paper(file: Path, keep: Keep, cut: Sequence[Cut]) -> Read:
    """The whole file as one document."""
    document = paper_document(PAPERS[file.suffix.lower()](file), file.name, cut)
    if not document.text.strip():
        raise InputError("holds no text", file=file, remedy="Look at the file; if its text is in a part that is cut, set `cut: []`.")
    if not keep(f"{document.title}. {document.text}"):
        return [], [Dropped(source=file.name, reason="none of the keywords")]
    return [document], []


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
}
FORMATS = (*READERS, *PAPERS)
