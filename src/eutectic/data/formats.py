"""Ready-made rows: JSON lines in the forms people share, read into the row schemas.

Read are `text`; `messages`, or `prompt` and `completion`; `prompt`, `chosen`, `rejected` as texts or as messages, where
`chosen` may repeat the prompt's turns (the form of the common preference sets).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eutectic.data.readers import json_lines
from eutectic.errors import InputError
from eutectic.specs.rows import InstructionRow, PreferenceRow, TextRow

AnyRow = TextRow | InstructionRow | PreferenceRow
SCHEMAS: dict[str, type[TextRow] | type[InstructionRow] | type[PreferenceRow]] = {
    "text": TextRow,
    "instruction": InstructionRow,
    "preference": PreferenceRow,
}
NEEDED = {
    "text": "`text`",
    "instruction": "`messages`, or `prompt` and `completion`",
    "preference": "`prompt`, `chosen` and `rejected`",
}


def read_file(file: Path, kind: str) -> list[AnyRow]:
    """Rows of one file. Raises `InputError` with the line that does not fit `kind`, or where there is no row."""
    try:
        rows = [_row(value, kind, file, number) for number, value in json_lines(file)]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=file, remedy="Rows are read from UTF-8 JSON lines.") from error
    if not rows:
        raise InputError("holds no row", file=file, remedy=f"Write one JSON object a line with {NEEDED[kind]}.")
    return rows


def _row(value: dict[str, Any], kind: str, file: Path, number: int) -> AnyRow:
    identity = str(value.get("id", f"{file.stem}-{number}"))
    filled = {"id": identity, "group": str(value.get("group", identity)), "source_ids": value.get("source_ids", [identity])}
    shape = {"text": _text, "instruction": _instruction, "preference": _preference}[kind]
    try:
        return SCHEMAS[kind].model_validate({**filled, **shape(value)})
    except (KeyError, IndexError, TypeError, ValidationError) as error:
        raise InputError(f"is no {kind} row", file=file, line=number, remedy=f"A row needs {NEEDED[kind]}.") from error


def _text(value: dict[str, Any]) -> dict[str, Any]:
    if not str(value["text"]).strip():
        raise KeyError("text")
    return {"text": value["text"]}


def _instruction(value: dict[str, Any]) -> dict[str, Any]:
    messages = value["messages"] if "messages" in value else [*_turns(value["prompt"], "user"), *_turns(value["completion"], "assistant")]
    if messages[-1]["role"] != "assistant":
        raise KeyError("assistant")
    return {"messages": _plain(messages)}


def _preference(value: dict[str, Any]) -> dict[str, Any]:
    chosen, rejected = _turns(value["chosen"], "assistant"), _turns(value["rejected"], "assistant")
    prompt = _turns(value["prompt"], "user") if "prompt" in value else chosen[:-1]
    return {"prompt": _plain(prompt), "chosen": _plain(chosen[-1:]), "rejected": _plain(rejected[-1:])}


def _turns(value: Any, role: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": value}] if isinstance(value, str) else list(value)


def _plain(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]
