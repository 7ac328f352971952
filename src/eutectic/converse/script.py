"""Scripts of conversations: what every model is asked, in the same words and with the same sampling."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from eutectic.errors import InputError
from eutectic.specs.base import Spec
from eutectic.yaml_file import read_yaml

PACKAGED = files("eutectic.converse") / "scripts"


class SamplingSpec(Spec):
    """How answers are drawn; the defaults are those of the paper's conversations."""

    temperature: float = Field(default=0.2, ge=0)
    top_p: float = Field(default=0.9, gt=0, le=1)
    repetition_penalty: float = Field(default=1.1, ge=1)


class TurnSpec(Spec):
    """One question. `max_new_tokens` stands for the script's where it is given."""

    user: str = Field(min_length=1)
    max_new_tokens: int | None = Field(default=None, gt=0)


class Script(Spec):
    """A whole conversation. A turn may be written as its bare text."""

    name: str
    system: str = ""
    max_new_tokens: int = Field(default=192, gt=0)
    sampling: SamplingSpec = SamplingSpec()
    turns: tuple[TurnSpec, ...] = Field(min_length=1)

    @field_validator("turns", mode="before")
    @classmethod
    def _bare_text(cls, turns: Any) -> Any:
        return [{"user": turn} if isinstance(turn, str) else turn for turn in turns] if isinstance(turns, list | tuple) else turns


def packaged() -> list[str]:
    """Names of the scripts that ship with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in PACKAGED.iterdir() if entry.name.endswith(".yaml"))


def load(name_or_path: str | Path) -> dict[str, Any]:
    """A script as plain JSON types, every default filled in, from a YAML file or by the name of a packaged one.

    Raises `InputError` with file and line for a key or value that does not fit, and for a script without a user turn.
    """
    path = Path(name_or_path)
    if str(path) in packaged():
        path = Path(str(PACKAGED / f"{path}.yaml"))
    elif not path.is_file():
        raise InputError(f"there is no script {str(path)!r}", remedy=f"Give a YAML file, or one of: {', '.join(packaged())}.")
    read = read_yaml(path)
    if not isinstance(read.value, dict):
        raise InputError("a script is a mapping with `turns`", file=path, remedy="Write `turns:` and a list of questions.")
    try:
        return Script.model_validate({"name": path.stem, **read.value}).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = tuple(part for part in first["loc"] if isinstance(part, str | int))
        raise InputError(
            _found(place, first),
            file=path,
            line=read.line_of(place),
            place=".".join(map(str, place)),
            remedy="The keys of a script stand in docs/study-file.md.",
        ) from error


def _found(place: tuple[str | int, ...], first: Any) -> str:
    if place == ("turns",):
        return "the script has no user turn"
    return "this key is unknown" if first["type"] == "extra_forbidden" else str(first["msg"])
