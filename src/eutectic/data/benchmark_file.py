"""Benchmarks a user brings: JSON lines of questions, checked before a model reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eutectic.data import chance
from eutectic.data.readers import json_lines
from eutectic.errors import InputError
from eutectic.specs.rows import Item
from eutectic.specs.steps import BenchmarkStep

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def read_items(file: Path, spec: BenchmarkStep) -> list[Item]:
    """Items of a JSON-lines file: `question` with `options` and `answer` (index, letter or text), or with `value` and `unit`.

    Left-out keys are filled: ids from the line, groups from the id, the split by hash of the group. Raises `InputError`
    with the line where an answer is not among the options, a question is empty, or an id comes twice.
    """
    try:
        rows = list(json_lines(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=file, remedy="A benchmark is a UTF-8 file of JSON lines.") from error
    if not rows:
        raise InputError("holds no item", file=file, remedy="Write one JSON object a line: question, options, answer.")
    items = [_item(value, spec, file, number) for number, value in rows]
    seen: dict[str, int] = {}
    for item, (number, _) in zip(items, rows, strict=True):
        if item.id in seen:
            raise InputError(
                f"the id `{item.id}` was used on line {seen[item.id]}", file=file, line=number, remedy="Give every item its own id."
            )
        seen[item.id] = number
    return items


def _item(value: dict[str, Any], spec: BenchmarkStep, file: Path, number: int) -> Item:
    identity = str(value.get("id", f"{file.stem}-{number}"))
    group = str(value.get("group", identity))
    split = "dev" if chance.unit(spec.seed, "dev", group) < spec.dev else "test"
    filled = {
        "split": split,
        "role": spec.role,
        "kind": "numeric" if "value" in value else "choice",
        **value,
        "id": identity,
        "group": group,
    }
    if filled["kind"] == "choice":
        filled["answer"] = _answer(value, file, number)
    try:
        item = Item.model_validate(filled)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"is no item: {first['msg']}", file=file, line=number, place=place, remedy="See docs/study-file.md, benchmarks."
        ) from error
    if not item.question.strip():
        raise InputError("the `question` is empty", file=file, line=number, remedy="Write the question.")
    if item.kind == "numeric" and item.value is None:
        raise InputError("a numeric item needs `value`", file=file, line=number, remedy="Write the value as a number.")
    return item


def _answer(value: dict[str, Any], file: Path, number: int) -> int:
    """Index of the answer, given as an index from 0, a letter, or the option's text."""
    given, choices = value.get("answer"), value.get("options")
    if not isinstance(choices, list) or len(choices) < 2 or len({str(choice) for choice in choices}) < len(choices):
        raise InputError("`options` must be two or more different texts", file=file, line=number, remedy="Write them as a JSON list.")
    if isinstance(given, str) and given in choices:
        return choices.index(given)
    if isinstance(given, str) and len(given) == 1 and given in LETTERS[: len(choices)]:
        return LETTERS.index(given)
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < len(choices):
        return given
    shown = ", ".join(map(repr, choices))
    raise InputError(
        f"the answer {given!r} is not among the options {shown}",
        file=file,
        line=number,
        remedy="Give an option's index from 0, letter, or text.",
    )
