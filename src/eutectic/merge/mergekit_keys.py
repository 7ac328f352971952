"""Reading values of a mergekit file with their places, so that every error names file, line and key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eutectic.errors import InputError
from eutectic.merge.recipe import Method
from eutectic.yaml_file import Place, YamlFile

FOR_MEMORY = ("int8_mask",)  # saves mergekit memory, has no part in the result
IDLE = {"task_arithmetic": ("density", "rescale")}  # what mergekit takes with a method that does nothing with it


def error(file: YamlFile, place: Place, found: str, remedy: str = "") -> InputError:
    """An error at a place of the file."""
    return InputError(found, file=file.path, line=file.line_of(place), remedy=remedy)


def mapping(file: YamlFile, place: Place, value: Any, known: Sequence[str]) -> Mapping[str, Any]:
    """The value as a mapping with no other keys than these."""
    if not isinstance(value, dict):
        raise error(file, place, f"`{place[-1]}` must be a mapping" if place else "is no mapping", f"Its keys may be: {', '.join(known)}.")
    for key in value:
        if key not in known:
            raise error(file, (*place, key), f"the key `{key}` is not supported", f"Supported here: {', '.join(known)}.")
    return value


def listed(file: YamlFile, place: Place, value: Any, what: str) -> list[Any]:
    """The value as a list that is not empty."""
    if not isinstance(value, list) or not value:
        raise error(file, place, f"`{place[-1]}` must list {what}")
    return value


def reference(file: YamlFile, place: Place, value: Any) -> str:
    """A model as the file names it: a folder or hub id, or `MODEL+ADAPTER`."""
    if not isinstance(value, str) or not value or value.count("+") > 1 or not all(value.split("+")):
        raise error(file, place, "a model must be named by a folder or a hub id", "Write MODEL, or MODEL+ADAPTER.")
    return value


def settings(file: YamlFile, place: Place, given: Any, method: Method) -> dict[str, Any]:
    """Parameters without what has no part in the result; numbers that YAML 1.1 takes for text (`1e-3`) become numbers."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise error(file, place, "`parameters` must be a mapping")
    found = {}
    for name, setting in given.items():
        if name not in FOR_MEMORY and name not in IDLE.get(method.name, ()):
            if name not in method.schema:
                known = f"Supported: {', '.join(method.schema)}."
                raise error(file, (*place, name), f"the parameter `{name}` is not supported for {method.name}", known)
            found[name] = _numbers(setting)
    return found


def _numbers(setting: Any) -> Any:
    if isinstance(setting, list):
        return [_numbers(entry) for entry in setting]
    if isinstance(setting, dict):
        return {key: _numbers(entry) if key == "value" else entry for key, entry in setting.items()}
    if isinstance(setting, str):
        try:
            return float(setting)
        except ValueError:
            return setting
    return setting
