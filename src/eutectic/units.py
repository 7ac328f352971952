"""Units as people write them, read by pint: those of items and those of answers go through the same door."""

from __future__ import annotations

import functools
import re
from typing import Any

RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
LONGEST = 40  # characters of a unit; anything longer is a sentence


def convert(value: float, unit: str, into: str) -> float | None:
    """`value` of `unit` in the unit `into`, or None where pint does not know the unit or the dimensions differ."""
    if unit == into:
        return value
    if not _sensible(unit):
        return None
    try:
        return float(_registry().Quantity(value, readable(unit)).to(readable(into)).magnitude)
    except Exception:  # pint raises tokenizer, attribute, type and zero-division errors for words that are no unit
        return None


def known(unit: str) -> bool:
    """Whether pint knows the unit, as written here or as people write it (`W·m⁻¹·K⁻¹`, `g/cm3`)."""
    try:
        return _sensible(unit) and _registry().parse_units(readable(unit)) is not None
    except Exception:  # as above
        return False


def readable(unit: str) -> str:
    """A unit as people write it, in pint's spelling."""
    plain = unit.replace("°C", "degC").replace("°F", "degF").replace("·", "*").replace("^", "**").translate(RAISED)
    return re.sub(r"(?<=[A-Za-zµμΩ])(-?\d)", r"**\1", plain)


def _sensible(unit: str) -> bool:
    """False for a sentence, or a power that would keep pint busy."""
    return len(unit) <= LONGEST and not re.search(r"\d{2}", unit)


@functools.cache
def _registry() -> Any:
    """The units pint knows; made once, since reading them takes half a second."""
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
