"""Prompts for scoring without a study: from a YAML file, written as under `prompts` in a study, and forms by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from eutectic.errors import InputError
from eutectic.specs.rows import FORM_WORDS
from eutectic.specs.steps import PLAIN, PromptStep
from eutectic.specs.study import Name, PromptSpec
from eutectic.yaml_file import read_yaml

NAMED: TypeAdapter[dict[str, PromptSpec]] = TypeAdapter(dict[Name, PromptSpec])


def chosen(files: Sequence[Path], forms: Sequence[str]) -> tuple[PromptStep, ...]:
    """The prompts of all files (the plain one without a file), restricted to `forms` where any are given.

    Raises `InputError` with file and line for what is no prompt, and for a form that is unknown.
    """
    for form in forms:
        if form not in FORM_WORDS:
            raise InputError(f"there is no form {form!r}", place="--form", remedy=f"Give one or more of {', '.join(FORM_WORDS)}.")
    asked = {"forms": tuple(dict.fromkeys(forms))} if forms else {}
    prompts = [PromptStep.named(name, spec) for file in files for name, spec in read(file).items()]
    return tuple(prompt.model_copy(update=asked) for prompt in prompts or [PLAIN])


def read(file: Path) -> dict[str, PromptSpec]:
    """The prompts of a file by name."""
    found = read_yaml(file)
    try:
        return NAMED.validate_python(found.value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = tuple(part for part in first["loc"] if isinstance(part, str | int))
        raise InputError(
            first["msg"],
            file=file,
            line=found.line_of(place),
            place=".".join(map(str, place)),
            remedy="Write `NAME:` and below it the keys of a prompt: docs/study-file.md, `prompts`.",
        ) from error
