"""What a killed training run needs to go on: `out/.state/`, written whole or not at all.

Tensors are saved by torch's distributed checkpoint, each process its part, so that another number of processes can take them up.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from eutectic.artifacts import METRICS, read_json, write_json
from eutectic.models.checkpoint import open_checkpoint, write
from eutectic.models.sharded import local
from eutectic.store import sync
from eutectic.train.team import Team

STATE = ".state"


class Saves:
    """Saves of one step under one plan. What another plan left behind is thrown away."""

    def __init__(self, out: Path, digest: str, team: Team) -> None:
        self.out, self.folder, self.team = out, out / STATE, team
        if team.leads:
            self._begin(digest)
        team.wait()

    def _begin(self, digest: str) -> None:
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
        if self.team.leads:
            shutil.rmtree(fresh, ignore_errors=True)
        self.team.wait()
        self._write(fresh, dict(tensors))
        if self.team.leads:
            write_json(fresh / "facts.json", {"updates": updates, "seconds": seconds})
            for path in (fresh / "facts.json", fresh):
                sync(path)
            older = list(self.folder.glob("update-*"))
            if all(folder.name != f"update-{updates:08d}" for folder in older):
                fresh.rename(self.folder / f"update-{updates:08d}")
                for folder in older:
                    shutil.rmtree(folder)
        self.team.wait()

    def _write(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write a save. A disk that fills is an `OSError`, which torch's writer would tell as a misplaced byte."""
        try:
            with _alone_is_meant():
                save(state, storage_writer=FileSystemWriter(folder, overwrite=True))
        except (RuntimeError, CheckpointException) as error:
            if shutil.disk_usage(self.folder).free < sum(local(tensor).nbytes for tensor in state.values()):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
            raise

    def load(self, folder: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Fill `tensors` in place from a save, made by any number of processes."""
        with _alone_is_meant():
            load(dict(tensors), checkpoint_id=str(folder))

    def once(self, name: str, value: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """A JSON value worked out once before training: given, it is kept; not given, what was kept or None."""
        file = self.folder / f"{name}.json"
        if value is not None:
            if self.team.leads:
                write_json(file, value)
            return value
        return read_json(file) if file.exists() else None

    def once_tensor(self, name: str, tensor: Tensor | None = None) -> Tensor | None:
        """A tensor worked out once before training: given, it is kept; not given, what was kept or None."""
        folder, fresh = self.folder / name, self.folder / f"{name}.next"
        if tensor is not None and not self.team.leads:
            return tensor
        if tensor is not None:
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            write(fresh, [(name, tensor)])
            fresh.rename(folder)
            return tensor
        return open_checkpoint(folder).tensor(name) if folder.exists() else None

    def forget_metrics_after(self, updates: int) -> None:
        """Drop the lines of metrics.jsonl that tell of updates which are about to be done again."""
        if not self.team.leads:
            return
        file = self.out / METRICS
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        kept = [line for line in lines if _update_of(line) <= updates]
        file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


@contextlib.contextmanager
def _alone_is_meant() -> Iterator[None]:
    """Torch warns that one process without a group saves alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _update_of(line: str) -> float:
    """The update a line tells of; a line torn by a kill belongs to none."""
    try:
        return float(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
