"""mergekit's configuration files, as merges of ours: same file, same result, or an error that names what is not supported.

YAML 1.1 rules, as mergekit reads them. Where ours differs (docs/methods.md says why): arithmetic is fp32 whatever `dtype` says, `dtype`
being only the output type where `out_dtype` is missing; `int8_mask` changes nothing; without `base_model` config and tokenizer come from
the first model.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eutectic.errors import InputError
from eutectic.merge.check import check
from eutectic.merge.mergekit_keys import error, listed, mapping, reference, settings
from eutectic.merge.methods import find
from eutectic.merge.recipe import OUTPUT_TYPES, Method
from eutectic.specs.steps import MergeModule, MergeSlice, MergeStep, SliceSource, TokenizerStep, TokenSource
from eutectic.yaml_file import Place, YamlFile, read_yaml

KEYS = (
    "merge_method", "base_model", "models", "slices", "modules", "parameters", "dtype", "out_dtype", "tokenizer_source", "tokenizer",
    "chat_template",
)  # fmt: skip


@dataclass(frozen=True)
class MergekitMerge:
    """A merge and its parents as the file names them: folders or hub ids, `MODEL+ADAPTER` included, not yet looked up."""

    step: MergeStep
    base: str | None
    models: tuple[str, ...]
    lines: Mapping[str, int]  # line of each reference, for errors about it


@dataclass
class _Parents:
    """The models that a file names, by the index that the step knows them by: -1 is the base."""

    file: YamlFile
    base: str | None
    models: list[str] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def index(self, place: Place, value: Any) -> int:
        """The index of a reference, which becomes a parent if it is none yet."""
        name = reference(self.file, place, value)
        self.lines.setdefault(name, self.file.line_of(place) or 1)
        if name == self.base:
            return -1
        if name not in self.models:
            self.models.append(name)
        return self.models.index(name)

    def known(self, place: Place, value: Any) -> int:
        """The index of a reference to a model that is merged."""
        if value != self.base and value not in self.models:
            raise error(self.file, place, f"{value!r} is none of the models that are merged", "Name one of them.")
        return self.index(place, value)


def read(path: Path) -> MergekitMerge:
    """The merge in a mergekit file; raises `InputError` with file and line for whatever is wrong or not supported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ruamel tells people that YAML 1.1 wants `1.0e-3`; mergekit reads `1e-3` as a number too
        file = read_yaml(path, version="1.1")
    if not isinstance(file.value, dict):
        raise InputError("is no mergekit configuration", file=path, remedy="It needs at least `merge_method` and `models`.")
    return _merge(file, mapping(file, (), file.value, KEYS))


def _merge(file: YamlFile, value: Mapping[str, Any]) -> MergekitMerge:
    name = value.get("merge_method")
    if not isinstance(name, str):
        raise InputError("`merge_method` is missing", file=file.path, remedy="Name the method, for instance `merge_method: slerp`.")
    try:
        method = find(name)
    except InputError as wrong:
        raise wrong.at(file=file.path, line=file.line_of(("merge_method",))) from wrong
    parents = _Parents(file, None)
    if value.get("base_model") is not None:
        parents.base = reference(file, ("base_model",), value["base_model"])
        parents.lines[parents.base] = file.line_of(("base_model",)) or 1
    ways = [way for way in ("models", "slices", "modules") if value.get(way) is not None]
    if len(ways) > 1:
        raise error(file, (ways[1],), f"`{ways[0]}` and `{ways[1]}` are both given", "Give one of them.")
    parameters = settings(file, ("parameters",), value.get("parameters"), method)
    modules: tuple[MergeModule, ...] = ()
    places: list[int] = []
    if ways in ([], ["models"]):
        own, places = _models(file, value.get("models"), method, parents)
        parameters |= {"models": own} if any(own) else {}
    elif ways == ["slices"]:
        modules = (MergeModule(slices=_slices(file, ("slices",), value["slices"], method, parents)),)
    else:
        modules = _modules(file, value["modules"], method, parents)
    step = MergeStep(
        method=name,
        parameters=parameters | _out_dtype(file, value),
        modules=modules,
        tokenizer=_tokenizer(file, value, parents),
        chat_template=_chat_template(file, value.get("chat_template")),
    )
    try:
        check(step, len(parents.models), parents.base is not None)
    except InputError as wrong:
        raise wrong.at(file=file.path, line=file.line_of(_place(wrong.place, places, ways))) from wrong
    return MergekitMerge(step, parents.base, tuple(parents.models), parents.lines)


def _models(file: YamlFile, value: Any, method: Method, parents: _Parents) -> tuple[list[dict[str, Any]], list[int]]:
    """Each model's own parameters, and its position in the list. A base that is listed is no model, but for `linear`, which counts it."""
    own, places, seen = [], [], []
    for index, entry in enumerate(listed(file, ("models",), value, "the models to merge")):
        name, given = _entry(file, ("models", index), entry, method)
        if name in seen:
            raise error(file, ("models", index), f"the model {name!r} is listed twice", "Add up its weights.")
        seen.append(name)
        parents.lines[name] = file.line_of(("models", index, "model")) or 1
        if name != parents.base or method.name == "linear":
            parents.models.append(name)
            own.append(given)
            places.append(index)
    return own, places


def _entry(file: YamlFile, place: Place, entry: Any, method: Method) -> tuple[str, dict[str, Any]]:
    if not isinstance(entry, dict) or "model" not in entry:
        raise error(file, place, "an entry of `models` needs `model`")
    found = mapping(file, place, entry, ("model", "parameters"))
    name = reference(file, (*place, "model"), found["model"])
    return name, settings(file, (*place, "parameters"), found.get("parameters"), method)


def _modules(file: YamlFile, value: Any, method: Method, parents: _Parents) -> tuple[MergeModule, ...]:
    if not isinstance(value, dict) or not value:
        raise error(file, ("modules",), "`modules` must be a mapping of modules", "A model of one module calls it `default`.")
    made = []
    for name, given in value.items():
        place = ("modules", name)
        found = mapping(file, place, given, ("slices", "models", "parameters"))
        if (found.get("slices") is None) == (found.get("models") is None):
            raise error(file, place, f"the module `{name}` needs either `slices` or `models`")
        if found.get("slices") is not None:
            slices = _slices(file, (*place, "slices"), found["slices"], method, parents)
        else:
            slices = (_all_layers(file, (*place, "models"), found["models"], method, parents),)
        parameters = settings(file, (*place, "parameters"), found.get("parameters"), method)
        made.append(MergeModule(name=name, slices=slices, parameters=parameters))
    return tuple(made)


def _all_layers(file: YamlFile, place: Place, value: Any, method: Method, parents: _Parents) -> MergeSlice:
    """A module's models with all their layers; the base comes along where it is not listed."""
    sources = []
    for index, entry in enumerate(listed(file, place, value, "the models to merge")):
        name, own = _entry(file, (*place, index), entry, method)
        sources.append(SliceSource(model=parents.index((*place, index, "model"), name), parameters=own))
    if parents.base is not None and method.base != "none" and all(source.model != -1 for source in sources):
        sources.append(SliceSource(model=-1))
    return MergeSlice(sources=tuple(sources), base=_base(method, -1 if parents.base is not None else None, sources))


def _slices(file: YamlFile, place: Place, value: Any, method: Method, parents: _Parents) -> tuple[MergeSlice, ...]:
    made = []
    for index, entry in enumerate(listed(file, place, value, "the slices of the result")):
        here = (*place, index)
        found = mapping(file, here, entry, ("sources", "base_model", "parameters"))
        sources = [
            _source(file, (*here, "sources", i), source, method, parents)
            for i, source in enumerate(listed(file, (*here, "sources"), found.get("sources"), "the layers to merge"))
        ]
        base = -1 if parents.base is not None else None
        if found.get("base_model") is not None:
            base = parents.index((*here, "base_model"), found["base_model"])
            if all(source.model != base for source in sources):
                raise error(file, (*here, "base_model"), f"the base {found['base_model']!r} is not among the sources of its slice")
        parameters = settings(file, (*here, "parameters"), found.get("parameters"), method)
        made.append(MergeSlice(sources=tuple(sources), base=_base(method, base, sources), parameters=parameters))
    return tuple(made)


def _source(file: YamlFile, place: Place, entry: Any, method: Method, parents: _Parents) -> SliceSource:
    found = mapping(file, place, entry, ("model", "layer_range", "parameters"))
    if "model" not in found:
        raise error(file, place, "a source needs `model`")
    layers = found.get("layer_range")
    if not (isinstance(layers, list) and len(layers) == 2 and all(type(layer) is int for layer in layers) and 0 <= layers[0] <= layers[1]):
        remedy = "Write [0, 12] for the first twelve layers."
        raise error(file, (*place, "layer_range"), f"`layer_range` must be two layers, not {layers!r}", remedy)
    own = settings(file, (*place, "parameters"), found.get("parameters"), method)
    return SliceSource(model=parents.index((*place, "model"), found["model"]), layers=(layers[0], layers[1]), parameters=own)


def _base(method: Method, base: int | None, sources: list[SliceSource]) -> int | None:
    """Which of the sources is the base to the method; `linear` counts it among its models."""
    if base is None or method.base == "none" or method.name == "linear":
        return None
    return next((position for position, source in enumerate(sources) if source.model == base), None)


def _out_dtype(file: YamlFile, value: Mapping[str, Any]) -> dict[str, str]:
    """The output type: `out_dtype`, else `dtype`."""
    for key in ("dtype", "out_dtype"):
        if value.get(key) is not None and value[key] not in OUTPUT_TYPES:
            raise error(file, (key,), f"`{key}: {value[key]}` is not supported", f"Supported: {', '.join(OUTPUT_TYPES)}.")
    found = value.get("out_dtype") or value.get("dtype")
    return {"out_dtype": found} if found else {}


def _tokenizer(file: YamlFile, value: Mapping[str, Any], parents: _Parents) -> TokenizerStep | None:
    """Whose vocabulary the result has, and where its rows come from. None: all parents have one vocabulary."""
    if value.get("tokenizer_source") is not None and value.get("tokenizer") is not None:
        raise error(file, ("tokenizer",), "`tokenizer_source` and `tokenizer` are both given", "Give one of them.")
    if value.get("tokenizer_source") is not None:
        return TokenizerStep(source=_vocabulary(("tokenizer_source",), value["tokenizer_source"], parents))
    if value.get("tokenizer") is None:
        return None
    found = mapping(file, ("tokenizer",), value["tokenizer"], ("source", "tokens", "pad_to_multiple_of"))
    multiple = found.get("pad_to_multiple_of")
    if multiple is not None and not (type(multiple) is int and multiple > 0):
        raise error(file, ("tokenizer", "pad_to_multiple_of"), f"`pad_to_multiple_of` must be a whole number above 0, not {multiple!r}")
    tokens = found.get("tokens") or {}
    if not isinstance(tokens, dict):
        raise error(file, ("tokenizer", "tokens"), "`tokens` must be a mapping of tokens")
    return TokenizerStep(
        source=_vocabulary(("tokenizer", "source"), found.get("source", "union"), parents),
        tokens={str(token): _token(file, ("tokenizer", "tokens", token), given, parents) for token, given in tokens.items()},
        pad_to_multiple_of=multiple,
    )


def _vocabulary(place: Place, value: Any, parents: _Parents) -> Any:
    return value if value in ("union", "base") else parents.known(place, value)


def _token(file: YamlFile, place: Place, given: Any, parents: _Parents) -> TokenSource:
    """Where the row of a token comes from: zero, a model, or a token of a model."""
    found = mapping(file, place, given, ("source", "force"))
    source, here, force = found.get("source"), (*place, "source"), bool(found.get("force", False))
    if source is None:
        return TokenSource(force=force)
    if isinstance(source, str):
        return TokenSource(model=parents.known(here, source), force=force)
    kind = mapping(file, here, source, ("kind", "model", "token", "token_id")).get("kind")
    if kind == "zero":
        return TokenSource(zero=True, force=force)
    token, number = source.get("token"), source.get("token_id")
    if kind != "model_token" or (token is None) == (number is None) or "model" not in source:
        remedy = "Write a model, {kind: zero}, or {kind: model_token, model: MODEL, token: TOKEN} with `token` or `token_id`."
        raise error(file, here, f"{source!r} is no source of a token", remedy)
    return TokenSource(model=parents.known((*here, "model"), source["model"]), token=token, token_id=number, force=force)


def _chat_template(file: YamlFile, value: Any) -> str:
    from eutectic.models.chat_formats import FORMATS

    if value is None or value == "auto" or value in FORMATS or (isinstance(value, str) and "{" in value):
        return value or ""
    remedy = f"Write `auto`, {', '.join(FORMATS)}, or a Jinja template."
    raise error(file, ("chat_template",), f"{value!r} is no chat template", remedy)


def _place(dotted: str, positions: list[int], ways: list[str]) -> Place:
    """A place in the merge step as a place in the file (`parameters.models.0.weight` -> models, positions[0], parameters, weight)."""
    parts: list[str | int] = [int(part) if part.isdigit() else part for part in dotted.split(".") if part]
    if parts[:2] == ["parameters", "models"] and len(parts) > 2 and positions:
        return ("models", positions[int(parts[2])], "parameters", *parts[3:])
    if parts[:1] == ["modules"] and ways == ["slices"]:
        return tuple(parts[2:])
    return ("merge_method",) if parts == ["method"] else ("base_model",) if parts == ["base"] else tuple(parts)
