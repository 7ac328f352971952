"""Ontologies in OBO format (version 1.4): terms with an expert's definition and their place in a classification.

Terms are the road to honest questions without a teacher: a definition names its term, siblings are distractors of the
same kind, and a parent class is what training and testing are split by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eutectic.errors import InputError

# Longer definitions hold several facts; shorter ones hold none.
DEFINITION_WORDS = (4, 25)
NAME_WORDS = 7

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "W": " "}
_WORD = re.compile(r"[a-z]{3,}")
_SHORT = frozenset(
    [
        "all",
        "and",
        "any",
        "are",
        "but",
        "can",
        "for",
        "had",
        "has",
        "its",
        "may",
        "not",
        "off",
        "one",
        "our",
        "out",
        "per",
        "she",
        "the",
        "two",
        "via",
        "was",
        "who",
    ]
)
_MARKUP = re.compile(r"<[^>]{1,12}>")
_CITATION = re.compile(r"\s*\[[^\]]*\]|\s*\([^()]*(?:et al|modified from|[A-Z][a-z]+,? \d{4})[^()]*\)")
_GENERATED = re.compile(r"automatically generated|obsolete", re.IGNORECASE)
_SIDED = re.compile(
    r"\b(?:left|right|\d+[a-z]?|[ivx]+|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Entry:
    """A term as its file states it; `parents` are ids, `known_as` the names written beside them."""

    id: str
    name: str
    definition: str = ""
    synonyms: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    known_as: dict[str, str] = field(default_factory=dict)


def read(file: Path) -> list[Entry]:
    """The current (not obsolete) terms of an OBO file.

    Raises `InputError` where the file holds no terms, or a term has no id or name.
    """
    entries = [entry for line, stanza in _stanzas(file) if (entry := _entry(stanza, file, line)) is not None]
    if not entries:
        raise InputError("holds no [Term] of an ontology", file=file, remedy="Bring a file in OBO format (version 1.2 or 1.4).")
    return entries


def _stanzas(file: Path) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Line number and tag-value pairs of each [Term]."""
    stanza: list[tuple[str, str]] | None = None
    start = 0
    with file.open(encoding="utf-8") as stream:
        for number, raw in enumerate(stream, 1):
            line = raw.strip()
            if line.startswith("["):
                if stanza is not None:
                    yield start, stanza
                stanza, start = ([] if line == "[Term]" else None), number
            elif stanza is not None and ": " in line:
                tag, _, value = line.partition(": ")
                stanza.append((tag, value))
    if stanza is not None:
        yield start, stanza


def _entry(stanza: list[tuple[str, str]], file: Path, line: int) -> Entry | None:
    first = dict(reversed(stanza))
    if first.get("is_obsolete", "").startswith("true"):
        return None
    for tag in ("id", "name"):
        if not first.get(tag):
            raise InputError(f"a term has no `{tag}`", file=file, line=line, remedy="Mend or delete that [Term].")
    parents: dict[str, str] = {}
    for tag, value in stanza:
        if tag == "is_a":
            target, _, name = value.partition(" ! ")
            parents[target.split(" ", 1)[0]] = name.strip()
    return Entry(
        id=first["id"],
        name=_unescape(first["name"]),
        definition=clean_definition(_quoted(first.get("def", ""))),
        synonyms=tuple(dict.fromkeys(_quoted(value) for tag, value in stanza if tag == "synonym" and "EXACT" in value)),
        parents=tuple(parents),
        known_as=parents,
    )


def _quoted(value: str) -> str:
    found = _QUOTED.search(value)
    return _unescape(found.group(1)) if found else ""


def _unescape(value: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match.group(1), match.group(1)), value).strip()


def clean_definition(text: str) -> str:
    """A definition as one plain sentence or two: no markup, no citations, a capital first and a full stop last.

    A definition that software wrote from the term's name says nothing and becomes empty.
    """
    if _GENERATED.search(text):
        return ""
    plain = " ".join(_CITATION.sub("", _MARKUP.sub("", text)).split())
    if not plain:
        return ""
    plain = plain[0].upper() + plain[1:]
    return plain if plain.endswith((".", "?", "!")) else f"{plain}."


def above(start: str, parents: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Ids of all classes above a term, nearest first; `parents` by id. An is_a circle is followed once."""
    found: dict[str, None] = {}
    rank = list(parents[start])
    while rank:
        fresh = [name for name in dict.fromkeys(rank) if name not in found and name != start]
        found.update(dict.fromkeys(fresh))
        rank = [parent for name in fresh for parent in parents.get(name, ())]
    return tuple(found)


def names(entries: list[Entry]) -> dict[str, str]:
    """Name of every id, of this file or as written beside an `is_a` that leads out of it."""
    known: dict[str, str] = {}
    for entry in entries:
        known.update({identity: name for identity, name in entry.known_as.items() if name})
    known.update({entry.id: entry.name for entry in entries})
    return known


def fit(name: str, definition: str) -> bool:
    """Whether a term is one fact of a readable size; see `DEFINITION_WORDS` and `NAME_WORDS`."""
    low, high = DEFINITION_WORDS
    return low <= len(definition.split()) <= high and len(name.split()) <= NAME_WORDS


def repeats_name(entry: Entry) -> bool:
    """Whether the definition holds every word of the name ("Cartilage of the hip: cartilage that is part of the hip"): no fact to learn."""
    name = content_words(entry.name)
    return bool(name) and name <= content_words(entry.definition)


def content_words(text: str) -> frozenset[str]:
    """Words of three letters and more, cut to six letters so that `cartilage` and `cartilaginous` are one.

    Common words of three letters are left out; longer ones stay, since even `with` may tell an option.
    """
    return frozenset(word[:6] for word in _WORD.findall(text.lower()) if word not in _SHORT)


def twin_key(text: str) -> str:
    """`text` without numbers, ordinals and sides: "left rib 3" and "right rib 12" are twins, and twins leak across any split."""
    return " ".join(_SIDED.sub("#", text.lower()).split())
