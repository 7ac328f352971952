"""One tensor of all parents, in parts: what a merge method sees, and the measurements over a whole tensor that methods share.

Memory holds a few parts of `CHUNK` elements a thread, however large the tensor. Sums go over parts in their order, so that results do
not depend on the number of threads.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from blake3 import blake3

from eutectic.errors import InputError
from eutectic.fingerprint import stream_seed
from eutectic.models.safetensors_file import as_bytes

CHUNK = 1 << 18  # elements a part: its fp32 form stays in the cache. DARE draws by part, so another value is another merge
BATCH = 64  # parts whose measurements may wait to be added up
Each = Callable[[Callable[[int], torch.Tensor], Sequence[int]], Iterable[torch.Tensor]]  # `map`, or a thread pool's


class Source(Protocol):
    """Where a parent's tensors come from: a folder, or a merge that was never written."""

    label: str
    names: tuple[str, ...]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""

    def dtype(self, name: str) -> torch.dtype:
        """Storage type of a tensor."""

    def read(self, name: str, start: int, into: torch.Tensor) -> None:
        """Fill `into`, flat and of the storage type, with the elements of a tensor from `start` on (the start of a part)."""


class Scratch(threading.local):
    """Memory for parts, used again and again by its thread: fresh memory for each part costs more than the arithmetic."""

    def __init__(self) -> None:
        self.blocks: list[torch.Tensor] = []
        self.used = 0

    def take(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        """A flat tensor that is the caller's until the frame around it ends; its content is whatever was there."""
        if self.used == len(self.blocks):
            self.blocks.append(torch.empty(CHUNK * 8, dtype=torch.uint8))
        block = self.blocks[self.used]
        self.used += 1
        return block[: count * dtype.itemsize].view(dtype)

    @contextlib.contextmanager
    def frame(self) -> Iterator[None]:
        """Give back at its end what was taken inside."""
        before = self.used
        try:
            yield
        finally:
            self.used = before


SCRATCH = Scratch()


@dataclass(frozen=True)
class Parts:
    """The same part of one tensor from all parents."""

    group: Group
    start: int
    count: int

    def of(self, source: Source) -> torch.Tensor:
        """fp32 elements `[count]` of a parent, the caller's to change; raises `InputError` when one of them is NaN or infinite."""
        name, stored = self.group.name, source.dtype(self.group.name)
        part = SCRATCH.take(self.count, torch.float32)
        if stored == torch.float32:
            source.read(name, self.start, part)
        else:
            part.copy_(self.stored(source))
        if not math.isfinite(part.sum().item()):  # a sum may overflow on sound values, so the elements decide
            self.group.refuse_not_finite(source)
        return part

    def stored(self, source: Source) -> torch.Tensor:
        """Elements of a parent in its storage type."""
        part = SCRATCH.take(self.count, source.dtype(self.group.name))
        source.read(self.group.name, self.start, part)
        return part

    def base(self) -> torch.Tensor:
        """fp32 elements of the base."""
        assert self.group.base is not None
        return self.of(self.group.base)


@dataclass(frozen=True)
class Group:
    """One tensor of all parents. `each` maps a function over part starts, on as many threads as the caller allows."""

    name: str
    elements: int
    base: Source | None
    models: tuple[Source, ...]
    seed: int
    each: Each

    @property
    def all(self) -> tuple[Source, ...]:
        """Base and models."""
        return (*((self.base,) if self.base is not None else ()), *self.models)

    @property
    def starts(self) -> range:
        """First elements of the parts."""
        return range(0, self.elements, CHUNK)

    def parts(self, start: int) -> Parts:
        """The part that begins at `start`."""
        return Parts(self, start, min(CHUNK, self.elements - start))

    def index(self, source: Source) -> int:
        """Position of a parent among the models; -1 for the base."""
        return -1 if source is self.base else next(i for i, model in enumerate(self.models) if model is source)

    def scalar(self, value: float) -> torch.Tensor:
        """A number as fp32 tensor, for operations that take only those."""
        return torch.tensor(value, dtype=torch.float32)

    def float32_sum(self, values: Sequence[float]) -> float:
        """Sum of the values as fp32 numbers."""
        return torch.tensor(list(values), dtype=torch.float32).sum().item()

    def total(self, measure: Callable[[Parts], torch.Tensor]) -> torch.Tensor:
        """Sum of a measurement over all parts, in their order."""

        def one(start: int) -> torch.Tensor:
            with SCRATCH.frame():
                return measure(self.parts(start))

        found: torch.Tensor | None = None
        for first in range(0, len(self.starts), BATCH):
            for value in self.each(one, self.starts[first : first + BATCH]):
                found = value if found is None else found.add_(value)
        if found is None:
            raise InputError("is empty", place=self.name)
        return found

    def angle(self) -> tuple[float, tuple[float, float]]:
        """Angle (radians) between base and model as vectors, and their norms; sums in fp64. The angle is 0 where a norm is 0."""
        aa, ab, bb = self.total(partial(_products, pair=self.all)).tolist()
        for source, square in zip(self.all, (aa, bb), strict=True):
            if not math.isfinite(square):
                self.refuse_not_finite(source)
        norms = (math.sqrt(aa), math.sqrt(bb))
        if 0.0 in norms:
            return 0.0, norms
        return math.acos(max(-1.0, min(1.0, ab / (norms[0] * norms[1])))), norms

    def largest(self, model: int, density: float) -> Callable[[Parts, torch.Tensor], None]:
        """A trim that keeps the `density` share of a model's delta with the largest magnitudes.

        The magnitude at the border is found exactly by two histograms over its bits (15, then 16). Elements of equal magnitude at the
        border all stay: nothing tells them apart, and with bf16 parents there are many.
        """
        source, keep = self.models[model], max(1, int(density * self.elements))
        high, rest = _border(self.total(partial(_high_bits, source=source)), keep)
        low, _ = _border(self.total(partial(_low_bits, source=source, high=high)), rest)
        below = torch.tensor((high << 16 | low) - 1, dtype=torch.int32).view(torch.float32).item()  # the next smaller magnitude

        def trim(_: Parts, delta: torch.Tensor) -> None:
            if high or low:
                torch.hardshrink(delta, below, out=delta)

        return trim

    def random(self, model: int, density: float) -> Callable[[Parts, torch.Tensor], None]:
        """A trim that keeps each element of a model's delta with probability `density` and divides it by `density`.

        Philox streams keyed by the seed, the tensor's name, its bytes in that parent and the part: order of models, threads and shards
        do not matter.
        """
        source, digest = self.models[model], blake3()
        for start in self.starts:
            with SCRATCH.frame():
                digest.update(as_bytes(self.parts(start).stored(source)))
        purpose, border = f"{self.name}:{digest.hexdigest()}", round(density * 2**32)

        def trim(parts: Parts, delta: torch.Tensor) -> None:
            numbers = np.random.Philox(key=stream_seed(self.seed, f"{purpose}:{parts.start}")).random_raw((parts.count + 1) // 2)
            keep = numbers.view(np.uint32)[: parts.count] < border
            delta.mul_(torch.from_numpy(keep)).div_(density)

        return trim

    def refuse_not_finite(self, source: Source) -> None:
        """Raise `InputError` when a parent's tensor holds NaN or infinity, saying how many."""
        counts = [0, 0]
        for start in self.starts:
            with SCRATCH.frame():
                part = self.parts(start).stored(source)
                counts[0] += int(part.isnan().sum())
                counts[1] += int(part.isinf().sum())
        if any(counts):
            raise InputError(
                f"{source.label}: the tensor {self.name} holds {counts[0]} NaN and {counts[1]} infinite of {self.elements} values",
                remedy="Such a model is broken: train or fetch it again.",
            )


def _products(parts: Parts, pair: tuple[Source, ...]) -> torch.Tensor:
    a, b = (SCRATCH.take(parts.count, torch.float64).copy_(parts.stored(source)) for source in pair)
    return torch.stack([a.dot(a), a.dot(b), b.dot(b)])


def _magnitude_bits(parts: Parts, source: Source) -> torch.Tensor:
    """Bits of |delta| as int32: for non-negative floats they are ordered as the numbers are."""
    return parts.of(source).sub_(parts.base()).abs_().view(torch.int32)


def _high_bits(parts: Parts, source: Source) -> torch.Tensor:
    return torch.bincount(_magnitude_bits(parts, source).bitwise_right_shift_(16), minlength=1 << 15)


def _low_bits(parts: Parts, source: Source, high: int) -> torch.Tensor:
    bits = _magnitude_bits(parts, source)
    return torch.bincount(bits[bits >> 16 == high] & 0xFFFF, minlength=1 << 16)


def _border(counts: torch.Tensor, keep: int) -> tuple[int, int]:
    """The bin in which the `keep`-th largest element lies, and which one of that bin it is, counted from above."""
    above = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(above, keep))
    return len(above) - 1 - place, keep - (int(above[place - 1]) if place else 0)
