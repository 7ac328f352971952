"""What a workshop may know about the machine it runs on: devices, threads and a place to report progress.

Nothing here bears identity: the same step on another machine keeps its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Where long work reports: one task at a time, with a unit so that a rate can be shown."""

    def start(self, task: str, total: float, unit: str) -> None:
        """Begin a task of `total` units ("tokens", "items", "MB"); it ends when the next begins."""

    def advance(self, amount: float, note: str = "") -> None:
        """Say that `amount` more units are done; `note` is a short live figure such as `loss 2.31`."""


class Silent:
    """Progress that nobody watches."""

    def start(self, task: str, total: float, unit: str) -> None:
        """Nothing is shown."""

    def advance(self, amount: float, note: str = "") -> None:
        """Nothing is shown."""


@dataclass(frozen=True)
class Context:
    """The machine side of a step. `devices` are torch's names; training spreads over all of them, other work uses the first.

    `threads` of CPU are for each process and set by every step itself. `compile` compiles the element-wise parts of training (other
    rounding: the ledger says so), `checkpointing` makes activations again in the backward instead of keeping them (the same numbers,
    more time, less memory).
    """

    devices: tuple[str, ...] = ("cpu",)
    threads: int = 2
    progress: Progress = field(default_factory=Silent)
    compile: bool = False
    checkpointing: bool = False
    track: tuple[str, ...] = ()  # trackers beside metrics.jsonl
    track_folder: Path = Path(".eutectic/track")  # where they write; the runner gives every step its own

    @property
    def device(self) -> str:
        """The first device."""
        return self.devices[0]
