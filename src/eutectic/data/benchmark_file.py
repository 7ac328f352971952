"""Benchmarks a user brings: files of questions in our own keys or a published shape, checked before a model reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eutectic import units
from eutectic.data import chance, entries
from eutectic.data.entries import Entry
from eutectic.data.importers import LETTERS, LeftOut, imported
from eutectic.errors import InputError
from eutectic.specs.rows import Item
from eutectic.specs.steps import BenchmarkStep

PACKAGED = files("eutectic.data") / "library"
TRUE_FALSE = ("True", "False")


@dataclass(frozen=True)
class Found:
    """The items of a file, the shape it was in, and how many published items were left out for which reason."""

    items: list[Item]
    shape: str
    left_out: dict[str, int]


def packaged() -> list[str]:
    """Names of the benchmarks that ship with the package."""
    return sorted(entry.name.removesuffix(".jsonl") for entry in PACKAGED.iterdir() if entry.name.endswith(".jsonl"))


def locate(name_or_path: str) -> Path:
    """The file of a benchmark: a path, or the name of a packaged one; raises `InputError` for neither."""
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    if name_or_path in packaged():
        return Path(str(PACKAGED / f"{name_or_path}.jsonl"))
    raise InputError(f"there is no benchmark {name_or_path!r}", remedy=f"Give a file, or one of: {', '.join(packaged())}.")


def read_items(file: Path, spec: BenchmarkStep) -> Found:
    """Items of a file, its shape told by its keys (docs/measuring.md).

    Left-out keys are filled: ids from the place in the file, groups from the id, the split by hash of the group. Raises `InputError` with
    the line for an item that no model could answer rightly, or an id that comes twice.
    """
    items: list[Item] = []
    left_out: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    seen: dict[str, Entry] = {}
    for entry in entries.read(file):
        shape, values = imported(entry)
        shapes[shape] += 1
        for value in values:
            if isinstance(value, LeftOut):
                left_out[value.reason] += 1
                continue
            item = _item(value, spec, entry)
            if item.id in seen:
                where = f"line {seen[item.id].line}" if seen[item.id].line else seen[item.id].place
                raise entry.error(f"the id `{item.id}` was used on {where}", "Give every item its own id.")
            seen[item.id] = entry
            items.append(item)
    if not items:
        raise InputError(
            f"holds no item that can be scored ({dict(left_out)})", file=file, remedy="See docs/measuring.md, benchmark files."
        )
    return Found(items, shapes.most_common(1)[0][0], dict(left_out))


def _item(value: Mapping[str, Any], spec: BenchmarkStep, entry: Entry) -> Item:
    identity = str(value.get("id") or entry.name)
    group = str(value.get("group") or identity)
    split = "dev" if chance.unit(spec.seed, "dev", group) < spec.dev else "test"
    filled = {"split": split, "role": spec.role, "kind": _kind(value), **value, "id": identity, "group": group}
    if filled["kind"] == "choice":
        filled |= _choice(value, entry)
    elif filled["kind"] == "true_false":
        filled |= _true_false(value, entry)
    try:
        item = Item.model_validate(filled)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise entry.error(f"is no item: {first['msg']}", "See docs/measuring.md, benchmark files.", place) from error
    _check(item, entry)
    return item


def _kind(value: Mapping[str, Any]) -> str:
    """The kind of an item that does not say it."""
    for key, kind in (("value", "numeric"), ("records", "extraction"), ("answers", "short"), ("options", "choice")):
        if key in value:
            return kind
    return "true_false" if _verdict(value.get("answer")) is not None else "choice"


def _check(item: Item, entry: Entry) -> None:
    """Raise for what makes an item unanswerable."""
    if not item.question.strip():
        raise entry.error("the `question` is empty", "Write the question.")
    if item.kind == "numeric" and item.value is None:
        raise entry.error("a numeric item needs `value`", "Write the value as a number.")
    if item.tolerance < 0:
        raise entry.error(f"the tolerance {item.tolerance} is no share of the value", "Write 0.05 to accept 5 % off.", "tolerance")
    if item.kind == "numeric" and item.unit and not units.known(item.unit):
        raise entry.error(f"the unit {item.unit!r} is not known", "Write it as pint reads it, e.g. `MPa`, `g/cm**3`, `W/(m*K)`.", "unit")
    if item.kind == "short" and not (item.answers and all(answer.strip() for answer in item.answers)):
        raise entry.error("a short-answer item needs `answers`", "Write the texts that are right as a JSON list.", "answers")
    if item.kind == "extraction" and not item.records:
        raise entry.error("an extraction item needs `records`", "Write what the text states: material, property, value, unit, method.")


def _true_false(value: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    said = _verdict(value.get("answer"))
    if said is None:
        raise entry.error(f"the answer {value.get('answer')!r} is neither true nor false", "Write true or false.", "answer")
    return {"options": TRUE_FALSE, "answer": TRUE_FALSE.index("True" if said else "False")}


def _verdict(answer: Any) -> bool | None:
    if isinstance(answer, bool):
        return answer
    return {"true": True, "false": False}.get(answer.strip().lower()) if isinstance(answer, str) else None


def _choice(value: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """Options, and the index of the answer, given as an index from 0, a letter, or the option's text."""
    given, options = value.get("answer"), value.get("options")
    texts = [str(option).strip() for option in options] if isinstance(options, list | tuple) else []
    if len(texts) < 2 or len(set(texts)) < len(texts) or not all(texts):
        raise entry.error("`options` must be two or more different texts", "Write them as a JSON list.", "options")
    readings = _readings(given, texts)
    if len(readings) == 1:
        return {"options": texts, "answer": readings.pop()}
    shown = ", ".join(map(repr, texts))
    told = f"is the letter of one of the options {shown} and the text of another" if readings else f"is not among the options {shown}"
    raise entry.error(f"the answer {given!r} {told}", "Give an option's index from 0, letter, or text.", "answer")


def _readings(given: Any, texts: list[str]) -> set[int]:
    """Indices an answer may mean: as an index, as a letter, as a text."""
    if isinstance(given, int) and not isinstance(given, bool):
        return {given} if 0 <= given < len(texts) else set()
    said = given.strip() if isinstance(given, str) else ""
    as_letter = {LETTERS.index(said)} if len(said) == 1 and said in LETTERS[: len(texts)] else set()
    return as_letter | {index for index, text in enumerate(texts) if text == said}
