"""Trackers: the lines of metrics.jsonl told once more, as curves over updates, to TensorBoard or Weights & Biases.

`metrics.jsonl` is the source and is complete without them. A step's own folder is published and its content digested, so what trackers
write stands elsewhere: in `.eutectic/track/NAME-HEX16/` beside the study, under the name the step's folder has in the store. One place
for one key means that a resumed run goes on in its own curve and a changed stage begins a new one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from eutectic.artifacts import read_json, write_json
from eutectic.context import Context
from eutectic.errors import InputError

Tell = Callable[[Mapping[str, Any]], None]


class Tracker(Protocol):
    """Where curves go. A tracker is made anew by every run of a step; `fresh` says that no earlier run of it left anything there."""

    fresh: bool

    def tell(self, update: int, numbers: Mapping[str, float]) -> None:
        """One point of each named curve."""

    def close(self) -> None:
        """Write out what is still held back."""


class TensorBoard:
    """Event files for `tensorboard --logdir .eutectic/track`."""

    def __init__(self, folder: Path, done: int, spec: Mapping[str, Any]) -> None:  # noqa: ARG002  # every tracker is made the same way
        """What an earlier run told of updates after `done` is taken back: they are done again."""
        from torch.utils.tensorboard import SummaryWriter

        self.fresh = not any(folder.glob("events.out.tfevents.*"))
        self._writer = SummaryWriter(folder, purge_step=None if self.fresh else done + 1)

    def tell(self, update: int, numbers: Mapping[str, float]) -> None:
        """See `Tracker`; a point is in its file at once, so that a kill loses none that a save has passed."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, update)
        self._writer.flush()

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


class WeightsAndBiases:
    """A run whose id is the folder's name, so that it is found again; its own variables (WANDB_MODE, WANDB_PROJECT, ...) hold.

    Nothing can be taken back there. Updates that are done again after a kill come out the same, so they are not told twice.
    """

    def __init__(self, folder: Path, done: int, spec: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Begin the run, or go on with it."""
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        self._mark = folder / "wandb-told.json"
        self._before = self._last = int(read_json(self._mark)["update"]) if self._mark.exists() else -1
        self.fresh = self._before < 0
        project = os.environ.get("WANDB_PROJECT", "eutectic")
        self._run = wandb.init(project=project, id=folder.name, name=folder.name, dir=str(folder), resume="allow", config=dict(spec))

    def tell(self, update: int, numbers: Mapping[str, float]) -> None:
        """See `Tracker`."""
        if update <= self._before:
            return
        self._run.log(dict(numbers), step=update)
        if update != self._last:
            write_json(self._mark, {"update": update})
            self._last = update

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


TRACKERS: dict[str, type[TensorBoard] | type[WeightsAndBiases]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def check(names: Iterable[str]) -> None:
    """Raise `InputError` for a tracker that is not known or whose package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise InputError(f"there is no tracker {name!r}", place="--track", remedy=f"Trackers are: {', '.join(TRACKERS)}.")
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"the tracker {name} needs the package of that name, which is not installed",
                place="--track",
                remedy=f"Install it with: pip install 'eutectic[{name}]'",
            )


@contextlib.contextmanager
def following(context: Context, metrics: Path, done: int, spec: Mapping[str, Any]) -> Iterator[Tell]:
    """While this lasts, the returned function tells a line of metrics to every tracker of the context.

    Where a tracker is fresh it is told first what `metrics` already holds: the lines of the `done` updates before this run. `spec` is
    shown beside the curves.
    """
    check(context.track)
    with contextlib.ExitStack() as open_trackers:
        trackers: list[Tracker] = []
        for name in dict.fromkeys(context.track):
            tracker = TRACKERS[name](context.track_folder, done, spec)
            open_trackers.callback(tracker.close)
            trackers.append(tracker)
        earlier = metrics.read_text(encoding="utf-8").splitlines() if any(tracker.fresh for tracker in trackers) else []
        for line in map(json.loads, earlier):
            _tell([tracker for tracker in trackers if tracker.fresh], line)
        yield lambda line: _tell(trackers, line)


def _tell(trackers: Iterable[Tracker], line: Mapping[str, Any]) -> None:
    numbers = curves(line)
    for tracker in trackers:
        tracker.tell(int(line["update"]), numbers)


def curves(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line by the name of their curve; a probe's perplexity is a curve for each corpus."""
    if "probe" in line:
        return {f"perplexity/{line['probe']}": float(line["perplexity"])}
    return {name: float(value) for name, value in line.items() if name != "update"}
