"""Datasets to train on."""

from pathlib import Path

import pytest
from training_world import rows, write


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One dataset folder of each kind, with 24 training rows, 6 to choose on and 10 held-out ones."""
    root = tmp_path_factory.mktemp("datasets")
    for kind in ("text", "instruction", "preference"):
        write(root / kind / "train.jsonl", rows(kind, 24))
        write(root / kind / "dev.jsonl", rows(kind, 6, start=200))
        write(root / kind / "held_out.jsonl", rows(kind, 10, start=100))
    return {kind: root / kind for kind in ("text", "instruction", "preference")}
