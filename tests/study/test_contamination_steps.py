"""A benchmark whose roles the training data breaks stops a study before its first update, and is part of no key of a training."""

import json
import subprocess
import sys

import pytest

from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.study.study import Study

ONE = Context(threads=1)


def trained(study):
    return {step.address: step.key for step in study.graph.written() if step.kind == "train"}


def give_roles(small, role, group):
    """Let the first question of the exam have a role and a group."""
    file = small / "exam.jsonl"
    first, *others = map(json.loads, file.read_text().splitlines())
    first |= {"role": role, "group": group, "source_ids": [group], "question": "What does a harp of gold sound like?"}
    file.write_text("".join(json.dumps(row) + "\n" for row in [first, *others]))


@pytest.mark.parametrize(
    ("role", "group", "dataset"), [("unseen", "0", "text"), ("unseen", "pairs-3", "pairs"), ("acquired", "chat-2", "chat")]
)
def test_broken_roles_stop_a_run_before_any_training(small, role, group, dataset):
    study = Study.load(small)
    keys = trained(study)
    if dataset == "text":  # what the corpus called its first document
        study.run(ONE, only=["papers"])
        (documents,) = (small / ".eutectic" / "store" / "corpus").glob("*/documents.jsonl")
        group = json.loads(documents.read_text().splitlines()[0])["group"]
    give_roles(small, role, group)
    with pytest.raises(InputError) as error:
        Study.load(small).run(ONE)
    assert error.value.place == "benchmarks.exam"
    assert f"dataset {dataset} breaks this for 1 of its items: item q0 by row " in str(error.value)
    assert not (small / ".eutectic" / "store" / "checkpoint").exists()
    assert trained(Study.load(small)) == keys
    checked = subprocess.run([sys.executable, "-m", "eutectic", "check"], cwd=small, capture_output=True, text=True, check=False)
    assert checked.returncode == 2
    assert "item q0 by row" in checked.stderr


def test_what_is_made_of_a_training_is_guarded_too_and_the_rest_is_not(small):
    file = small / "study.yaml"
    file.write_text(file.read_text().replace('{models: ["**"], benchmarks: [exam], greedy: 4}', '{models: ["blend"], benchmarks: [exam]}'))
    graph = Study.load(small).graph
    guarded = {step.address for step in graph.written() if step.kind == "train" and step.key in graph.guards}
    assert guarded == {f"instruct/{chain}" for chain in ("cpt", "cpt-sft", "cpt-sft-dpo", "cpt-sft-orpo")}
    file.write_text(file.read_text().replace('"blend"', '"instruct/cpt-sft"'))
    graph = Study.load(small).graph
    assert {s.address: [g.address for g in graph.guards.get(s.key, ())] for s in graph.written() if s.kind in ("train", "evaluate")} == {
        "instruct/cpt": ["exam@text"],
        "instruct/cpt-sft": ["exam@text", "exam@chat"],
        "instruct/cpt-sft-dpo": [],
        "instruct/cpt-sft-orpo": [],
    }


def test_guards_are_made_before_the_training_that_is_asked_for(small):
    file = small / "study.yaml"
    file.write_text(
        file.read_text().replace('{models: ["**"], benchmarks: [exam], greedy: 4}', "{models: [instruct/cpt-sft], benchmarks: [exam]}")
    )
    study = Study.load(small)
    outcome = study.run(ONE, only=["instruct/cpt"])
    assert [record.address for record in outcome.made if record.step == "contamination"] == ["exam@text"]


def test_words_of_a_chat_stop_a_run_too(small):
    file = small / "exam.jsonl"
    first, *others = map(json.loads, file.read_text().splitlines())
    file.write_text("".join(json.dumps(row) + "\n" for row in [{**first, "role": "acquired"}, *others]))
    with pytest.raises(InputError, match=r"item q0 \(acquired\) by row chat-1: 'what is spider silk | protein fibre'"):
        Study.load(small).run(ONE)
    assert not (small / ".eutectic" / "store" / "checkpoint").exists()
