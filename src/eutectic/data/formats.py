"""Ready-made rows: JSON lines or Parquet in the forms people share, read into the row schemas.

The form is told by the columns: `text`; `messages`, `prompt` and `completion`, Alpaca's `instruction`, `input` and `output`, ShareGPT's
`conversations`; `prompt`, `chosen` and `rejected` as texts or as messages, where `chosen` may repeat the prompt's turns (the form of the
common preference sets).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eutectic.data import parquet
from eutectic.data.readers import json_lines
from eutectic.errors import InputError
from eutectic.specs.rows import InstructionRow, PreferenceRow, TextRow

AnyRow = TextRow | InstructionRow | PreferenceRow
SCHEMAS: dict[str, type[TextRow] | type[InstructionRow] | type[PreferenceRow]] = {
    "text": TextRow,
    "instruction": InstructionRow,
    "preference": PreferenceRow,
}
SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "system": "system",
}
SHOWN = 5  # bad rows named in an error

Values = Mapping[str, Any]


def _text(value: Values) -> dict[str, Any]:
    if not str(value["text"]).strip():
        raise ValueError("`text` is empty")
    return {"text": value["text"]}


def _messages(value: Values) -> dict[str, Any]:
    return _chat(value["messages"])


def _completion(value: Values) -> dict[str, Any]:
    return _chat([*_turns(value["prompt"], "user"), *_turns(value["completion"], "assistant")])


def _alpaca(value: Values) -> dict[str, Any]:
    more = str(value.get("input") or "").strip()
    asked = f"{value['instruction']}\n\n{more}" if more else str(value["instruction"])
    return _chat([{"role": "user", "content": asked}, {"role": "assistant", "content": value["output"]}])


def _sharegpt(value: Values) -> dict[str, Any]:
    turns = []
    for turn in value["conversations"]:
        if turn["from"] not in SPEAKERS:
            raise ValueError(f"the speaker {turn['from']!r} is not known")
        turns.append({"role": SPEAKERS[turn["from"]], "content": turn["value"]})
    return _chat(turns[:-1] if turns and turns[-1]["role"] == "user" else turns)  # some end with a question nobody answered


def _pair(value: Values) -> dict[str, Any]:
    chosen, rejected = _turns(value["chosen"], "assistant"), _turns(value["rejected"], "assistant")
    prompt = _turns(value["prompt"], "user") if "prompt" in value else chosen[:-1]
    if chosen[-1] == rejected[-1]:
        raise ValueError("`chosen` and `rejected` are the same")
    return {"prompt": _plain(prompt), "chosen": _plain(chosen[-1:]), "rejected": _plain(rejected[-1:])}


# By kind of dataset: the columns that tell a form, and what makes a row of it.
FORMS: dict[str, dict[tuple[str, ...], Callable[[Values], dict[str, Any]]]] = {
    "text": {("text",): _text},
    "instruction": {
        ("messages",): _messages,
        ("prompt", "completion"): _completion,
        ("instruction", "output"): _alpaca,
        ("conversations",): _sharegpt,
    },
    "preference": {("prompt", "chosen", "rejected"): _pair, ("chosen", "rejected"): _pair},
}


def read_file(file: Path, kind: str) -> list[AnyRow]:
    """Rows of one file. Raises `InputError` with the lines that do not fit `kind`, or where there is no row."""
    found: list[AnyRow] = []
    bad: list[tuple[int, str]] = []
    for number, value in _values(file):
        columns = told_by(value, kind)
        if columns is None:
            bad.append((number, f"has the columns {', '.join(value) or 'none'}"))
            continue
        try:
            found.append(_row(value, kind, columns, file, number))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            bad.append((number, _said(error)))
    if bad:
        more = (
            f" and {len(bad) - 1} more rows (lines {', '.join(str(line) for line, _ in bad[1:SHOWN])}{', ...' if len(bad) > SHOWN else ''})"
        )
        raise InputError(
            f"is no {kind} row: {bad[0][1]}{more if len(bad) > 1 else ''}", file=file, line=bad[0][0], remedy=f"A row needs {needed(kind)}."
        )
    if not found:
        raise InputError("holds no row", file=file, remedy=f"Write one JSON object a line with {needed(kind)}.")
    return found


def told_by(value: Values, kind: str) -> tuple[str, ...] | None:
    """The columns that tell the form of a row."""
    return next((names for names in FORMS[kind] if all(value.get(name) is not None for name in names)), None)


def columns(file: Path, kind: str) -> str:
    """What is read of a file, by its first row: `instruction, output; not read: source`."""
    _, value = next(_values(file))
    used = told_by(value, kind) or ()
    unread = [name for name in value if name not in {*used, "id", "group", "source_ids", "input"}]
    return f"{', '.join(used)}" + (f"; not read: {', '.join(unread)}" if unread else "")


def needed(kind: str) -> str:
    """What a row of a kind must hold, in words."""
    return ", or ".join(" and ".join(f"`{name}`" for name in names) for names in FORMS[kind])


def _values(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and columns of every row."""
    if file.suffix.lower() == ".parquet":
        yield from parquet.rows(file)
        return
    try:
        yield from json_lines(file)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=file, remedy="Rows are read from UTF-8 JSON lines or Parquet.") from error


def _row(value: Values, kind: str, columns: tuple[str, ...], file: Path, number: int) -> AnyRow:
    identity = str(value.get("id") or f"{file.stem}-{number}")
    filled = {"id": identity, "group": str(value.get("group") or identity), "source_ids": value.get("source_ids") or [identity]}
    return SCHEMAS[kind].model_validate({**filled, **FORMS[kind][columns](value)})


def _said(error: Exception) -> str:
    """What is wrong with a row, in a few words."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, KeyError):
        return f"a turn has no {error}"
    return str(error) or type(error).__name__


def _chat(messages: list[dict[str, Any]]) -> dict[str, Any]:
    if not messages or messages[-1]["role"] != "assistant":
        raise ValueError("its last turn is not the assistant's")
    return {"messages": _plain(messages)}


def _turns(value: Any, role: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": value}] if isinstance(value, str) else list(value)


def _plain(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]
