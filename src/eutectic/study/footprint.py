"""What a step cost: seconds and peak resident memory, and the versions that did it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("eutectic", "torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy", "peft")


def reset_peak() -> None:
    """Give back what the last step left, and begin a new peak. Linux only; elsewhere the peak is that of the process so far."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # musl has none; glibc keeps freed memory until asked
            ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory() -> int:
    """Peak resident memory in bytes since `reset_peak`."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str]:
    """Versions of what bears on numbers, the interpreter and the platform."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
