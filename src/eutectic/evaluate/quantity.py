"""Numbers with units in answers: found, read, and converted by pint."""

from __future__ import annotations

import re

from eutectic.units import convert

NUMBER = r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:\s*(?:[eE]|[x×*]\s*10\s*\^?)\s*[-+\u2212]?\d+)?"
LEADING_NUMBER = re.compile(rf"^\s*(?P<number>{NUMBER})\s*(?P<unit>.*?)\s*\.?\s*$", re.DOTALL)
ANY_NUMBER = re.compile(rf"(?<![\w.])(?P<number>(?=[-+\u2212]?\.?\d){NUMBER})\s*(?P<unit>[^\s,;()]*(?:\s*[/*·]\s*[^\s,;()]+)*)")

Quantity = tuple[float, str]


def alone(text: str, unit: str) -> Quantity | None:
    """A number that is the whole of a text, with its unit, converted into `unit`; None for anything else."""
    return _quantity(unit, LEADING_NUMBER.match(text))


def mentioned(text: str, unit: str) -> Quantity | None:
    """The first number of a text whose unit converts into `unit`, else its first number when that has no unit."""
    for match in ANY_NUMBER.finditer(text):
        if (found := _quantity(unit, match)) is not None:
            return found
    bare = ANY_NUMBER.search(text)
    return (_number(bare["number"]), "") if bare and (not unit or not bare["unit"].strip(".")) else None


def parts(text: str) -> Quantity | None:
    """Number and unit of a text that begins with a number, as written."""
    match = LEADING_NUMBER.match(text)
    return (_number(match["number"]), match["unit"]) if match and _digits(match["number"]) else None


def close(value: float, wanted: float, tolerance: float) -> bool:
    """Whether a value is within a relative tolerance of the one wanted."""
    return abs(value - wanted) <= tolerance * abs(wanted)


def _quantity(into: str, match: re.Match[str] | None) -> Quantity | None:
    """A matched number with its unit, converted into the unit wanted; None where the unit does not fit."""
    if match is None or not _digits(match["number"]):
        return None
    value, unit = _number(match["number"]), match["unit"].strip().rstrip(".")
    if not into:
        return (value, "") if not unit else None
    converted = convert(value, unit, into) if unit else None
    return None if converted is None else (converted, into)


def _digits(text: str) -> bool:
    return any(c.isdigit() for c in text)


def _number(text: str) -> float:
    plain = re.sub(r"\s*[x×*]\s*10\s*\^?\s*", "e", text.replace(",", "").replace("\u2212", "-"))
    return float(re.sub(r"\s+", "", plain))
