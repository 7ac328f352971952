"""Which tensors of which parents make a merged tensor, and with which parameters.

A plain merge makes every tensor of the same tensor of all parents. With slices the layers of the result come from ranges of layers:
what stands before the first layer (embeddings) goes with the first slice, what stands behind the last one (final norm, head) with the
last, and lists over depth run over each slice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from eutectic.errors import InputError
from eutectic.merge.group import Source
from eutectic.merge.recipe import Method
from eutectic.merge.schedule import count_layers, depth, is_before_layers, layer_of, resolve
from eutectic.merge.sources import check_fit
from eutectic.specs.steps import MergeModule, MergeSlice, MergeStep

# Modules of models that have several, by marks in their tensors' names, the first that fits; what none claims is the text decoder's.
MODULES: Mapping[str, tuple[str, ...]] = {
    "multi_modal_projector": ("multi_modal_projector.", "visual.merger"),
    "vision_tower": ("vision_tower.", "visual."),
    "vision_model": ("vision_model.",),
    "encoder": ("encoder.",),
    "shared": ("shared.",),
}
REST = ("text_decoder", "decoder")  # what such models call the module of all other tensors


@dataclass(frozen=True)
class Inputs:
    """What one merged tensor is made of: its parents' tensors under the merged name, and the method's arguments."""

    base: Source | None
    models: tuple[Source, ...]
    arguments: Mapping[str, Any]


class Renamed:
    """Some tensors of a parent under other names."""

    def __init__(self, source: Source, own: Mapping[str, str], label: str) -> None:
        self.source, self.own, self.label = source, own, label
        self.names = tuple(own)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.source.shape(self.own[name])

    def dtype(self, name: str) -> torch.dtype:
        """Storage type of a tensor."""
        return self.source.dtype(self.own[name])

    def kept(self, name: str) -> torch.dtype:
        """Type the result has where nothing else is asked."""
        return self.source.kept(self.own[name])

    def read(self, name: str, start: int, into: torch.Tensor) -> None:
        """Fill `into` with the elements of a flattened tensor from `start` on."""
        self.source.read(self.own[name], start, into)


def lay_out(spec: MergeStep, method: Method, base: Source | None, models: Sequence[Source]) -> dict[str, Inputs]:
    """The inputs of every merged tensor, by name, in order; raises `InputError` for parents that do not fit together."""
    if not spec.modules:
        everyone = [*([base] if base is not None else []), *models]
        check_fit(everyone)
        names, own = everyone[0].names, spec.parameters.get("models") or [{}] * len(models)
        layers = count_layers(names)
        return {
            name: Inputs(base, tuple(models), resolve([spec.parameters], own, method.schema, name, depth(name, layers))) for name in names
        }
    found: dict[str, Inputs] = {}
    parents = [*models, *([base] if base is not None else [])]  # so that -1 is the base
    several = len(spec.modules) > 1
    for module in spec.modules:
        found |= _module(spec, module, method, parents, several=several)
    _check_whole(found, parents[-1] if base is not None else parents[0])
    return found


def _module(spec: MergeStep, module: MergeModule, method: Method, parents: Sequence[Source], *, several: bool) -> dict[str, Inputs]:
    """The tensors of one module."""
    known = [other.name for other in spec.modules]
    found: dict[str, Inputs] = {}
    offset = 0
    for number, part in enumerate(module.slices):
        outside = {before for before, here in ((True, number == 0), (False, number == len(module.slices) - 1)) if here}
        views: list[Source] = []
        length = 0
        for source in part.sources:
            parent = parents[source.model]
            names = [name for name in parent.names if not several or _module_of(name, known) == module.name]
            first, end = source.layers or (0, count_layers(names))
            if not 0 <= first <= end <= count_layers(names):
                raise InputError(
                    f"{parent.label} has {count_layers(names)} layers, not {first} to {end}",
                    place="slices",
                    remedy="Give a range of layers it has, the first and the one behind the last.",
                )
            if source is not part.sources[0] and end - first != length:
                raise InputError(
                    f"a slice takes {length} layers of {views[0].label} and {end - first} of {parent.label}",
                    place="slices",
                    remedy="Take equally many layers of each of its sources.",
                )
            length = end - first
            views.append(_shifted(parent, names, range(first, end), offset, outside))
        check_fit(views)
        found |= _slice(part, views, [part.parameters, module.parameters, spec.parameters], method, range(offset, offset + length))
        offset += length
    return found


def _slice(part: MergeSlice, views: Sequence[Source], levels: list[Mapping[str, Any]], method: Method, layers: range) -> dict[str, Inputs]:
    """The tensors of one slice: parents under the names of the result."""
    models = [(view, source.parameters) for i, (view, source) in enumerate(zip(views, part.sources, strict=True)) if i != part.base]
    base, own = None if part.base is None else views[part.base], [mine for _, mine in models]
    found = {}
    for name in views[0].names:
        layer = layer_of(name)
        place = depth(name, 0) if layer is None else (layer - layers.start) / (len(layers) - 1) if len(layers) > 1 else 1.0
        found[name] = Inputs(base, tuple(view for view, _ in models), resolve(levels, own, method.schema, name, place))
    return found


def _shifted(parent: Source, names: Iterable[str], layers: range, offset: int, outside: set[bool]) -> Renamed:
    """The layers of a parent from `offset` on, and what it has outside of the layers, before them (True) or behind them (False)."""
    own = {}
    for name in names:
        layer = layer_of(name)
        if layer is None:
            if is_before_layers(name) in outside:
                own[name] = name
        elif layer in layers:
            own[_renumbered(name, layer - layers.start + offset)] = name
    return Renamed(parent, own, f"{parent.label} (layers {layers.start} to {layers.stop})")


def _renumbered(name: str, layer: int) -> str:
    return re.sub(r"(^|\.)\d+(\.|$)", lambda found: f"{found[1]}{layer}{found[2]}", name, count=1)


def _module_of(name: str, known: Sequence[str]) -> str:
    """The module a tensor belongs to, among those the merge names."""
    for module, marks in MODULES.items():
        if module in known and any(mark in name for mark in marks):
            return module
    return next((module for module in known if module in REST), "")


def _check_whole(found: Mapping[str, Inputs], giver: Source) -> None:
    """Every kind of tensor of the parent that gives the config must be there, in shapes that the config allows."""
    kinds: dict[str, set[tuple[int, ...]]] = {}
    for name in giver.names:
        kinds.setdefault(_renumbered(name, 0), set()).add(giver.shape(name))
    made = {_renumbered(name, 0) for name in found}
    if absent := [kind for kind in kinds if kind not in made]:
        raise InputError(
            f"no module or slice gives the tensors {', '.join(absent[:3])} that {giver.label} has",
            place="modules",
            remedy="Name every module of the model.",
        )
    for name, inputs in found.items():
        source = inputs.base or inputs.models[0]
        if source.shape(name) not in kinds.get(_renumbered(name, 0), set()):
            raise InputError(
                f"{source.label} has {name} {list(source.shape(name))}, but the config comes from {giver.label}, which has no such",
                place="slices",
                remedy="Take slices of models of one size.",
            )
