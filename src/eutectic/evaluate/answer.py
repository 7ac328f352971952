"""Judging answers in words: a strict parser for the form asked for and a lenient one for what was meant.

`score` follows the lenient parser, a format failure the strict one: whoever knows the answer but not the form is told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_uppercase

from eutectic.evaluate import extraction, quantity, words
from eutectic.evaluate.prompts import letters, order
from eutectic.specs.rows import Item


@dataclass(frozen=True)
class Parsed:
    """`text` is what was understood (empty for nothing), `choice` the index of the option meant, `score` what it counts."""

    text: str
    choice: int | None
    score: float
    format_failure: bool


def read(item: Item, text: str) -> Parsed:
    """Judge an answer to an item."""
    kinds = {"choice": _letter, "true_false": _true_false, "numeric": _numeric, "short": _short, "extraction": _extraction}
    return kinds[item.kind](item, text)


def _letter(item: Item, text: str) -> Parsed:
    names = letters(item)
    strict = re.fullmatch(rf"\s*([{names}])[.)]?\s*", text)
    letter = strict.group(1) if strict else lenient_letter(item, text)
    choice = order(item)[names.index(letter)] if letter else None
    return Parsed(letter, choice, float(choice is not None and choice == item.answer), strict is None)


def lenient_letter(item: Item, text: str) -> str:
    """The letter a free answer means, or nothing: a named letter ("Answer: B", "(b)", "B. bone"), else the one option it quotes."""
    names = letters(item)
    either = f"{names}{names.lower()}"
    for pattern in (
        rf"^\W*([{names}])(?![\w'’]|\s*(?:,|/|\bor\b|\band\b))",
        rf"(?i:answer|option|choice|letter)(?:\s+is)?\W{{0,4}}([{either}])(?![\w'’])",
        rf"^\W*([{either}])\s*[.):]",
        rf"\(([{either}])\)",
        rf"(?<![\w'’])([{names[1:]}])(?![\w'’])",  # a capital A in running text is an article
    ):
        found = {match.upper() for match in re.findall(pattern, text)}
        if len(found) == 1:
            return str(found.pop())
    plain = _plain(text)
    quoted = [
        name
        for name, i in zip(names, order(item), strict=True)
        if _plain(item.options[i]) and f" {_plain(item.options[i])} " in f" {plain} "
    ]
    longest = [q for q in quoted if not any(q != o and _inside(item, q, o) for o in quoted)]
    return longest[0] if len(longest) == 1 else ""


def _inside(item: Item, one: str, other: str) -> bool:
    """Whether the option behind one letter is part of the option behind another."""
    first, second = (_plain(item.options[order(item)[ascii_uppercase.index(letter)]]) for letter in (one, other))
    return first in second


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _true_false(item: Item, text: str) -> Parsed:
    said, alone = words.verdict(text)
    if said is None:
        return Parsed("", None, 0.0, format_failure=True)
    choice = next(i for i, option in enumerate(item.options) if (option.lower() == "true") == said)
    return Parsed(item.options[choice], choice, float(choice == item.answer), not alone)


def _numeric(item: Item, text: str) -> Parsed:
    assert item.value is not None
    strict = quantity.alone(text, item.unit)
    found = strict if strict is not None else quantity.mentioned(text, item.unit)
    if found is None:
        return Parsed("", None, 0.0, format_failure=True)
    right = quantity.close(found[0], item.value, item.tolerance)
    return Parsed(f"{found[0]:g} {found[1]}".strip(), None, float(right), strict is None)


def _short(item: Item, text: str) -> Parsed:
    """A right answer inside a sentence broke the form; a wrong one did only where it is no short answer at all."""
    exact = words.exactly(text, item.answers)
    found = exact or words.stated(text, item.answers)
    return Parsed(found or text.strip()[:80], None, float(bool(found)), not exact and (bool(found) or words.talks(text)))


def _extraction(item: Item, text: str) -> Parsed:
    records, strict = extraction.read(text)
    by_field = extraction.counts(item.records, records, item.tolerance)
    return Parsed(extraction.written(records), None, sum(by_field.values(), extraction.Count()).f1, not strict)
