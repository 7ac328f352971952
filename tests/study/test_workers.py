"""Steps side by side in real processes, and training over several of them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eutectic.context import Context, Silent
from eutectic.errors import InputError, WorkError
from eutectic.study import launch
from eutectic.study.study import Study

TWO = Context(devices=("cpu", "cpu"), threads=2)


class Told(launch.Unwatched):
    """Remembers which steps were under way at once, and what they reported."""

    def __init__(self) -> None:
        self.now: set[str] = set()
        self.most = 0
        self.tasks: list[str] = []

    def begin(self, step, position, total):
        self.now.add(step.key)
        self.most = max(self.most, len(self.now))
        told = self.tasks

        class Here(Silent):
            def start(self, task, total, unit):
                told.append(task)

        return Here()

    def end(self, step, record):
        self.now.discard(step.key)


def digests(folder: Path) -> dict[str, str]:
    study = Study.load(folder)
    return {s.step.address: study.store.digests.digest(s.folder / "model.safetensors") for s in study.plan() if s.step.kind == "train"}


def test_independent_steps_run_side_by_side_and_come_to_the_same(small: Path, run_once: Path) -> None:
    told = Told()
    outcome = Study.load(small).run(TWO, told, shard=1)
    assert told.most == 2
    assert "training cpt" in told.tasks
    assert Study.load(small).status()["todo"] == 0
    assert digests(small) == digests(run_once)  # one thread each, as there
    assert len(outcome.made) == Study.load(small).status()["done"]
    trained = [r for r in outcome.made if r.step == "train"]
    assert {(r.threads, r.processes) for r in trained} == {(1, 1)}


def test_training_is_spread_over_all_devices(small: Path) -> None:
    outcome = Study.load(small).run(TWO, only=["instruct/cpt"])
    (trained,) = [r for r in outcome.made if r.step == "train" and r.address == "instruct/cpt"]
    assert (trained.processes, trained.ledger["processes"]) == (2, 2)


def test_an_error_lets_the_steps_beside_it_end_and_is_told(small: Path) -> None:
    rows = (small / "pairs.jsonl").read_text().splitlines()
    broken = [json.loads(row) for row in rows]
    for row in broken:
        row["chosen"][0]["content"] = "long " * 400
    (small / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in broken))
    with pytest.raises((InputError, WorkError), match="would lose"):
        Study.load(small).run(TWO, shard=1)
    assert Study.load(small).status()["done"] > 0


def test_too_many_devices_for_a_stage_are_refused(small: Path) -> None:
    with pytest.raises(InputError, match="3 devices"):
        Study.load(small).run(TWO, shard=3)


def test_no_process_outlives_a_killed_run(small: Path) -> None:
    command = [sys.executable, "-m", "eutectic", "run", "study.yaml", "--devices", "0-1", "--threads", "2"]
    running = subprocess.Popen(command, cwd=small, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    store = small / ".eutectic" / "store"
    deadline = time.monotonic() + 120
    while not list(store.glob(".partial/*/.state")) and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.05)
    assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    deadline = time.monotonic() + 10
    while members(running.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert members(running.pid) == []


def members(session: int) -> list[str]:
    """Processes of a session that still run."""
    listed = subprocess.run(["ps", "-s", str(session), "-o", "stat=,args="], capture_output=True, text=True, check=False).stdout
    return [line for line in listed.splitlines() if not line.startswith("Z")]
