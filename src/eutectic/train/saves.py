"""What a killed training run needs to go on: `out/.state/`, written whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from eutectic.artifacts import METRICS, read_json, write_json
from eutectic.models.checkpoint import open_checkpoint, write

STATE = ".state"


class Saves:
    """Saves of one step under one plan. What another plan left behind is thrown away."""

    def __init__(self, out: Path, digest: str) -> None:
        self.out, self.folder = out, out / STATE
        mark = self.folder / "plan.json"
        if mark.exists() and read_json(mark).get("digest") != digest:
            shutil.rmtree(self.folder)
        if not mark.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            write_json(mark, {"digest": digest})

    def latest(self) -> tuple[int, float, Path] | None:
        """Updates done, seconds spent and folder of the last whole save."""
        found = sorted(self.folder.glob("update-*"))
        if not found:
            return None
        facts = read_json(found[-1] / "facts.json")
        return int(facts["updates"]), float(facts["seconds"]), found[-1]

    def save(self, updates: int, seconds: float, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Write a save beside the last one, give it its name, then delete the last one: a kill at any moment leaves one whole."""
        fresh = self.folder / "next"
        shutil.rmtree(fresh, ignore_errors=True)
        write(fresh, tensors, max_shard_bytes=float("inf"))
        write_json(fresh / "facts.json", {"updates": updates, "seconds": seconds})
        older = list(self.folder.glob("update-*"))
        fresh.rename(self.folder / f"update-{updates:08d}")
        for folder in older:
            if folder.name != f"update-{updates:08d}":
                shutil.rmtree(folder)

    def tensors(self, folder: Path) -> dict[str, Tensor]:
        """The tensors of a save."""
        return dict(open_checkpoint(folder).tensors())

    def once(self, name: str, value: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """A JSON value worked out once before training: given, it is kept; not given, what was kept or None."""
        file = self.folder / f"{name}.json"
        if value is not None:
            write_json(file, value)
            return value
        return read_json(file) if file.exists() else None

    def forget_metrics_after(self, updates: int) -> None:
        """Drop the lines of metrics.jsonl that tell of updates which are about to be done again."""
        file = self.out / METRICS
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        kept = [line for line in lines if _update_of(line) <= updates]
        file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _update_of(line: str) -> float:
    """The update a line tells of; a line torn by a kill belongs to none."""
    try:
        return float(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
