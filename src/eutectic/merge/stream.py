"""The merge engine: merged tensors one by one, in memory or straight into a folder, on several threads and in constant memory.

Small tensors are made whole by one thread each, large ones in parts by all threads; results come in the order of the base's file.
A merge may be a parent of another merge without ever being written: its parts are made (and rounded to its output type, as on disk)
when they are read.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from eutectic.artifacts import Artifact, Parents, optional
from eutectic.context import Context
from eutectic.errors import InputError, WorkError
from eutectic.merge import folder
from eutectic.merge.adapted import Adapted
from eutectic.merge.check import check as check_step
from eutectic.merge.group import SCRATCH, Each, Group, Held, Parts, Source
from eutectic.merge.layout import lay_out
from eutectic.merge.methods import find
from eutectic.merge.recipe import Recipe
from eutectic.merge.sources import Written, check_kinds
from eutectic.models import checkpoint, device
from eutectic.specs.steps import MergeStep

if TYPE_CHECKING:
    from eutectic.merge.vocabulary import Vocabulary

LARGE = 1 << 22  # elements: from here on all threads share one tensor
AHEAD = 1 << 25  # elements that may be under way or wait for the consumer
Result = TypeVar("Result")


class Merge:
    """A merge ready to run: parents opened and checked, every parameter resolved for every tensor. It is a `Source` itself."""

    def __init__(self, spec: MergeStep, parents: Parents, label: str = "the merge", held: Held | None = None) -> None:
        """Opens headers only; raises `InputError` for parents that do not fit, and for parameters that are wrong or leave a tensor out.

        With `held` the parents are in memory already (merge/sweep.py).
        """
        base = optional(parents, "base")
        check_step(spec, len(parents.get("models", ())), base is not None)
        self.label, self.spec, self.held = label, spec, held
        sources = [held.sources[parent.key] if held else open_source(parent) for parent in folder.everyone(parents)]
        check_kinds(sources)
        self.vocabulary = self._common(parents, sources)
        self.base = sources.pop(0) if base else None
        self.models = tuple(sources)
        self.method = find(spec.method)
        self.inputs = lay_out(spec, self.method, self.base, self.models)
        self.names = tuple(self.inputs)
        self._recipes: dict[str, Recipe] = {}
        self._lock = threading.Lock()

    def _common(self, parents: Parents, sources: list[Source]) -> Vocabulary | None:
        """The vocabulary of the result, and every source with its rows, where the merge asks for one."""
        if self.spec.tokenizer is None:
            return None
        from eutectic.merge import vocabulary  # brings transformers, which other merges need not wait for

        folders = [folder.home(parent) for parent in folder.everyone(parents)]
        found = vocabulary.common(self.spec.tokenizer, sources, folders, has_base=bool(parents.get("base")))
        sources[:] = vocabulary.reordered(tuple(sources), found)
        return found

    def _first(self, name: str) -> Source:
        """The parent whose type and shape a merged tensor has."""
        return self.inputs[name].base or self.inputs[name].models[0]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a merged tensor."""
        return self._first(name).shape(name)

    def dtype(self, name: str) -> torch.dtype:
        """Type of a merged tensor: `out_dtype`, else the base's (or first model's); tensors of whole numbers keep theirs."""
        own = self._first(name).kept(name)
        wanted = self.spec.parameters.get("out_dtype")
        return getattr(torch, wanted) if wanted and own.is_floating_point else own

    kept = dtype

    def elements(self, name: str) -> int:
        """Elements of a tensor."""
        return torch.Size(self.shape(name)).numel()

    @property
    def layout(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        """Names, types and shapes of the result."""
        return [(name, self.dtype(name), self.shape(name)) for name in self.names]

    def group(self, name: str, each: Each = map) -> Group:
        """The tensor of that name of all parents."""
        inputs = self.inputs[name]
        return Group(name, self.shape(name), inputs.base, inputs.models, self.spec.seed, each, self.method.rows, self.held)

    def recipe(self, name: str, each: Each = map) -> Recipe:
        """How the tensor is made, measured once."""
        with self._lock:
            known = self._recipes.get(name)
        if known is None:
            group = self.group(name, each)
            known = self.method.function(group, **self.inputs[name].arguments) if self._floating(name) else self._same(group)
            with self._lock:
                known = self._recipes.setdefault(name, known)
        return known

    def _floating(self, name: str) -> bool:
        return self.elements(name) > 0 and all(source.dtype(name).is_floating_point for source in self.group(name).all)

    def _same(self, group: Group) -> Recipe:
        """Whole numbers (and empty tensors) are not merged: they must be the same in all parents."""
        first, *others = group.all
        for start in group.starts:
            with SCRATCH.frame():
                part, *rest = (group.parts(start).stored(source) for source in (first, *others))
                if any(not torch.equal(part, other) for other in rest):
                    raise InputError(f"the tensor {group.name} holds whole numbers that differ between the parents", place="parents")
        return Recipe("copy", copy=group.index(first))

    def part(self, group: Group, recipe: Recipe, start: int, into: torch.Tensor) -> torch.Tensor:
        """Fill `into` with the elements of the result from `start` on, rounded to nearest even into its type."""
        parts = group.parts(start)
        with SCRATCH.frame():
            into.copy_(self._copied(parts, recipe) if recipe.combine is None else recipe.combine(parts))
        if into.dtype == torch.float16 and not torch.isfinite(into.sum(dtype=torch.float32)):
            raise WorkError(f"the merged tensor {group.name} does not fit into float16", remedy="Set `out_dtype: bfloat16`.")
        return into

    def _copied(self, parts: Parts, recipe: Recipe) -> torch.Tensor:
        source = parts.group.base if recipe.copy == -1 else parts.group.models[recipe.copy or 0]
        assert source is not None
        part = parts.stored(source)
        if part.is_floating_point() and not torch.isfinite(part.sum(dtype=torch.float32)):
            parts.group.refuse_not_finite(source)
        return part

    def read(self, name: str, start: int, into: torch.Tensor) -> None:
        """Fill `into` with the elements of a merged tensor from `start` on; the parts they lie in are made whole."""
        group, end = self.group(name), start + len(into)
        recipe = self.recipe(name)
        for first in range(start - start % group.step, end, group.step):
            parts = group.parts(first)
            if first >= start and first + parts.count <= end:
                self.part(group, recipe, first, into[first - start :][: parts.count])
            else:
                with SCRATCH.frame():
                    part = self.part(group, recipe, first, SCRATCH.take(parts.count, into.dtype))
                    low, high = max(first, start), min(first + parts.count, end)
                    into[low - start : high - start].copy_(part[low - first : high - first])

    def make(self, name: str, place: InMemory | OnDisk, each: Each) -> Recipe:
        """Make all parts of a tensor and give them to `place`."""
        group, recipe = self.group(name, each), self.recipe(name, each)

        def one(start: int) -> torch.Tensor:
            with SCRATCH.frame():
                place.take(start, self.part(group, recipe, start, place.memory(start, group.parts(start).count)))
            return NOTHING

        for _ in each(one, group.starts):
            pass
        return recipe


class InMemory:
    """Parts go to their place in a tensor."""

    def __init__(self, flat: torch.Tensor) -> None:
        self.flat = flat

    def memory(self, start: int, count: int) -> torch.Tensor:
        """Where the part belongs."""
        return self.flat[start : start + count]

    def take(self, start: int, part: torch.Tensor) -> None:
        """It is in place already."""


class OnDisk:
    """Parts go through scratch memory into a file."""

    def __init__(self, writer: checkpoint.Writer, name: str) -> None:
        self.writer, self.name = writer, name

    def memory(self, _: int, count: int) -> torch.Tensor:
        """Scratch memory."""
        return SCRATCH.take(count, self.writer.places[self.name].dtype)

    def take(self, start: int, part: torch.Tensor) -> None:
        """Write the part."""
        self.writer.put(self.name, part, start)


NOTHING = torch.empty(0)


def open_source(parent: Artifact) -> Source:
    """A parent's tensors: its folder, or, for a merge that was not written, the merge itself."""
    if parent.folder is not None:
        found: Source = Written(parent.folder, parent.address)
        for adapter in parent.parents.get("adapter", ()):
            found = Adapted(found, adapter.path)
        return found
    if not isinstance(parent.spec, MergeStep):
        raise InputError(f"{parent.address} has no folder and is no merge", place="parents")
    return Merge(parent.spec, parent.parents, parent.address)


def in_order(names: Iterable[str], size: Callable[[str], int], job: Callable[[str, Each], Result], threads: int) -> Iterator[Result]:
    """`job(name, each)` for all names, results in order: small ones beside each other, large ones alone with all threads to share.

    `each` is `map`, on the pool for large ones. torch's own threads are set to one inside, as ours already use the cores.
    """
    before = torch.get_num_threads()
    with ThreadPoolExecutor(max(1, threads), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: deque[tuple[int, Future[Result]]] = deque()
        try:
            for name in names:
                if size(name) >= LARGE and threads > 1:
                    made: Future[Result] = Future()
                    made.set_result(job(name, pool.map))
                    waiting.append((size(name), made))
                else:
                    waiting.append((size(name), pool.submit(job, name, map)))
                while waiting and sum(elements for elements, _ in waiting) > AHEAD:
                    yield waiting.popleft()[1].result()
            while waiting:
                yield waiting.popleft()[1].result()
        finally:
            for _, future in waiting:
                future.cancel()
            torch.set_num_threads(before)


def tensors(
    spec: MergeStep, parents: Parents, context: Context, memory: Mapping[str, torch.Tensor] = MappingProxyType({})
) -> Iterator[tuple[str, torch.Tensor]]:
    """The merged tensors with their names, in the output type, nothing written; parents may be unwritten merges.

    A tensor of that name, type and shape in `memory` is filled and given back (a live model's weights, `loading.live`); for others there is
    fresh memory.
    """
    yield from fill(Merge(spec, parents), context, memory)


def fill(merge: Merge, context: Context, memory: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a merge; see `tensors`."""

    def job(name: str, each: Each) -> tuple[str, torch.Tensor]:
        shape, dtype, result = merge.shape(name), merge.dtype(name), memory.get(name)
        fits = result is not None and result.device.type == "cpu" and result.is_contiguous() and result.dtype == dtype
        if result is None or not fits or result.shape != shape:
            result = torch.empty(shape, dtype=dtype)
        merge.make(name, InMemory(result.view(-1)), each)
        return name, result

    yield from in_order(merge.names, merge.elements, job, context.threads)


def check(spec: MergeStep, parents: Parents) -> None:
    """Raise `InputError` for what can be known before work: the spec, and the headers of those parents that exist."""
    check_step(spec, len(parents.get("models", ())), optional(parents, "base") is not None)
    if all(_exists(parent) for found in parents.values() for parent in found):
        Merge(spec, parents)


def _exists(parent: Artifact) -> bool:
    if parent.folder is not None:
        return parent.folder.is_dir()
    unwritten = isinstance(parent.spec, MergeStep)  # any other step without a folder is still to be made
    return unwritten and all(_exists(other) for found in parent.parents.values() for other in found)


def build(spec: MergeStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write the merged checkpoint into `out`: weights, and everything else (`folder.complete`).

    Returns counts of tensors, parameters and bytes, how many tensors took which branch, seconds of the merging and of waiting for the
    digests, and the BLAKE3 of each file of weights.
    """
    device.prepare(context)
    merge = Merge(spec, parents)
    folder.complete(merge, parents, out)
    branches: Counter[str] = Counter()
    began = time.monotonic()
    with checkpoint.Writer(out, merge.layout) as writer:
        context.progress.start("merge", writer.total / 1e6, "MB")

        def job(name: str, each: Each) -> tuple[str, str]:
            return name, merge.make(name, OnDisk(writer, name), each).branch

        for name, branch in in_order(merge.names, merge.elements, job, context.threads):
            branches[branch] += 1
            writer.seal(name)
            context.progress.advance(writer.places[name].size / 1e6, branch)
        merged = time.monotonic()
        digests = writer.digests()
    return {
        "tensors": len(merge.names),
        "parameters": sum(map(merge.elements, merge.names)),
        "bytes": writer.total,
        "branches": dict(branches),
        "seconds": {"merge": merged - began, "digest": time.monotonic() - merged},
        "digests": {file.name: digest for file, digest in digests.items()},
    }
