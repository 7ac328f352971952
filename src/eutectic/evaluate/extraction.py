"""Structured extraction: reading records out of an answer, pairing them with the gold ones, counting fields.

A field of an answer counts as found right where the record is paired with a gold record that states the same: texts after normalisation,
numbers within the item's relative tolerance after conversion by pint, units where one converts into the other. With tp fields right, p
fields answered and g fields in the gold records, precision = tp / p, recall = tp / g and F1 = 2 tp / (p + g).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from eutectic.evaluate import quantity, words
from eutectic.specs.base import Spec
from eutectic.specs.rows import Extracted
from eutectic.units import convert

FIELDS = tuple(Extracted.model_fields)
# A bound on what is repaired and paired: an answer that repeats itself until it is cut off holds no more than this.
MOST_RECORDS = 64


class Answered(Spec):
    """A record as the instruction asks for it; a text that says nothing may be null."""

    material: str
    property: str
    value: float | None
    unit: str | None
    method: str | None


ANSWER: TypeAdapter[list[Answered]] = TypeAdapter(list[Answered])


@dataclass(frozen=True)
class Count:
    """Fields found right, answered, and in the gold records."""

    right: int = 0
    answered: int = 0
    gold: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.right + other.right, self.answered + other.answered, self.gold + other.gold)

    @property
    def precision(self) -> float:
        """Share of what was answered that is right; 0 where nothing was answered."""
        return self.right / self.answered if self.answered else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold that was found."""
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there is nothing to find and nothing was answered."""
        both = self.answered + self.gold
        return 2 * self.right / both if both else 1.0


def schema() -> dict[str, Any]:
    """The JSON schema of an answer, bounded so that a model which repeats itself does not write one text or one list only."""
    text = {"type": "string", "maxLength": 80}
    number = {"type": "number", "minimum": -1e18, "maximum": 1e18}  # without bounds 1e999 would be one
    kinds: dict[str, Any] = dict.fromkeys(FIELDS, text) | {"value": {"anyOf": [number, {"type": "null"}]}}
    record = {"type": "object", "properties": kinds, "required": list(FIELDS), "additionalProperties": False}
    return {"type": "array", "items": record, "minItems": 1, "maxItems": 12}


def read(text: str) -> tuple[tuple[Extracted, ...], bool]:
    """The records of an answer and whether it is nothing but valid JSON of the schema."""
    try:
        found = ANSWER.validate_json(text, strict=True)
    except ValidationError:
        return repaired(text), False
    return tuple(_record(each.model_dump()) for each in found[:MOST_RECORDS]), True


def repaired(text: str) -> tuple[Extracted, ...]:
    """Whatever whole records stand in a text: inside code fences or talk, alone instead of in a list, before a cut, with trailing commas.

    Numbers may be written as text with their unit ("1.2 GPa"); keys that were not asked for are left out.
    """
    records = []
    for match in re.finditer(r"\{[^{}]*\}", text):
        try:
            value = json.loads(re.sub(r",\s*\}", "}", match[0]))
        except ValueError:
            continue
        record = _record({str(name).strip().lower(): given for name, given in value.items()})
        records += [record] if record.material or record.property else []
    return tuple(records[:MOST_RECORDS])


def _record(given: dict[str, Any]) -> Extracted:
    """A record of whatever types a model gave: a number in words is read, what is neither text nor number is dropped."""
    texts = {name: _text(given.get(name)) for name in FIELDS if name != "value"}
    value = given.get("value")
    if isinstance(value, str):
        number, unit = quantity.parts(value) or (None, "")
        return Extracted(**{**texts, "unit": texts["unit"] or unit}, value=number)
    finite = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    return Extracted(**texts, value=value if finite else None)


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def written(records: Iterable[Extracted]) -> str:
    """Records as one line of JSON, from which `restored` has them back."""
    return json.dumps([record.model_dump() for record in records], ensure_ascii=False)


def restored(text: str) -> tuple[Extracted, ...]:
    """The records that `written` wrote."""
    return tuple(Extracted.model_validate(record) for record in json.loads(text)) if text else ()


def counts(gold: Sequence[Extracted], found: Sequence[Extracted], tolerance: float) -> dict[str, Count]:
    """Counts by field of an answer against the gold records."""
    partner = {f: gold[g] for g, f in pairs(gold, found)}
    return {
        name: Count(
            sum(_agrees(name, partner[f], record, tolerance) for f, record in enumerate(found) if f in partner),
            sum(_given(record, name) for record in found),
            sum(_given(record, name) for record in gold),
        )
        for name in FIELDS
    }


def pairs(gold: Sequence[Extracted], found: Sequence[Extracted]) -> list[tuple[int, int]]:
    """Gold and found records that speak of the same property of the same material, the likest pairs first, each record once."""
    likeness = {(g, f): _likeness(wanted, given) for g, wanted in enumerate(gold) for f, given in enumerate(found)}
    made: list[tuple[int, int]] = []
    for (g, f), value in sorted(likeness.items(), key=lambda entry: (-entry[1], entry[0])):
        if value > 0 and all(g != other and f != taken for other, taken in made):
            made.append((g, f))
    return made


def _likeness(gold: Extracted, found: Extracted) -> float:
    """Overlap of words in material and in property, 0 unless both overlap; the same number decides between records equally alike."""
    material, named = _overlap(gold.material, found.material), _overlap(gold.property, found.property)
    same = gold.value is not None and gold.value == found.value
    return material + named + 0.01 * same if material and named else 0.0


def _overlap(one: str, other: str) -> float:
    """Dice's coefficient of two sets of words."""
    first, second = set(words.normalised(one)), set(words.normalised(other))
    return 2 * len(first & second) / (len(first) + len(second)) if first and second else 0.0


def _given(record: Extracted, name: str) -> bool:
    return getattr(record, name) not in (None, "")


def _agrees(name: str, gold: Extracted, found: Extracted, tolerance: float) -> bool:
    if not _given(gold, name) or not _given(found, name):
        return False
    if name == "value":
        assert gold.value is not None
        assert found.value is not None
        value = convert(found.value, found.unit, gold.unit) if found.unit and gold.unit else found.value
        return value is not None and quantity.close(value, gold.value, tolerance)
    if name == "unit":
        return convert(1.0, found.unit, gold.unit) is not None
    return words.normalised(getattr(gold, name)) == words.normalised(getattr(found, name))
