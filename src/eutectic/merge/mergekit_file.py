"""mergekit's configuration files, as merges of ours: same file, same result, or an error that names what is not supported.

YAML 1.1 rules, as mergekit reads them. Where ours differs (docs/methods.md says why): arithmetic is fp32 whatever `dtype` says, `dtype`
being only the output type where `out_dtype` is missing; `int8_mask` changes nothing; without `base_model` config and tokenizer come from
the first model.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eutectic.errors import InputError
from eutectic.merge.check import check
from eutectic.merge.methods import find
from eutectic.merge.recipe import OUTPUT_TYPES, Method
from eutectic.specs.steps import MergeStep
from eutectic.yaml_file import YamlFile, read_yaml

KEYS = ("merge_method", "base_model", "models", "parameters", "dtype", "out_dtype", "tokenizer_source", "tokenizer")
FOR_MEMORY = ("int8_mask",)  # saves mergekit memory, has no part in the result


@dataclass(frozen=True)
class MergekitMerge:
    """A merge and its parents as the file names them: folders or hub ids, not yet looked up."""

    step: MergeStep
    base: str | None
    models: tuple[str, ...]
    lines: Mapping[str, int]  # line of each reference, for errors about it


def read(path: Path) -> MergekitMerge:
    """The merge in a mergekit file; raises `InputError` with file and line for whatever is wrong or not supported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ruamel tells people that YAML 1.1 wants `1.0e-3`; mergekit reads `1e-3` as a number too
        file = read_yaml(path, version="1.1")
    if not isinstance(file.value, dict):
        raise InputError("is no mergekit configuration", file=path, remedy="It needs at least `merge_method` and `models`.")
    _refuse_unknown(file, (), file.value, KEYS)
    return _merge(file, file.value)


def _merge(file: YamlFile, value: Mapping[str, Any]) -> MergekitMerge:
    method = value.get("merge_method")
    if not isinstance(method, str):
        raise InputError("`merge_method` is missing", file=file.path, remedy="Name the method, for instance `merge_method: slerp`.")
    try:
        made = find(method)
    except InputError as error:
        raise error.at(file=file.path, line=file.line_of(("merge_method",))) from error
    base = _reference(file, value["base_model"], ("base_model",)) if value.get("base_model") is not None else None
    listed = _models(file, value)
    _check_tokenizer(file, value)
    entries = [(name, own) for name, own in listed if method == "linear" or name != base]  # linear counts a base that is listed as a model
    own = [_settings(file, settings, ("models", _index(listed, name), "parameters"), made) for name, settings in entries]
    shared = _settings(file, value.get("parameters") or {}, ("parameters",), made)
    parameters = {**shared, **({"models": own} if any(own) else {}), **_out_dtype(file, value)}
    step = MergeStep(method=method, parameters=parameters)
    lines = {name: file.line_of(("models", i, "model")) or 1 for i, (name, _) in enumerate(listed)}
    models = tuple(name for name, _ in entries)
    try:
        check(step, len(models), base is not None)
    except InputError as error:
        raise error.at(file=file.path, line=file.line_of(_place(error.place, [_index(listed, name) for name in models]))) from error
    return MergekitMerge(step, base, models, {**({base: file.line_of(("base_model",)) or 1} if base else {}), **lines})


def _index(listed: Sequence[tuple[str, Any]], name: str) -> int:
    return next(i for i, (other, _) in enumerate(listed) if other == name)


def _refuse_unknown(file: YamlFile, place: tuple[str | int, ...], value: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in value:
        if key not in known:
            raise InputError(
                f"the key `{key}` is not supported",
                file=file.path,
                line=file.line_of((*place, key)),
                remedy=f"Supported here: {', '.join(known)}.",
            )


def _reference(file: YamlFile, value: Any, place: tuple[str | int, ...]) -> str:
    """A model as the file names it; `model+adapter` is not supported yet."""
    if not isinstance(value, str) or not value:
        raise InputError("a model must be named by a folder or a hub id", file=file.path, line=file.line_of(place))
    if "+" in value:
        raise InputError(
            f"{value!r} names an adapter", file=file.path, line=file.line_of(place), remedy="Fold the adapter into its model first."
        )
    return value


def _models(file: YamlFile, value: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    listed = value.get("models")
    if not isinstance(listed, list) or not listed:
        raise InputError("`models` must list the models to merge", file=file.path, line=file.line_of(("models",)))
    found: list[tuple[str, Mapping[str, Any]]] = []
    for index, entry in enumerate(listed):
        place = ("models", index)
        if not isinstance(entry, dict) or "model" not in entry:
            raise InputError("an entry of `models` needs `model`", file=file.path, line=file.line_of(place))
        _refuse_unknown(file, place, entry, ("model", "parameters"))
        name = _reference(file, entry["model"], (*place, "model"))
        if name in [other for other, _ in found]:
            raise InputError(f"the model {name!r} is listed twice", file=file.path, line=file.line_of(place), remedy="Add up its weights.")
        found.append((name, entry.get("parameters") or {}))
    return found


def _settings(file: YamlFile, given: Any, place: tuple[str | int, ...], method: Method) -> dict[str, Any]:
    """Parameters without what has no part in the result; numbers that YAML 1.1 takes for text (`1e-3`) become numbers."""
    if not isinstance(given, dict):
        raise InputError("`parameters` must be a mapping", file=file.path, line=file.line_of(place))
    found = {}
    for name, setting in given.items():
        if name not in FOR_MEMORY and not (name == "rescale" and setting is False and name not in method.schema):
            if name not in method.schema:
                raise InputError(
                    f"the parameter `{name}` is not supported for {method.name}", file=file.path, line=file.line_of((*place, name)),
                    remedy=f"Supported: {', '.join(method.schema)}.",
                )  # fmt: skip
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


def _out_dtype(file: YamlFile, value: Mapping[str, Any]) -> dict[str, str]:
    """The output type: `out_dtype`, else `dtype`."""
    for key in ("dtype", "out_dtype"):
        if value.get(key) is not None and value[key] not in OUTPUT_TYPES:
            raise InputError(
                f"`{key}: {value[key]}` is not supported",
                file=file.path,
                line=file.line_of((key,)),
                remedy=f"Supported: {', '.join(OUTPUT_TYPES)}.",
            )
    found = value.get("out_dtype") or value.get("dtype")
    return {"out_dtype": found} if found else {}


def _check_tokenizer(file: YamlFile, value: Mapping[str, Any]) -> None:
    """The tokenizer comes from the base: `tokenizer_source: base`, or `tokenizer: {source: base}`, or nothing."""
    tokenizer = value.get("tokenizer")
    if tokenizer is not None:
        if not isinstance(tokenizer, dict):
            raise InputError("`tokenizer` must be a mapping", file=file.path, line=file.line_of(("tokenizer",)))
        _refuse_unknown(file, ("tokenizer",), tokenizer, ("source",))
    for place, source in (
        (("tokenizer_source",), value.get("tokenizer_source")),
        (("tokenizer", "source"), (tokenizer or {}).get("source")),
    ):
        if source not in (None, "base"):
            raise InputError(
                f"the tokenizer source {source!r} is not supported", file=file.path, line=file.line_of(place),
                remedy="Only `base` is: the parents must share one vocabulary.",
            )  # fmt: skip


def _place(dotted: str, positions: Sequence[int]) -> tuple[str | int, ...]:
    """A place in the merge step as a place in the file (`parameters.models.0.weight` -> models, positions[0], parameters, weight)."""
    parts: list[str | int] = [int(part) if part.isdigit() else part for part in dotted.split(".") if part]
    if parts[:2] == ["parameters", "models"] and len(parts) > 2:
        return ("models", positions[int(parts[2])], "parameters", *parts[3:])
    return ("merge_method",) if parts == ["method"] else ("base_model",) if parts == ["base"] else tuple(parts)
