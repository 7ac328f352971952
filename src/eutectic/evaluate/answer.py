"""Reading answers given in words: a strict parser for the form asked for and a lenient one for what was meant.

`correct` follows the lenient parser, a format failure the strict one: whoever knows the answer but not the form is told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_uppercase

from eutectic.evaluate.prompts import letters, order
from eutectic.specs.rows import Item
from eutectic.units import convert

NUMBER = r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:\s*(?:[eE]|[x×*]\s*10\s*\^?)\s*[-+\u2212]?\d+)?"
LEADING_NUMBER = re.compile(rf"^\s*(?P<number>{NUMBER})\s*(?P<unit>.*?)\s*\.?\s*$", re.DOTALL)
ANY_NUMBER = re.compile(rf"(?<![\w.])(?P<number>(?=[-+\u2212]?\.?\d){NUMBER})\s*(?P<unit>[^\s,;()]*(?:\s*[/*·]\s*[^\s,;()]+)*)")


@dataclass(frozen=True)
class Parsed:
    """`text` is what was understood (a letter, or number and unit; empty for nothing), `choice` the index of the option meant."""

    text: str
    choice: int | None
    correct: bool
    format_failure: bool


def read(item: Item, text: str) -> Parsed:
    """Judge an answer to an item."""
    return _numeric(item, text) if item.kind == "numeric" else _letter(item, text)


def _letter(item: Item, text: str) -> Parsed:
    names = letters(item)
    strict = re.fullmatch(rf"\s*([{names}])[.)]?\s*", text)
    letter = strict.group(1) if strict else lenient_letter(item, text)
    choice = order(item)[names.index(letter)] if letter else None
    return Parsed(letter, choice, choice is not None and choice == item.answer, strict is None)


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


def _numeric(item: Item, text: str) -> Parsed:
    strict = _quantity(item, LEADING_NUMBER.match(text))
    found = strict if strict is not None else next((q for m in ANY_NUMBER.finditer(text) if (q := _quantity(item, m)) is not None), None)
    if found is None:
        bare = ANY_NUMBER.search(text)
        found = (_number(bare["number"]), "") if bare and (not item.unit or not bare["unit"].strip(".")) else None
    if found is None:
        return Parsed("", None, correct=False, format_failure=True)
    return Parsed(f"{found[0]:g} {found[1]}".strip(), None, close(item, found[0]), strict is None)


def close(item: Item, value: float) -> bool:
    """Whether a value in the item's unit is within its relative tolerance."""
    assert item.value is not None
    return abs(value - item.value) <= item.tolerance * abs(item.value)


def _quantity(item: Item, match: re.Match[str] | None) -> tuple[float, str] | None:
    """A matched number with its unit, converted into the item's unit; None where the unit does not fit."""
    if match is None or not any(c.isdigit() for c in match["number"]):
        return None
    value, unit = _number(match["number"]), match["unit"].strip().rstrip(".")
    if not item.unit:
        return (value, "") if not unit else None
    converted = convert(value, unit, item.unit) if unit else None
    return None if converted is None else (converted, item.unit)


def _number(text: str) -> float:
    plain = re.sub(r"\s*[x×*]\s*10\s*\^?\s*", "e", text.replace(",", "").replace("\u2212", "-"))
    return float(re.sub(r"\s+", "", plain))
