"""One tensor of all parents, in parts: what a merge method sees, and the measurements over a whole tensor that methods share.

Memory holds a few parts of `CHUNK` elements a thread, however large the tensor. Sums go over parts in their order, so that results do
not depend on the number of threads.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import torch
from blake3 import blake3

from eutectic.errors import InputError
from eutectic.fingerprint import stream_seed
from eutectic.models.safetensors_file import as_bytes

CHUNK = 1 << 18  # elements a part: its fp32 form stays in the cache. DARE draws by part, so another value is another merge
BATCH = 32  # parts whose measurements (up to 1.5 MB each) may wait to be added up
Each = Callable[[Callable[[int], torch.Tensor], Sequence[int]], Iterable[torch.Tensor]]  # `map`, or a thread pool's
# What a sum goes over: the whole tensor, each row of its last dimension, each column of its first.
Along: TypeAlias = Literal["tensor", "rows", "columns"]
Measured = TypeVar("Measured")


class Source(Protocol):
    """Where a parent's tensors come from: a folder, or a merge that was never written."""

    label: str
    names: tuple[str, ...]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""

    def dtype(self, name: str) -> torch.dtype:
        """Type of the elements that are read."""

    def kept(self, name: str) -> torch.dtype:
        """Type a merged tensor has where nothing else is asked: the parent's on disk."""

    def read(self, name: str, start: int, into: torch.Tensor) -> None:
        """Fill `into`, flat and of the storage type, with the elements of a tensor from `start` on."""


@dataclass(frozen=True)
class Held:
    """Parents in memory by their keys, known to hold finite numbers only, and what was measured over whole tensors of them.

    Their `read` fills fp32 memory too.
    """

    sources: Mapping[str, Source]
    measured: dict[Hashable, Any] = field(default_factory=dict)


class Scratch(threading.local):
    """Memory for parts, used again and again by its thread: fresh memory for each part costs more than the arithmetic."""

    def __init__(self) -> None:
        self.blocks: list[torch.Tensor] = []
        self.used = 0

    def take(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        """A flat tensor that is the caller's until the frame around it ends; its content is whatever was there."""
        size = count * dtype.itemsize
        if self.used == len(self.blocks):
            self.blocks.append(torch.empty(max(size, CHUNK * 8), dtype=torch.uint8))
        elif len(self.blocks[self.used]) < size:  # a row longer than a part
            self.blocks[self.used] = torch.empty(size, dtype=torch.uint8)
        block = self.blocks[self.used]
        self.used += 1
        return block[:size].view(dtype)

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
        if stored == torch.float32 or self.group.held:
            source.read(name, self.start, part)
        else:
            part.copy_(self.stored(source))
        if not self.group.held and not math.isfinite(part.sum().item()):  # a sum may overflow on sound values, so the elements decide
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

    def delta(self, model: int) -> torch.Tensor:
        """fp32 elements of a model less those of the base, where there is one."""
        found = self.of(self.group.models[model])
        return found if self.group.base is None else found.sub_(self.base())

    def deltas(self) -> list[torch.Tensor]:
        """fp32 elements of all models, less those of the base where there is one."""
        base = None if self.group.base is None else self.base()
        found = [self.of(model) for model in self.group.models]
        return found if base is None else [each.sub_(base) for each in found]

    def spread(self, values: np.ndarray, along: Along) -> torch.Tensor:
        """One value for the tensor, or for each of its rows or columns, as fp32 at each element of this part (which holds whole rows)."""
        if along == "tensor":
            return torch.tensor(float(values), dtype=torch.float32)
        wide = SCRATCH.take(self.count, torch.float32)
        if along == "columns":
            wide.view(-1, self.group.line).copy_(torch.from_numpy(values))
        else:
            first = self.start // self.group.row
            wide.view(-1, self.group.row).copy_(torch.from_numpy(values[first : first + self.count // self.group.row])[:, None])
        return wide


@dataclass(frozen=True)
class Group:
    """One tensor of all parents. `each` maps a function over part starts, on as many threads as the caller allows."""

    name: str
    shape: tuple[int, ...]
    base: Source | None
    models: tuple[Source, ...]
    seed: int
    each: Each
    rows: bool = False  # parts hold whole rows
    held: Held | None = None

    @property
    def elements(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)

    @property
    def row(self) -> int:
        """Elements of a row: the last dimension."""
        return self.shape[-1] if self.shape else 1

    @property
    def line(self) -> int:
        """Elements behind one index of the first dimension; of a vector, all."""
        return max(1, math.prod(self.shape[1:]) if len(self.shape) > 1 else self.elements)

    @property
    def step(self) -> int:
        """Elements of a part."""
        return CHUNK if not self.rows else max(1, CHUNK // self.line) * self.line

    @property
    def all(self) -> tuple[Source, ...]:
        """Base and models."""
        return (*((self.base,) if self.base is not None else ()), *self.models)

    @property
    def starts(self) -> range:
        """First elements of the parts."""
        return range(0, self.elements, self.step)

    def parts(self, start: int) -> Parts:
        """The part that begins at `start`."""
        return Parts(self, start, min(self.step, self.elements - start))

    def index(self, source: Source) -> int:
        """Position of a parent among the models; -1 for the base."""
        return -1 if source is self.base else next(i for i, model in enumerate(self.models) if model is source)

    def scalar(self, value: float) -> torch.Tensor:
        """A number as fp32 tensor, for operations that take only those."""
        return torch.tensor(value, dtype=torch.float32)

    def float32_sum(self, values: Sequence[float]) -> float:
        """Sum of the values as fp32 numbers."""
        return torch.tensor(list(values), dtype=torch.float32).sum().item()

    def mapped(self, measure: Callable[[Parts], torch.Tensor]) -> Iterator[torch.Tensor]:
        """A measurement of each part, in their order."""

        def one(start: int) -> torch.Tensor:
            with SCRATCH.frame():
                return measure(self.parts(start))

        for first in range(0, len(self.starts), BATCH):
            yield from self.each(one, self.starts[first : first + BATCH])

    def total(self, measure: Callable[[Parts], torch.Tensor]) -> torch.Tensor:
        """Sum of a measurement over all parts, in their order."""
        found: torch.Tensor | None = None
        for value in self.mapped(measure):
            found = value if found is None else found.add_(value)
        if found is None:
            raise InputError("is empty", place=self.name)
        return found

    def angle(self) -> tuple[float, tuple[float, float]]:
        """Angle (radians) between base and model as vectors, and their norms. The angle is 0 where a norm is 0."""
        (aa, ab), (_, bb) = self.products(base_is_input=True).tolist()
        norms = (math.sqrt(aa), math.sqrt(bb))
        if 0.0 in norms:
            return 0.0, norms
        return math.acos(max(-1.0, min(1.0, ab / (norms[0] * norms[1])))), norms

    def products(self, along: Along = "tensor", *, base_is_input: bool = False) -> np.ndarray:
        """Dot products `[n, n]` of all models as vectors, fp64: of their deltas where there is a base, unless it is one of them.

        Of whole tensors, or with one more dimension of each row or column: `[n, n, rows]`.
        """
        return self._once(("products", along, base_is_input), lambda: self._products(along, base_is_input=base_is_input))

    def _once(self, what: Hashable, measure: Callable[[], Measured]) -> Measured:
        """What is measured of these parents' tensor; of parents that are held, once for all merges of them."""
        if self.held is None:
            return measure()
        key = (what, self.name, *map(id, self.all))
        if key not in self.held.measured:
            self.held.measured[key] = measure()
        found: Measured = self.held.measured[key]
        return found

    def _products(self, along: Along, *, base_is_input: bool) -> np.ndarray:
        measure = partial(_products, deltas=not base_is_input, along=along)
        if along == "rows":
            return torch.cat(list(self.mapped(measure)), dim=2).numpy()
        found: np.ndarray = self.total(measure).numpy()
        if base_is_input:  # deltas are checked as they are read
            for source, square in zip(self.all, found.diagonal(), strict=True):
                if not math.isfinite(square):
                    self.refuse_not_finite(source)
        return found

    def sum(self, measure: Callable[[Parts], torch.Tensor]) -> float:
        """Sum of a measurement of each element, in fp64."""
        return float(self.total(lambda parts: measure(parts).sum(dtype=torch.float64)))

    def ordered(self, measure: Callable[[Parts], torch.Tensor], places: Callable[[int], Sequence[int]]) -> list[float]:
        """The values of a measurement of each element (fp32, not negative) that stand at some places when all are sorted, smallest first.

        `places` gives them from the number of elements that are not zero. Found exactly by two histograms over the bits (15, then 16 below
        those of each place): for floats that are not negative these are in their order.
        """
        counted = self.total(partial(_high_bits, measure=measure))
        high, wanted = counted[:-1].cumsum(0), places(int(counted[-1]))
        tops = [int(torch.searchsorted(high, place, right=True)) for place in wanted]
        low = self._low_bits(measure, sorted(set(tops)))
        found = []
        for place, top in zip(wanted, tops, strict=True):
            rest = place - (int(high[top - 1]) if top else 0)
            bits = top << 16 | int(torch.searchsorted(low[top], rest, right=True))
            found.append(torch.tensor(bits, dtype=torch.int32).view(torch.float32).item())
        return found

    def _low_bits(self, measure: Callable[[Parts], torch.Tensor], tops: Sequence[int]) -> dict[int, torch.Tensor]:
        """How often the lower 16 bits are at most each value, among the elements with each of these upper bits.

        Few elements have them, so all parts count into one histogram: one each would cost more than the rest.
        """
        counts, lock = {top: torch.zeros(1 << 16, dtype=torch.int64) for top in tops}, threading.Lock()

        def count(parts: Parts) -> torch.Tensor:
            bits = measure(parts).view(torch.int32)
            upper = bits >> 16
            chosen = bits[torch.stack([upper == top for top in tops]).any(0)]
            for top in tops:
                low = (chosen[chosen >> 16 == top] & 0xFFFF).long()
                with lock:
                    counts[top].index_add_(0, low, torch.ones_like(low))
            return upper[:0]

        for _ in self.mapped(count) if tops else ():
            pass
        return {top: count.cumsum(0) for top, count in counts.items()}

    def largest(self, model: int, density: float) -> Callable[[Parts, torch.Tensor], None]:
        """A trim that keeps the `density` share of a model's delta with the largest magnitudes, one element at least.

        Elements of equal magnitude at the border all stay: nothing tells them apart, and with bf16 parents there are many.
        """
        keep = max(1, int(density * self.elements))
        (border,) = self.ordered(partial(_magnitude, model=model), lambda _: [self.elements - keep])
        below = float(np.nextafter(np.float32(border), np.float32(0)))  # what is at most this goes

        def trim(_: Parts, delta: torch.Tensor) -> None:
            if border > 0:
                torch.hardshrink(delta, below, out=delta)

        return trim

    def middle(self, model: int, density: float, gamma: float) -> Callable[[Parts, torch.Tensor], None]:
        """A trim that drops the `gamma` share of a model's delta with the largest magnitudes and keeps a `density` share of all below it.

        The sum of both shares may reach 1, then fewer large ones go.
        """
        keep, above = int(density * self.elements), int(gamma * self.elements)
        first = max(0, self.elements - keep - above)
        low, high = self.ordered(partial(_magnitude, model=model), lambda _: [first, first + keep - 1]) if keep else (math.inf, 0.0)
        below = float(np.nextafter(np.float32(low), np.float32(0)))

        def trim(_: Parts, delta: torch.Tensor) -> None:
            if low > 0:
                torch.hardshrink(delta, below, out=delta)
            delta.sub_(torch.hardshrink(delta, high))  # what is above becomes x - x, the rest x - 0

        return trim

    def random(self, model: int, density: float, *, rescale: bool) -> Callable[[Parts, torch.Tensor], None]:
        """A trim that keeps each element of a model's delta with probability `density` and, if asked, divides it by `density`."""
        purpose, border = self._purpose(model), round(density * 2**32)

        def trim(parts: Parts, delta: torch.Tensor) -> None:
            delta.mul_(torch.from_numpy(self._drawn(purpose, parts) < border))
            if rescale:
                delta.div_(density)

        return trim

    def random_by_rank(self, model: int, density: float, spread: float, *, rescale: bool) -> Callable[[Parts, torch.Tensor], None]:
        """The same with a probability that rises with the rank of the magnitude in its row, from density - spread to density + spread."""
        if not 0 < density - spread <= density + spread < 1:
            raise InputError(
                f"`density` {density:g} and `epsilon` {spread:g} give probabilities from {density - spread:g} to {density + spread:g}",
                place="parameters.epsilon",
                remedy="Choose them so that both lie between 0 and 1.",
            )
        purpose = self._purpose(model)

        def trim(parts: Parts, delta: torch.Tensor) -> None:
            share = _ranks(delta.abs().view(-1, self.row))
            share = share.mul_(2 * spread / (self.row - 1)).add_(density - spread) if self.row > 1 else share.fill_(density)
            keep = torch.from_numpy(self._drawn(purpose, parts).astype(np.float64)).view_as(share) < share.double().mul(2**32)
            delta.mul_(keep.view(-1))
            if rescale:
                delta.div_(share.view(-1))

        return trim

    def _purpose(self, model: int) -> str:
        """What the random numbers of one model are for: the tensor's name and its bytes in that parent. Order of models, threads and
        shards do not matter.
        """
        return self._once(("digest", model), lambda: f"{self.name}:{self._digest(model)}")

    def _digest(self, model: int) -> str:
        digest = blake3()
        for start in self.starts:
            with SCRATCH.frame():
                digest.update(as_bytes(self.parts(start).stored(self.models[model])))
        return digest.hexdigest()

    def _drawn(self, purpose: str, parts: Parts) -> np.ndarray:
        """A number below 2^32 for each element of a part, from a Philox stream keyed by seed, purpose and part."""
        numbers = np.random.Philox(key=stream_seed(self.seed, f"{purpose}:{parts.start}")).random_raw((parts.count + 1) // 2)
        return numbers.view(np.uint32)[: parts.count]

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


def _products(parts: Parts, *, deltas: bool, along: Along) -> torch.Tensor:
    group = parts.group
    vectors = parts.deltas() if deltas else [parts.stored(source) for source in group.all]
    wide = [SCRATCH.take(parts.count, torch.float64).copy_(vector) for vector in vectors]
    more = {"tensor": (), "rows": (parts.count // group.row,), "columns": (group.line,)}[along]
    found = torch.empty(len(wide), len(wide), *more, dtype=torch.float64)
    for i, one in enumerate(wide):
        for j, other in enumerate(wide[: i + 1]):
            if along == "tensor":
                found[i, j] = one.dot(other)
            else:
                each = one.mul(other)
                found[i, j] = each.view(-1, group.row).sum(1) if along == "rows" else each.view(-1, group.line).sum(0)
            found[j, i] = found[i, j]
    return found


def _ranks(rows: torch.Tensor) -> torch.Tensor:
    """Rank of each element in its row, 0 for the smallest, fp32; of equal ones (not negative) the first has the lower rank.

    One sort of whole numbers, bits of the float above its place: many times faster than sorting places by value, and ties have an order.
    """
    places = torch.arange(rows.shape[1])
    keys = rows.view(torch.int32).to(torch.int64).bitwise_left_shift_(32).bitwise_or_(places)
    keys.numpy().sort(axis=1)
    order = keys.bitwise_and_((1 << 32) - 1)
    return torch.empty(rows.shape).scatter_(1, order, places.to(torch.float32).expand(rows.shape))


def _magnitude(parts: Parts, model: int) -> torch.Tensor:
    return parts.delta(model).abs_()


def _high_bits(parts: Parts, measure: Callable[[Parts], torch.Tensor]) -> torch.Tensor:
    """How often the upper 15 bits have each value, then how many elements are not zero."""
    values = measure(parts)
    bits = values.view(torch.int32)
    return torch.cat([torch.bincount(bits >> 16, minlength=1 << 15), values.count_nonzero()[None]])
