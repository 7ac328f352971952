"""Parameters over depth: numbers, layer lists and filters become one value for each tensor (and model).

| written | means |
|---|---|
| `0.5` | the same everywhere |
| `[0, 0.5, 1]` | piecewise linear over depth: the first entry at the first layer, the last at the last |
| `[{filter: self_attn, value: ...}, {filter: mlp, value: ...}, 0.5]` | first entry whose filter is in the name; a bare one fits all |
| `models: [{weight: 0.3}, {weight: 0.7}]` | what differs from model to model, in their order; the rest holds for all |

Tensors outside the layers have no layer: they stand before the first layer (embeddings) or behind the last (final norm, head). A list
gives the former its first entry and the latter its last. (mergekit gives both its first.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from eutectic.errors import InputError
from eutectic.merge.recipe import OUTPUT_TYPES, Parameter

BEFORE_LAYERS = re.compile(r"embed|wte|wpe|tok_embeddings|shared")
Bounds = tuple[float, float]
RANGES: dict[str, Bounds] = {"density": (1e-9, 1.0), "select_topk": (0.0, 1.0), "gamma": (0.0, 1.0)}


def layer_of(tensor: str) -> int | None:
    """The layer a tensor belongs to: the first part of its name that is a number (`model.layers.7.mlp...` -> 7), or None."""
    return next((int(part) for part in tensor.split(".") if part.isdigit()), None)


def count_layers(tensors: Iterable[str]) -> int:
    """Number of layers that the names tell of."""
    return max((layer + 1 for name in tensors if (layer := layer_of(name)) is not None), default=0)


def is_before_layers(tensor: str) -> bool:
    """Whether a tensor outside the layers stands before the first one."""
    return bool(BEFORE_LAYERS.search(tensor))


def depth(tensor: str, layers: int) -> float:
    """Depth of a tensor in [0, 1]: layer / (layers - 1); 0 for embeddings, 1 for final norm and head, and for the only layer there is."""
    layer = layer_of(tensor)
    if layer is None:
        return 0.0 if is_before_layers(tensor) else 1.0
    return layer / (layers - 1) if layers > 1 else 1.0


def interpolate(entries: list[float], place: float) -> float:
    """Piecewise-linear value of equally spaced `entries` at `place` in [0, 1]; in fp64, exact at the entries."""
    scaled = place * (len(entries) - 1)
    low = min(int(scaled), len(entries) - 1)
    high, part = min(low + 1, len(entries) - 1), scaled - low
    return (1 - part) * entries[low] + part * entries[high]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_at(setting: Any, tensor: str, place: float) -> float | None:
    """The value of a setting at a tensor of that depth; None when it has filters and none of them fits."""
    if _number(setting):
        return float(setting)
    if isinstance(setting, Mapping):
        setting = [setting]
    if all(_number(entry) for entry in setting):
        return interpolate([float(entry) for entry in setting], place)
    for entry in setting:
        if not isinstance(entry, Mapping):
            return value_at(entry, tensor, place)
        if entry.get("filter") in (None, "*") or entry["filter"] in tensor:
            return value_at(entry["value"], tensor, place)
    return None


def resolve(
    levels: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]], known: Mapping[str, Parameter], tensor: str, place: float
) -> dict[str, Any]:
    """Keyword arguments of the method for one tensor at a depth in [0, 1].

    A value comes from the first of `levels` (slice, module, merge) that has one which fits this tensor, else it is the default. For a
    parameter that may differ from model to model the model's `own` comes first. Raises `InputError` when no filter fits and there is no
    default.
    """
    found: dict[str, Any] = {}
    for name, parameter in known.items():
        given = [level[name] for level in levels if name in level]
        if parameter.kind == "PerModel":
            chains = [[mine[name]] if name in mine else [] for mine in own]
            found[parameter.keyword] = tuple(_first([*chain, *given], parameter, tensor, place) for chain in chains)
        elif parameter.kind == "Scheduled":
            found[parameter.keyword] = _first(given, parameter, tensor, place)
        else:
            found[parameter.keyword] = given[0] if given else parameter.default
    return found


def _first(settings: list[Any], parameter: Parameter, tensor: str, place: float) -> float | None:
    for setting in settings:
        if (value := value_at(setting, tensor, place)) is not None:
            return value
    if parameter.default is None and (settings or parameter.required):
        raise InputError(
            f"no entry of `{parameter.name}` fits the tensor {tensor}",
            place=f"parameters.{parameter.name}",
            remedy="End the list with a bare value for all other tensors.",
        )
    return parameter.default  # type: ignore[no-any-return]


def check_parameters(levels: Sequence[tuple[str, Mapping[str, Any]]], own: Any, known: Mapping[str, Parameter], n_models: int) -> None:
    """Raise `InputError` for an unknown, missing or malformed parameter, naming its place.

    `levels` are places with the parameters that stand there, the nearest first; `own` is a list of each model's own.
    """
    if not isinstance(own, list | tuple) or (own and len(own) != n_models) or not all(isinstance(mine, Mapping) for mine in own):
        raise InputError(f"must be a list with one mapping for each of the {n_models} models", place="parameters.models")
    for place, parameters in levels:
        for name, setting in parameters.items():
            if name == "out_dtype":
                _check_choice(setting, OUTPUT_TYPES, f"{place}.out_dtype")
            elif name != "models":
                _check_one(name, setting, known, f"{place}.{name}")
    for index, mine in enumerate(own):
        for name, setting in mine.items():
            place = f"parameters.models.{index}.{name}"
            if name in known and known[name].kind != "PerModel":
                raise InputError(f"`{name}` holds for the whole merge, not for one model", place=place, remedy="Move it out of `models`.")
            _check_one(name, setting, known, place)
    for name, parameter in known.items():
        if parameter.required and not any(name in parameters for _, parameters in levels):
            raise InputError(f"`{name}` is missing", place="parameters", remedy=f"Give `{name}`: a number, a layer list, or filters.")


def _check_one(name: str, setting: Any, known: Mapping[str, Parameter], place: str) -> None:
    if name not in known:
        raise InputError(f"the parameter `{name}` is not known here", place=place, remedy=f"Known: {', '.join([*known, 'out_dtype'])}.")
    if known[name].kind == "choice":
        _check_choice(setting, known[name].choices, place)
    elif known[name].kind == "bool":
        if not isinstance(setting, bool):
            raise InputError(f"must be true or false, not {setting!r}", place=place)
    elif known[name].kind == "Count":
        if not isinstance(setting, int) or isinstance(setting, bool) or setting < 1:
            raise InputError(f"must be a whole number above 0, not {setting!r}", place=place)
    else:
        low, high = RANGES.get(name, (-math.inf, math.inf))
        for number in numbers(setting, place):
            if not low <= number <= high or not math.isfinite(number):
                bounds = f"above 0 and at most {high:g}" if name in RANGES else "finite"
                raise InputError(f"`{name}` is {number:g}; it must be {bounds}", place=place)


def _check_choice(setting: Any, choices: tuple[str, ...], place: str) -> None:
    if setting not in choices:
        raise InputError(f"must be one of {', '.join(choices)}, not {setting!r}", place=place)


def numbers(setting: Any, place: str = "value", *, inside: bool = False) -> Iterator[float]:
    """All numbers of a setting, whatever its form; raises `InputError` when it is neither number, list nor filters."""
    if _number(setting):
        yield float(setting)
    elif isinstance(setting, Mapping):
        if not set(setting) <= {"filter", "value"} or "value" not in setting or not isinstance(setting.get("filter", ""), str | None):
            raise InputError(f"{dict(setting)!r} is no filter", place=place, remedy="Write {filter: PART_OF_NAME, value: NUMBER or LIST}.")
        yield from numbers(setting["value"], place, inside=True)
    elif isinstance(setting, list | tuple) and setting:
        if inside and not all(_number(entry) for entry in setting):
            raise InputError("a list inside a filter holds numbers only", place=place)
        for entry in setting:
            yield from numbers(entry, place, inside=inside)
    else:
        raise InputError(f"{setting!r} is neither a number, a list of numbers, nor a list of filters", place=place)
