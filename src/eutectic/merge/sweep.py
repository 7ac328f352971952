"""Many merges of the same parents into the same memory: parents are read once, what is measured of their tensors is measured once.

A first slerp takes a pass over the parents for the dot products and one for the sum; every later one, whatever its t, only the second.
The results are those of `stream`, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from eutectic.artifacts import Artifact, Parents
from eutectic.context import Context
from eutectic.merge.folder import everyone
from eutectic.merge.group import Each, Group, Held, Source
from eutectic.merge.stream import Merge, fill, in_order, open_source
from eutectic.specs.steps import MergeStep


class Sweep:
    """Parents in memory, each from the first merge on that has it (by key). They must not change meanwhile."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._parents: dict[str, Source] = {}
        self._held = Held(self._parents)

    def tensors(self, spec: MergeStep, parents: Parents, memory: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """The merged tensors with their names; see `stream.tensors`. Merges with slices or another tokenizer are left to that."""
        for parent in everyone(parents):
            if parent.key not in self._parents:
                self._parents[parent.key] = InMemory(parent, self.context)
        yield from fill(Merge(spec, parents, held=self._held), self.context, memory)

    def parent(self, parent: Artifact, memory: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors of a parent itself."""
        yield from self.tensors(MergeStep(method="passthrough"), {"models": (parent,)}, memory)


class InMemory:
    """All tensors of a parent in memory; an unwritten merge is made, an adapter folded. Raises `InputError` for NaN and infinity."""

    def __init__(self, parent: Artifact, context: Context) -> None:
        source = open_source(parent)
        self.label, self.names, self.kept = source.label, source.names, source.kept
        self._shapes = {name: source.shape(name) for name in source.names}

        def read(name: str, _: Each) -> torch.Tensor:
            tensor = torch.empty(torch.Size(self._shapes[name]).numel(), dtype=source.dtype(name))
            source.read(name, 0, tensor)
            if tensor.is_floating_point() and not torch.isfinite(tensor.sum(dtype=torch.float64)):
                Group(name, self._shapes[name], None, (source,), 0, map).refuse_not_finite(source)
            return tensor

        sizes = {name: torch.Size(shape).numel() for name, shape in self._shapes.items()}
        self._tensors = dict(zip(self.names, in_order(self.names, sizes.__getitem__, read, context.threads), strict=True))

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self._shapes[name]

    def dtype(self, name: str) -> torch.dtype:
        """Type of a tensor."""
        return self._tensors[name].dtype

    def read(self, name: str, start: int, into: torch.Tensor) -> None:
        """Fill `into`, of that type or fp32, with the elements from `start` on."""
        into.copy_(self._tensors[name][start : start + len(into)])
