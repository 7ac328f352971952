"""Trackers of a study's training steps: beside the study, under the names of the store's folders."""

import subprocess
import sys

import pytest

from eutectic.context import Context
from eutectic.study.study import Study


def test_curves_stand_beside_the_study_and_not_in_what_is_published(small):
    pytest.importorskip("tensorboard")
    study = Study.load(small)
    outcome = study.run(Context(threads=1, track=("tensorboard",)), only=["instruct/cpt"])
    trained = {study.model_folder(record.address).name for record in outcome.made if record.step == "train"}
    assert study.model_folder("instruct/cpt").name in trained
    assert {curves.name for curves in (small / ".eutectic" / "track").iterdir()} == trained
    assert all(len(list(curves.glob("events.out.tfevents.*"))) == 1 for curves in (small / ".eutectic" / "track").iterdir())
    assert not list((small / ".eutectic" / "store").rglob("*tfevents*"))
    assert Study.load(small).run(Context(threads=1), only=["instruct/cpt"]).made == []


def test_an_unknown_tracker_is_refused_before_any_step(small):
    done = subprocess.run(
        [sys.executable, "-m", "eutectic", "run", "--track", "aim"], cwd=small, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no tracker 'aim'" in done.stderr
    assert not (small / ".eutectic" / "store" / "corpus").exists()
