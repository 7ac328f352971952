"""Choices by hash: the same name falls on the same side in every run, on every machine, whatever else is in the corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from eutectic.fingerprint import stream_seed

Thing = TypeVar("Thing")


def unit(seed: int, purpose: str, name: str) -> float:
    """A number in [0, 1) that belongs to `name` for one purpose."""
    return stream_seed(seed, f"{purpose}\0{name}") / 2**63


def ordered(things: Iterable[Thing], seed: int, purpose: str, name: Callable[[Thing], str] = str) -> list[Thing]:
    """`things` in the order of their hashes: a shuffle in which adding one thing moves no two others past each other."""
    return sorted(things, key=lambda thing: (unit(seed, purpose, name(thing)), name(thing)))
