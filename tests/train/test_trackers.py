"""Curves in the trackers' own files, read back with the trackers' own readers."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from training_world import parents, step

from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.train import trackers, tune

TINY_RUN = {"epochs": 3, "probe_every": 200.0}
RUN = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from test_trackers import TINY_RUN, probed
from training_world import step
from eutectic.context import Context, Silent
from eutectic.train import tune

class Killing(Silent):
    updates = 0
    def advance(self, amount, note=""):
        self.updates += note.startswith("loss")
        if self.updates == 3:  # told to the trackers, not yet saved
            os.kill(os.getpid(), signal.SIGKILL)

model, data, corpus, out, folder = map(Path, sys.argv[1:])
context = Context(threads=1, progress=Killing(), track=("tensorboard",), track_folder=folder)
tune.build(step("cpt", **TINY_RUN), probed(model, data, corpus), out, context, save_seconds=0.0)
"""


def probed(model: Path, data: Path, corpus: Path):
    return {**parents(model, data), "probes": (Artifact("corpus", "papers", "c" * 64, corpus),)}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    row = {"id": "d", "group": "g", "title": "t", "text": "Bone is a mineralised collagen tissue.", "source": "s", "held_out": True}
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "documents.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path / "corpus"


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Curves as TensorBoard shows them: points by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def lines(out: Path) -> dict[str, list[tuple[int, float]]]:
    """The same from metrics.jsonl."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()):
        for name, value in trackers.curves(line).items():
            found.setdefault(name, []).append((line["update"], pytest.approx(value, rel=1e-6)))
    return found


def test_tensorboard_shows_the_lines_of_metrics_also_after_a_kill(tiny, datasets, corpus, tmp_path):
    pytest.importorskip("tensorboard")
    out, folder = tmp_path / "out", tmp_path / "track" / "stage"
    out.mkdir()
    code = RUN.format(tests=str(Path(__file__).parent))
    places = [str(place) for place in (tiny, datasets["text"], corpus, out, folder)]
    killed = subprocess.run([sys.executable, "-c", code, *places], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [s for s, _ in scalars(folder)["loss"]] == [1, 2, 3]  # the third update is told but will be done again
    time.sleep(1.0)  # event files are read in the order of their names, which hold seconds; a process takes longer than that to start
    context = Context(threads=1, track=("tensorboard",), track_folder=folder)
    tune.build(step("cpt", **TINY_RUN), probed(tiny, datasets["text"], corpus), out, context)
    shown = scalars(folder)
    assert shown == lines(out)
    assert all(len({step for step, _ in points}) == len(points) for points in shown.values())
    assert {"loss", "learning_rate", "grad_norm", "tokens", "perplexity/papers"} <= shown.keys()
    assert not list(out.glob("*tfevents*"))


def test_a_tracker_that_comes_later_is_told_what_was_before(tmp_path):
    pytest.importorskip("tensorboard")
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps({"update": u, "loss": 1 / u}) + "\n" for u in (1, 2, 3)))
    context = Context(track=("tensorboard", "tensorboard"), track_folder=tmp_path / "track")
    with trackers.following(context, metrics, 3, {}) as tell:
        tell({"update": 4, "loss": 0.25})
    assert scalars(tmp_path / "track")["loss"] == [(u, pytest.approx(1 / u)) for u in range(1, 5)]


def test_without_trackers_nothing_is_written(tmp_path):
    with trackers.following(Context(track_folder=tmp_path / "track"), tmp_path / "absent", 0, {}) as tell:
        tell({"update": 1, "loss": 1.0})
    assert not (tmp_path / "track").exists()


def test_what_cannot_be_tracked_is_an_error_before_any_work(tiny, datasets, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no tracker 'aim'.*tensorboard, wandb"):
        trackers.check(["aim"])
    monkeypatch.setitem(trackers.TRACKERS, "absent_package", trackers.TensorBoard)
    context = replace(Context(threads=1), track=("absent_package",), track_folder=tmp_path / "track")
    with pytest.raises(InputError, match=r"pip install 'eutectic\[absent_package\]'"):
        tune.build(step("cpt"), parents(tiny, datasets["text"]), tmp_path / "out", context)
    assert not (tmp_path / "out").exists()


def test_weights_and_biases_keeps_a_run_offline_and_is_told_nothing_twice(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("")
    context = Context(track=("wandb",), track_folder=tmp_path / "instruct-cpt-0123456789abcdef")
    losses = {update: update + 0.1234567 for update in (1, 2, 3)}
    kept = []
    for done, updates in ((0, (1, 2)), (1, (2, 3))):
        with trackers.following(context, metrics, done, {"learning_rate": 1e-3}) as tell:
            for update in updates:
                tell({"update": update, "loss": losses[update]})
                tell({"update": update, "tokens": 10, "probe": "papers", "perplexity": losses[update] + 10})
        (new,) = set((context.track_folder / "wandb").glob("offline-run-*/run-instruct-cpt-0123456789abcdef.wandb")) - set(kept)
        kept.append(new)
    first, second = (file.read_bytes() for file in kept)
    holds = [[str(losses[update] + plus).encode() in content for update in (1, 2, 3)] for content in (first, second) for plus in (0, 10)]
    assert holds == [[True, True, False], [True, True, False], [False, False, True], [False, False, True]]
