"""The one place that knows devices: which there is, how many threads it gets, which dtype it computes in."""

from __future__ import annotations

import os
import platform

import torch

from eutectic.context import Context
from eutectic.errors import InputError


def choose(asked: str) -> str:
    """The name torch gives a device; `auto` is CUDA, else MPS, else CPU. Raises `InputError` for one that is not here."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return next(name for name, here in present.items() if here)
    if not present.get(asked.partition(":")[0], False):
        here = ", ".join(name for name, found in present.items() if found)
        raise InputError(f"the device {asked!r} is not on this machine", place="--device", remedy=f"There is: {here}.")
    return asked


def several(kind: str, numbers: str) -> tuple[str, ...]:
    """Devices of a kind by number: `0-7` or `0,2`. On a CPU each number is one process. Raises `InputError` for what is not there."""
    found: list[int] = []
    for part in numbers.split(","):
        first, _, last = part.strip().partition("-")
        if not (first.isdigit() and (last or first).isdigit()) or int(last or first) < int(first):
            raise InputError(f"{numbers!r} names no devices", place="--devices", remedy="Write 0-7, or 0,2,3.")
        found += range(int(first), int(last or first) + 1)
    if len(set(found)) != len(found):
        raise InputError(f"{numbers!r} names a device twice", place="--devices")
    kind = kind.partition(":")[0]
    here = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, os.cpu_count() or 1)
    if max(found) >= here:
        raise InputError(f"there is no {kind} device {max(found)} here", place="--devices", remedy=f"There are {here}, counted from 0.")
    return tuple(f"cuda:{number}" if kind == "cuda" else kind for number in found)


def prepare(context: Context) -> torch.device:
    """Set the threads of this process and return the device. Every step calls it: a reused worker keeps its thread pool.

    oneDNN keeps the code it made for each shape of product, 1,024 of them; rows of ever new lengths would fill half a gigabyte with it.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")  # read at the first product
    torch.set_num_threads(context.threads)
    return torch.device(context.device)


def compute_dtype(device: torch.device) -> torch.dtype:
    """bf16, except on a CPU without bf16 arithmetic, where emulation would be many times slower than float32."""
    if device.type != "cpu":
        return torch.bfloat16
    arm = platform.machine() in {"arm64", "aarch64"}
    return torch.bfloat16 if arm or torch.cpu._is_avx512_bf16_supported() else torch.float32
