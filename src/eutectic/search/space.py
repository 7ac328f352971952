"""The space of a search: merge parameters with ranges where numbers stand, laid out on the unit cube.

| written | means |
|---|---|
| `t: [0, 1]` | one number, the same everywhere |
| `t: [[0, 1], [0.2, 0.8], [0, 1]]` | a layer schedule: an anchor from each range |
| `t: [{filter: self_attn, value: [0, 1]}, [0, 1]]` | filters, as in a merge |
| `weight: [0, 1]` | a number for each model, since `weight` may differ from model to model |
| `models: [{weight: [0, 1]}, {weight: [0, 0.3]}]` | the same with ranges of their own |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eutectic.errors import InputError
from eutectic.merge.check import check as check_merge
from eutectic.merge.methods import find
from eutectic.specs.steps import MergeStep, SearchStep

TUNED = ("Scheduled", "PerModel")  # kinds of parameters that are numbers with a continuum between them


@dataclass(frozen=True)
class Axis:
    """One number that is tuned; `name` is its place in the parameters (`t`, `t.2`, `models.0.weight`)."""

    name: str
    low: float
    high: float


class Space:
    """Places in the unit cube and the merges they stand for. With several models to choose from the last coordinate is the choice."""

    def __init__(self, spec: SearchStep, n_models: int, *, has_base: bool) -> None:
        """Raises `InputError` for what cannot be searched: parameters that are unknown, no numbers, or out of range at an end."""
        self.spec = spec
        self.choices = n_models if spec.one_of else 1
        merged = 1 if spec.one_of else n_models
        known = find(spec.method).schema
        for name, setting in spec.space.items():
            if name != "models" and name in known and known[name].kind not in TUNED:
                raise InputError(
                    f"`{name}` is no number that could be tuned", place=f"space.{name}", remedy="Move it to `parameters`, with one value."
                )
            if name in spec.parameters and name != "models":
                raise InputError(f"`{name}` stands in `parameters` too", place=f"space.{name}", remedy="Leave it in one of the two.")
            if name == "models" and not isinstance(setting, list | tuple):
                raise InputError("must be a list with one mapping for each model", place="space.models")
        self.space = _for_each_model(spec.space, [n for n, p in known.items() if p.kind == "PerModel"], merged)
        self.axes = [axis for name, setting in self.space.items() for axis in _axes(setting, name)]
        if not self.axes:
            raise InputError("holds no range", place="space", remedy="Write [lowest, highest] where a number would stand: `t: [0, 1]`.")
        for end in (0.0, 1.0):
            try:
                check_merge(self.merge((end,) * self.dimension), merged, has_base)
            except InputError as error:
                raise self._placed(error) from error

    def _placed(self, error: InputError) -> InputError:
        """An error of a merge, at what was written in `space` where it is about that."""
        name = error.place.split(".")[-1]
        place = f"space.{name}" if error.place.startswith("parameters") and name in self.spec.space else error.place
        return InputError(error.found, place=place, remedy=error.remedy)

    @property
    def dimension(self) -> int:
        """Coordinates of a place."""
        return len(self.axes) + (self.choices > 1)

    def choice(self, place: Sequence[float]) -> int:
        """Which of the models is merged with the base; 0 where there is no choice."""
        return min(int(place[-1] * self.choices), self.choices - 1)

    def parameters(self, place: Sequence[float]) -> dict[str, Any]:
        """The parameters at a place, fixed ones included."""
        places = iter(place)
        made = {name: _at(setting, places) for name, setting in self.space.items()}
        own = self.spec.parameters.get("models") or [{}] * len(made.get("models", ()))
        models = [{**fixed, **tuned} for fixed, tuned in zip(own, made.get("models") or [{}] * len(own), strict=True)]
        return {**self.spec.parameters, **made, **({"models": models} if models else {})}

    def merge(self, place: Sequence[float]) -> MergeStep:
        """The merge at a place."""
        return MergeStep(method=self.spec.method, parameters=self.parameters(place), seed=self.spec.seed)


def _for_each_model(space: Mapping[str, Any], several: Sequence[str], n_models: int) -> dict[str, Any]:
    """The space with what may differ from model to model given for each of several models."""
    own = {name: setting for name, setting in space.items() if name in several and n_models > 1}
    given = space.get("models") or [{}] * n_models
    if len(given) != n_models or not all(isinstance(mine, Mapping) for mine in given):
        raise InputError(f"must be a list with one mapping for each of the {n_models} models", place="space.models")
    models = [{**own, **mine} for mine in given]
    rest = {name: setting for name, setting in space.items() if name not in own and name != "models"}
    return {**rest, **({"models": models} if any(models) else {})}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_range(setting: Any) -> bool:
    return isinstance(setting, list | tuple) and len(setting) == 2 and all(map(_number, setting))


def _axes(setting: Any, place: str) -> Iterator[Axis]:
    """The ranges of a setting in the order `_at` takes coordinates for them."""
    if _is_range(setting):
        low, high = setting
        if not low < high:
            raise InputError(
                f"the range [{low:g}, {high:g}] is empty",
                place=f"space.{place}",
                remedy="Write [lowest, highest], or fix it in `parameters`.",
            )
        yield Axis(place, float(low), float(high))
    elif isinstance(setting, Mapping):
        for name, value in setting.items():
            if name != "filter":
                yield from _axes(value, f"{place}.{name}")
    elif isinstance(setting, list | tuple) and setting:
        for index, entry in enumerate(setting):
            yield from _axes(entry, f"{place}.{index}")
    elif not _number(setting):
        raise InputError(f"{setting!r} is no range", place=f"space.{place}", remedy="Write [lowest, highest] where a number would stand.")


def _at(setting: Any, places: Iterator[float]) -> Any:
    """A setting with a number in place of every range, each taken from the next coordinate."""
    if _is_range(setting):
        low, high = map(float, setting)
        return low + (high - low) * next(places)
    if isinstance(setting, Mapping):
        return {name: value if name == "filter" else _at(value, places) for name, value in setting.items()}
    return [_at(entry, places) for entry in setting] if isinstance(setting, list | tuple) else setting
