"""Tiny checkpoints as artifacts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_tensors import make_checkpoint, random_tensors

from eutectic.artifacts import Artifact


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Artifact]:
    """`checkpoint(name, tensors)` writes one and returns its artifact."""
    return lambda name, tensors, **config: make_checkpoint(tmp_path / name, dict(tensors).items(), **config)


@pytest.fixture
def trio(checkpoint: Callable[..., Artifact]) -> tuple[Artifact, Artifact, Artifact]:
    """Three unrelated float32 models."""
    one, two, three = (checkpoint(name, random_tensors(seed)) for seed, name in enumerate(("base", "one", "two")))
    return one, two, three
