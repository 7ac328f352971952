"""The small study is run for real: every workshop, the store, staleness, kill -9, two runs at once."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eutectic.artifacts import read_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.specs.rows import ItemScore, Turn
from eutectic.study.study import Study

ONE_THREAD = Context(threads=1)
TIMED = {"converse", "image_prompts", "reference", "train"}  # their folders also hold seconds, which differ from run to run


def contents(folder: Path) -> dict[str, str]:
    """What a run came to: digests of folders that hold no times, and of all weights."""
    study = Study.load(folder)
    plan = [s for s in study.plan() if s.folder and s.record]
    whole = {f"{s.step.kind} {s.step.address}": s.record.digest for s in plan if s.step.kind not in TIMED}
    return whole | {s.step.address: study.store.digests.digest(s.folder / "model.safetensors") for s in plan if s.step.kind == "train"}


def copy(folder: Path, to: Path, with_store: bool = True) -> Path:
    ignore = None if with_store else shutil.ignore_patterns(".eutectic")
    return Path(shutil.copytree(folder, to / folder.name, ignore=ignore))


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "eutectic", "run", "study.yaml", "--threads", "1"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_everything_is_made_once(run_once: Path) -> None:
    study = Study.load(run_once)
    assert study.status() == {"done": len(list(study.graph.written())), "stale": 0, "todo": 0}
    again = study.run(ONE_THREAD)
    assert again.made == []
    assert again.found == study.status()["done"]


def test_records_hold_what_a_reviewer_asks_for(run_once: Path) -> None:
    study = Study.load(run_once)
    for standing in study.plan():
        if standing.step.written:
            record = standing.record
            assert record is not None
            assert record.key == standing.step.key
            assert record.versions["python"]
            assert record.threads == 1
            assert record.peak_memory > 0
            assert set(record.consumed) == {parent.key for parent in standing.step.needs()}


def test_scores_hold_every_item_and_form(run_once: Path) -> None:
    study = Study.load(run_once)
    finals = [s for s in study.plan() if s.step.kind == "rescore"]
    assert finals
    for standing in finals:
        rows = read_rows(standing.folder / "items.jsonl", ItemScore)
        assert len([r for r in rows if r.form == "cloze"]) == 8
        assert len([r for r in rows if r.form == "greedy"]) == 4


def test_a_conversation_has_the_same_questions_for_every_model(run_once: Path) -> None:
    study = Study.load(run_once)
    transcripts = [read_rows(s.folder / "turns.jsonl", Turn) for s in study.plan() if s.step.kind == "converse"]
    asked = [[t.content for t in turns if t.role != "assistant"] for turns in transcripts]
    assert len(asked) == 2
    assert asked[0] == asked[1]


def test_a_deleted_folder_is_made_again_the_same(run_once: Path, tmp_path: Path) -> None:
    folder = copy(run_once, tmp_path)
    before = contents(folder)
    study = Study.load(folder)
    gone = next(s for s in study.plan() if s.step.address == "instruct/cpt" and s.step.kind == "train")
    shutil.rmtree(gone.folder)
    assert Study.load(folder).status()["todo"] == 1
    Study.load(folder).run(ONE_THREAD)
    weights = {k: v for k, v in contents(folder).items() if k.startswith("instruct")}
    assert weights == {k: v for k, v in before.items() if k.startswith("instruct")}


def test_a_changed_parent_makes_its_children_stale_and_run_mends_them(run_once: Path, tmp_path: Path) -> None:
    folder = copy(run_once, tmp_path)
    study = Study.load(folder)
    scores = next(s for s in study.plan() if s.step.kind == "evaluate" and s.step.address == "instruct")
    (scores.folder / "items.jsonl").write_text("")
    states = {(s.step.kind, s.step.address): s for s in Study.load(folder).plan()}
    assert states["evaluate", "instruct"].state == "stale"
    assert "not those that were published" in states["evaluate", "instruct"].reason
    assert states["rescore", "instruct"].state == "stale"
    assert states["train", "instruct/cpt"].state == "done"
    Study.load(folder).run(ONE_THREAD)
    assert Study.load(folder).status()["stale"] == 0
    assert contents(folder) == contents(run_once)


def test_why_says_which_value_changed(run_once: Path, tmp_path: Path) -> None:
    folder = copy(run_once, tmp_path)
    file = folder / "study.yaml"
    file.write_text(
        file.read_text().replace(
            "learning_rate: 1e-4, batch: 4, sequence: 128, beta: 0.1}\n  orpo",
            "learning_rate: 2e-4, batch: 4, sequence: 128, beta: 0.1}\n  orpo",
        )
    )
    lines = "\n".join(Study.load(folder).why("instruct/cpt-sft-dpo"))
    assert "spec.learning_rate: 0.0001 -> 0.0002" in lines
    assert "is done" in "\n".join(Study.load(folder).why("instruct/cpt-sft"))
    with pytest.raises(InputError, match="no step has the address"):
        Study.load(folder).why("instruct/nothing")


def test_only_makes_what_is_asked_and_what_it_needs(small: Path) -> None:
    study = Study.load(small)
    outcome = study.run(ONE_THREAD, only=["instruct/cpt"])
    assert {r.step for r in outcome.made} >= {"corpus", "dataset", "train", "evaluate"}
    assert not any("dpo" in r.address for r in outcome.made if r.step == "train")
    with pytest.raises(InputError, match="matches no step"):
        study.run(ONE_THREAD, only=["nothing/*"])


@pytest.mark.parametrize("seed", range(3))
def test_after_kill_9_run_goes_on_and_comes_to_the_same(run_once: Path, tmp_path: Path, seed: int, soak: bool) -> None:
    folder, chance = copy(run_once, tmp_path, with_store=False), random.Random(seed)
    kills = 0
    for _ in range(40 if soak else 4):
        running = start(folder)
        try:
            running.communicate(timeout=chance.uniform(2.0, 8.0))
            break
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.communicate()
            kills += 1
    Study.load(folder).run(ONE_THREAD)
    assert kills > 0
    assert contents(folder) == contents(run_once)
    assert list((folder / ".eutectic" / "store" / ".partial").iterdir()) == []


def test_two_runs_at_once_train_nothing_twice(run_once: Path, tmp_path: Path) -> None:
    folder = copy(run_once, tmp_path, with_store=False)
    runs = [start(folder), start(folder)]
    made = []
    for running in runs:
        out, error = running.communicate(timeout=600)
        assert running.returncode == 0, error
        made.append(int(out.split()[0]))
    assert sum(made) == Study.load(folder).status()["done"]
    assert contents(folder) == contents(run_once)


def test_a_read_only_store_is_refused_before_any_work(small: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "eutectic", "run", "--store", "/proc/store"], cwd=small, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert done.stderr.count("\n") <= 2


def test_a_disk_that_fills_publishes_nothing_and_says_so(small: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a size-limited tmpfs: {mounted.stderr}")
    try:
        command = [sys.executable, "-m", "eutectic", "run", "--store", str(disk / "store"), "--threads", "1"]
        done = subprocess.run(command, cwd=small, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "the disk is full" in done.stderr
        assert "Traceback" not in done.stderr
        for record in (disk / "store").glob("[!.]*/*/record.json"):
            assert json.loads(record.read_text())["digest"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("made", [False, True])
def test_plan_status_and_check_speak_json(run_once: Path, small: Path, made: bool) -> None:
    for verb in ("plan", "status", "check"):
        done = subprocess.run(
            [sys.executable, "-m", "eutectic", verb, "--json"], cwd=run_once if made else small, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["study"] == "small"


def test_starting_again_is_quick(run_once: Path) -> None:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "eutectic", "run", "--threads", "1"], cwd=run_once, capture_output=True, check=True)
    assert time.monotonic() - begun < 30  # a guard; docs/log.md holds the measured figure
