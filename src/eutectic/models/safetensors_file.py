"""The safetensors format, read with distrust: a header that lies about offsets, sizes or shapes never leads outside the file.

A file is 8 bytes with the header's length (little endian), a JSON object, and the tensors' bytes one after another. The format's own
rules are enforced in full: no overlap, no hole, nothing behind the last tensor, every range as long as shape and type say.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eutectic.errors import InputError

LARGEST_HEADER = 100_000_000  # bytes; the reference reader's own limit
TYPES: dict[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in TYPES.items()}
BROKEN = "The file is damaged or was not fully copied; fetch or write it again."


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor stands: its type and shape, its file, and the byte range in it."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    file: Path
    offset: int  # of the first byte, from the start of the file

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.elements * self.dtype.itemsize


def read_header(file: Path) -> dict[str, TensorPlace]:
    """The tensors of a safetensors file by name, in the order of their bytes; raises `InputError` for any lie in the header."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little") if size >= 8 else -1
            if not 2 <= length <= min(size - 8, LARGEST_HEADER):
                raise InputError(
                    f"is not a whole safetensors file: {size} bytes, of which the header claims {max(length, 0)}", file=file, remedy=BROKEN
                )
            header = _json(stream.read(length), file)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file, remedy="Check the path and its permissions.") from error
    start = 8 + length
    ranges = [_place(name, entry, file, start) for name, entry in header.items() if name != "__metadata__"]
    places = sorted(ranges, key=lambda place: (place.offset, place.size))
    _check_cover(places, start, size, file)
    return {place.name: place for place in places}


def _json(text: bytes, file: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a name is given twice")
        return dict(pairs)

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the safetensors header is not sound JSON ({error})", file=file, remedy=BROKEN) from error
    if not isinstance(header, dict):
        raise InputError("the safetensors header is no JSON object", file=file, remedy=BROKEN)
    return header


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _place(name: str, entry: Any, file: Path, start: int) -> TensorPlace:
    """One header entry, its own numbers checked against each other."""
    if not isinstance(entry, dict):
        raise InputError("the header entry is no JSON object", file=file, place=name, remedy=BROKEN)
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(kind, str) or kind not in TYPES:
        raise InputError(f"the tensor type {kind!r} is not known", file=file, place=name, remedy=f"Known types: {', '.join(TYPES)}.")
    if not isinstance(shape, list) or not all(map(_natural, shape)):
        raise InputError(f"the shape {shape!r} is none", file=file, place=name, remedy=BROKEN)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_natural, offsets)):
        raise InputError(f"the byte range {offsets!r} is none", file=file, place=name, remedy=BROKEN)
    place = TensorPlace(name, TYPES[kind], tuple(shape), file, start + offsets[0])
    if offsets[1] - offsets[0] != place.size:
        raise InputError(
            f"the header gives {offsets[1] - offsets[0]} bytes to a tensor of {place.size} bytes ({kind} {shape})",
            file=file, place=name, remedy=BROKEN,
        )  # fmt: skip
    return place


def _check_cover(places: Sequence[TensorPlace], start: int, size: int, file: Path) -> None:
    """The ranges must cover the file from the header to its end without overlap or hole."""
    end = start
    for place in places:
        if place.offset != end:
            fault = "overlap" if place.offset < end else "leave a hole"
            raise InputError(f"the tensors {fault} at byte {min(place.offset, end)}", file=file, place=place.name, remedy=BROKEN)
        end += place.size
        if end > size:
            raise InputError(
                f"the tensor ends at byte {end}, but the file has only {size} bytes", file=file, place=place.name, remedy=BROKEN
            )
    if end != size:
        raise InputError(f"{size - end} bytes stand behind the last tensor", file=file, remedy=BROKEN)


def make_header(tensors: Sequence[tuple[str, torch.dtype, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """Length and header of a file that holds `tensors` in this order, padded so that the data begins at a multiple of 8 bytes."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, dtype, shape in tensors:
        start, end = end, end + math.prod(shape) * dtype.itemsize
        entries[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def as_bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, without a copy."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def read_range(file: Path, offset: int, into: memoryview) -> None:
    """Fill `into` from a file; raises `InputError` when the file has become shorter since its header was read."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        done = 0
        while done < len(into):
            got = os.preadv(descriptor, [into[done:]], offset + done)
            if got == 0:
                raise InputError(f"ends at byte {offset + done}, in the middle of a tensor", file=file, remedy=BROKEN)
            done += got
    finally:
        os.close(descriptor)


def write_range(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; a full disk is an `OSError`."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
