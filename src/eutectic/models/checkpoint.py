"""Checkpoint folders: weights read lazily, tensor by tensor or in parts of a tensor, and written as a stream in constant memory.

Nothing is mapped and nothing is kept open: every read is one `preadv` of a checked range, so that threads may share a `Checkpoint`
and memory holds what was asked for. Written folders have the usual names (`model.safetensors`, or shards with an index).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import torch
from blake3 import blake3

from eutectic.errors import InputError
from eutectic.models import pickled
from eutectic.models.safetensors_file import NAMES, TensorPlace, as_bytes, make_header, read_header, read_range, write_range

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
METADATA = MappingProxyType({"format": "pt"})  # what transformers asks for
WEIGHT_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".h5", ".msgpack", ".index.json")
OWN_FILES = ("record.json", "metrics.jsonl", "ledger.json", "README.md", "geometry.json")  # say something about the start model alone

DIGEST_BYTES = 1 << 20

Layout = Sequence[tuple[str, torch.dtype, tuple[int, ...]]]


class Checkpoint:
    """The weights of a folder. Names keep the order of the files' bytes; a tied head that is not on disk has no name here."""

    def __init__(self, folder: Path, places: Mapping[str, TensorPlace]) -> None:
        self.folder = folder
        self.places = places

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors."""
        return tuple(self.places)

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(place.size for place in self.places.values())

    def place(self, name: str) -> TensorPlace:
        """Where a tensor stands; raises `InputError` when the folder has none of that name."""
        if name not in self.places:
            raise InputError(
                f"has no tensor {name!r}", file=self.folder, remedy=f"It has {len(self.places)}, for instance {', '.join(self.names[:3])}."
            )
        return self.places[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.place(name).shape

    def dtype(self, name: str) -> torch.dtype:
        """Storage type of a tensor."""
        return self.place(name).dtype

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, read into fresh memory of its storage type."""
        place = self.place(name)
        tensor = torch.empty(place.shape, dtype=place.dtype)
        if place.elements:
            self.read(name, 0, tensor.view(-1))
        return tensor

    def read(self, name: str, start: int, into: torch.Tensor) -> None:
        """Fill the flat, contiguous `into` (of the storage type) with the elements from `start` on."""
        place = self.place(name)
        if into.dtype != place.dtype or start < 0 or start + into.numel() > place.elements:
            raise ValueError(f"elements {start}..{start + into.numel()} as {into.dtype} of {name} ({place.elements} of {place.dtype})")
        self._read(place, start, into)

    def _read(self, place: TensorPlace, start: int, into: torch.Tensor) -> None:
        read_range(place.file, place.offset + start * place.dtype.itemsize, as_bytes(into))

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """All tensors, one at a time."""
        for name in self.names:
            yield name, self.tensor(name)


class Pickled(Checkpoint):
    """The same of pickled files, whose tensors are mapped or in memory."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self._tensors: dict[str, torch.Tensor] = {}
        places: dict[str, TensorPlace] = {}
        for file in files:
            for name, tensor in pickled.load(file).items():
                if tensor.dtype not in NAMES:
                    raise InputError(f"the tensor type {tensor.dtype} is not known", file=file, place=name, remedy="Save it as floats.")
                self._tensors[name] = tensor
                places[name] = TensorPlace(name, tensor.dtype, tuple(tensor.shape), file, 0)
        super().__init__(folder, places)

    def _read(self, place: TensorPlace, start: int, into: torch.Tensor) -> None:
        into.copy_(self._tensors[place.name].view(-1)[start : start + len(into)])


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder, headers read and checked; raises `InputError` for a missing, truncated or untruthful file."""
    if not folder.is_dir():
        raise InputError("there is no such model folder", file=folder, remedy="Check the path.")
    if (folder / SINGLE).exists():  # as in transformers, the single file wins over an index
        return Checkpoint(folder, read_header(folder / SINGLE))
    if (folder / INDEX).exists():
        return Checkpoint(folder, _sharded(folder))
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return Checkpoint(folder, read_header(files[0]))
    if not files and (found := pickled.files(folder)):
        return Pickled(folder, found)
    raise InputError(
        f"holds several safetensors files but no {INDEX}" if files else f"holds no {SINGLE}",
        file=folder,
        remedy="Check that this is a whole model folder.",
    )


def _sharded(folder: Path) -> dict[str, TensorPlace]:
    """All tensors of the shards that an index names; index and shards must agree on every name."""
    index = folder / INDEX
    where = _weight_map(index)
    found: dict[str, TensorPlace] = {}
    for shard in sorted(set(where.values())):
        if not (folder / shard).exists():
            raise InputError(f"names the shard {shard}, which is missing", file=index, remedy="Fetch the missing file.")
        inside = read_header(folder / shard)
        for name, place in inside.items():
            if where.get(name) != shard:
                raise InputError(
                    f"{shard} holds {name!r}, which the index puts into {where.get(name, 'no shard')}",
                    file=index,
                    remedy="Write the index again.",
                )
            found[name] = place
    if absent := [name for name in where if name not in found]:
        raise InputError(
            f"{len(absent)} tensors of the index are in no shard, first {', '.join(absent[:3])}",
            file=index,
            remedy="Fetch the model again.",
        )
    return found


def _weight_map(index: Path) -> dict[str, str]:
    try:
        where = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"is no index of shards ({error!r})", file=index, remedy="Fetch it again.") from error
    if not isinstance(where, dict) or not all(isinstance(shard, str) for shard in where.values()):
        raise InputError("its `weight_map` is no mapping of names to files", file=index, remedy="Fetch it again.")
    for shard in where.values():
        if Path(shard).name != shard or not shard.endswith(".safetensors"):  # an index must not lead out of its folder
            raise InputError(
                f"names the shard {shard!r}, which is no safetensors file of this folder", file=index, remedy="Fetch the model again."
            )
    return where


class Writer:
    """Writes a checkpoint whose tensors are known by name, type and shape, in any order, in parts, from any thread.

    Used as a context manager; what was never put is zero, so callers put everything. A caller that finishes tensors in their order may
    `seal` each: then `digests` gives the BLAKE3 of every file, which a thread of its own counts from the pages just written.
    """

    def __init__(self, folder: Path, layout: Layout, *, max_shard_bytes: float = 5e9, metadata: Mapping[str, str] = METADATA) -> None:
        """Files get their full length at once (a full disk shows as `OSError` then or while writing)."""
        folder.mkdir(parents=True, exist_ok=True)
        self.shards = _split(layout, max_shard_bytes)
        self.places: dict[str, TensorPlace] = {}
        self.total = 0
        self._open = contextlib.ExitStack()
        self._descriptors: dict[Path, int] = {}
        self._hashers: dict[Path, Any] = {}
        self._counting: ThreadPoolExecutor | None = None
        self._counted: list[Future[None]] = []
        names = (
            [SINGLE]
            if len(self.shards) == 1
            else [f"model-{i + 1:05d}-of-{len(self.shards):05d}.safetensors" for i in range(len(self.shards))]
        )
        for name, shard in zip(names, self.shards, strict=True):
            self._begin(folder / name, shard, metadata)
        if len(names) > 1:
            _write_index(folder / INDEX, {name: place.file.name for name, place in self.places.items()}, self.total)

    def _begin(self, file: Path, shard: Layout, metadata: Mapping[str, str]) -> None:
        header = make_header(shard, metadata)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._open.callback(os.close, descriptor)
        self._descriptors[file] = descriptor
        write_range(descriptor, memoryview(header), 0)
        self._hashers[file] = blake3(header)
        end = len(header)
        for name, dtype, shape in shard:
            self.places[name] = TensorPlace(name, dtype, tuple(shape), file, end)
            end += self.places[name].size
        os.ftruncate(descriptor, end)
        self.total += end - len(header)

    def put(self, name: str, tensor: torch.Tensor, start: int = 0) -> None:
        """Write a tensor, or its elements from `start` on, already in the type of the layout."""
        place = self.places[name]
        if tensor.dtype != place.dtype or start + tensor.numel() > place.elements:
            raise ValueError(
                f"{tensor.numel()} elements of {tensor.dtype} at {start} do not fit {name} ({place.elements} of {place.dtype})"
            )
        if tensor.numel():
            data = tensor.detach().to("cpu").contiguous()
            write_range(self._descriptors[place.file], as_bytes(data), place.offset + start * place.dtype.itemsize)

    def seal(self, name: str) -> None:
        """Count a finished tensor into the digest of its file."""
        if self._counting is None:
            self._counting = ThreadPoolExecutor(1, "digests")
        self._counted.append(self._counting.submit(self._count, name))

    def _count(self, name: str) -> None:
        place, buffer = self.places[name], bytearray(min(DIGEST_BYTES, self.places[name].size))
        for start in range(0, place.size, DIGEST_BYTES):
            part = memoryview(buffer)[: min(DIGEST_BYTES, place.size - start)]
            read_range(place.file, place.offset + start, part)
            self._hashers[place.file].update(part)

    def digests(self) -> dict[Path, str]:
        """BLAKE3 of every file, once every tensor was sealed; waits for the counting."""
        for counted in self._counted:
            counted.result()
        return {file: hasher.hexdigest() for file, hasher in self._hashers.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._counting is not None:
            self._counting.shutdown(cancel_futures=error is not None)
        self._open.close()


def _split(layout: Layout, largest: float) -> list[Layout]:
    """Shards in order, each as full as `largest` bytes allow; a larger tensor stands alone."""
    shards: list[list[tuple[str, torch.dtype, tuple[int, ...]]]] = [[]]
    filled = 0.0
    for name, dtype, shape in layout:
        size = torch.Size(shape).numel() * dtype.itemsize
        if shards[-1] and filled + size > largest:
            shards.append([])
            filled = 0.0
        shards[-1].append((name, dtype, tuple(shape)))
        filled += size
    return list(shards)


def _write_index(file: Path, where: Mapping[str, str], total: int) -> None:
    content: dict[str, Any] = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write(
    folder: Path,
    tensors: Iterable[tuple[str, torch.Tensor]],
    dtype: torch.dtype | None = None,
    *,
    layout: Layout | None = None,
    max_shard_bytes: float = 5e9,
    metadata: Mapping[str, str] = METADATA,
) -> None:
    """Write named tensors as safetensors, in one file or in shards.

    Floating-point tensors are rounded to `dtype` (nearest even; None leaves every tensor as it is). With a `layout` (names, types, shapes)
    `tensors` is taken one at a time and memory stays constant; without one it is collected first, as for a model that is in memory anyway.
    """
    if layout is None:
        tensors = list(tensors)
        layout = [(name, _stored(tensor, dtype), tuple(tensor.shape)) for name, tensor in tensors]
    with Writer(folder, layout, max_shard_bytes=max_shard_bytes, metadata=metadata) as writer:
        missing = set(writer.places)
        for name, tensor in tensors:
            writer.put(name, tensor.to(writer.places[name].dtype))
            missing.discard(name)
    if missing:
        raise ValueError(f"tensors of the layout were never given: {sorted(missing)[:3]}")


def _stored(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype


def copy_assets(start: Path, out: Path) -> None:
    """Copy config, tokenizer, chat template, licence: every file of `start` that is neither weights nor about `start` alone.

    Byte for byte: reading and saving a config through transformers 5 drops keys that older readers need (`rope_theta`).
    """
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(start.iterdir()):
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(WEIGHT_ENDINGS) and path.name not in OWN_FILES:
            shutil.copyfile(path, out / path.name)
    if (extra := start / "additional_chat_templates").is_dir():
        shutil.copytree(extra, out / extra.name, dirs_exist_ok=True)


def edit_config(folder: Path, edited: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Give `config.json` the keys that `edited` makes of those it has; a file that would say the same stays byte for byte."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as JSON ({error})", file=file, remedy="Give a whole model folder.") from error
    new = edited(config)
    if new != config:
        file.write_text(json.dumps(new, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def set_config_dtype(folder: Path, dtype: torch.dtype) -> None:
    """Let `config.json` name the type of the weights beside it, under whichever key it uses; untouched when it already does."""
    name = str(dtype).removeprefix("torch.")
    edit_config(folder, lambda config: {**config, **{key: name for key in ("dtype", "torch_dtype") if key in config}})
