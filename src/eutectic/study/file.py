"""The study file: read, validated, with file, line and key in every error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eutectic.errors import EutecticError, InputError
from eutectic.specs.study import StudySpec
from eutectic.yaml_file import Place, YamlFile, read_yaml


@dataclass(frozen=True)
class StudyFile:
    """A valid study and where it stands on disk. References between its parts are checked when the graph is built."""

    spec: StudySpec
    yaml: YamlFile

    @property
    def path(self) -> Path:
        """The study file."""
        return self.yaml.path

    @property
    def folder(self) -> Path:
        """The folder paths in the study are relative to."""
        return self.path.resolve().parent

    def error(self, place: Place, found: str, remedy: str = "") -> InputError:
        """An error at a place of the file."""
        return InputError(found, remedy=remedy, file=self.path, line=self.yaml.line_of(place), place=dotted(place))

    def locate(self, error: EutecticError, place: Place) -> EutecticError:
        """An error of a workshop's `check`, given this file, the line and the key."""
        inner = tuple(part for part in error.place.split(".") if part)
        whole = (*place, *inner)
        return type(error)(error.found, remedy=error.remedy, file=self.path, line=self.yaml.line_of(whole), place=dotted(whole))

    def known(self, place: Place, name: str, names: Iterable[str], what: str) -> str:
        """`name` if it is one of `names`; an error that offers the nearest ones otherwise."""
        names = list(names)
        if name not in names:
            raise self.error(place, f"there is no {what} named {name!r}", suggestion(name, names, what))
        return name


def dotted(place: Place) -> str:
    """A place as people write it: `stages.cpt.epochs`."""
    return ".".join(map(str, place))


def suggestion(name: str, names: Iterable[str], what: str) -> str:
    """A remedy that names what exists, the nearest spelling first."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"This study has: {', '.join(sorted(names)[:12])}." if names else f"This study has no {what} at all."


def load(path: Path) -> StudyFile:
    """Read and validate a study file; raises `InputError` for the first thing wrong in it."""
    path = path / "study.yaml" if path.is_dir() else path
    yaml = read_yaml(path)
    if not isinstance(yaml.value, dict):
        raise InputError(
            "a study is a mapping of keys to values", file=path, line=1, remedy="Start with `study: NAME`; `eutectic init` writes one."
        )
    try:
        return StudyFile(StudySpec.model_validate(yaml.value), yaml)
    except ValidationError as error:
        raise _first(error, yaml) from error


def _first(error: ValidationError, yaml: YamlFile) -> InputError:
    """The first problem pydantic found, in words."""
    detail = min(error.errors(include_url=False), key=lambda e: yaml.line_of(_place(e["loc"])) or 0)
    place = _place(detail["loc"])
    found, remedy = _words(detail, place)
    return InputError(found, remedy=remedy, file=yaml.path, line=yaml.line_of(place), place=dotted(place))


def _place(loc: tuple[Any, ...]) -> Place:
    return tuple(part for part in loc if part != "[key]")


def _words(detail: Any, place: Place) -> tuple[str, str]:
    kind, given = detail["type"], detail.get("input")
    shown = (
        repr(given)
        if isinstance(given, str | int | float | bool) or given is None
        else f"a {'list' if isinstance(given, list) else 'mapping'}"
    )
    if kind == "extra_forbidden":
        return f"the key `{place[-1]}` is not known here", suggestion(str(place[-1]), _siblings(place), "key")
    if kind == "missing":
        return f"the key `{place[-1]}` is missing", "Add it."
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"found {shown}, but {message[:1].lower()}{message[1:]}", "Correct the value."


def _siblings(place: Place) -> list[str]:
    """The keys that may stand where an unknown one was found."""
    model: Any = StudySpec
    for part in place[:-1]:
        model = _inner(model, part)
        if model is None:
            return []
    return sorted(getattr(model, "model_fields", {}))


def _inner(model: Any, part: str | int) -> Any:
    """The spec class one level down: a field of a spec, or the value type of a mapping or list."""
    from typing import get_args

    annotation = model.model_fields[part].annotation if hasattr(model, "model_fields") and part in model.model_fields else model
    candidates = [annotation, *get_args(annotation)]
    candidates += [inner for candidate in candidates for inner in get_args(candidate)]
    if hasattr(annotation, "model_fields") and annotation is not model:
        return annotation
    inner = [c for c in candidates if hasattr(c, "model_fields")]
    return (
        _Holder(inner[-1])
        if inner and not isinstance(annotation, _Holder)
        else (annotation.inner if isinstance(annotation, _Holder) else None)
    )


class _Holder:
    """A mapping or list of specs, between its field and the name or index of one entry."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
