"""What a plan says of training arms before, while and after they are made."""

import shutil

import pytest

from eutectic.artifacts import read_json
from eutectic.context import Context
from eutectic.study.study import Study

COUNTED = ("tokens", "loss_tokens", "pairs", "updates", "examples", "learning_rate_integral", "flops", "plan", "cut_tokens")


@pytest.fixture
def prepared(small):
    """The small study with its datasets made and nothing trained."""
    study = Study.load(small)
    study.run(Context(threads=1), only=["text", "chat", "pairs"])
    return small


def test_nothing_is_known_before_the_datasets(small):
    arms = Study.load(small).arms()
    assert {arm.step.address for arm in arms} == {"instruct/cpt", "instruct/cpt-sft", "instruct/cpt-sft-dpo", "instruct/cpt-sft-orpo"}
    assert {(arm.known, arm.note) for arm in arms} == {("unknown", "known when the dataset is made")}


def test_an_outline_is_what_the_ledger_will_say(prepared):
    study = Study.load(prepared)
    told = []
    before = {arm.step.address: arm for arm in study.arms(tell=told.append)}
    assert {arm.known for arm in before.values()} == {"outline"}
    assert told == [f"counting the tokens of {address}" for address in before]
    study.run(Context(threads=1), only=["instruct/cpt-sft-dpo"])
    after = {arm.step.address: arm for arm in Study.load(prepared).arms()}
    for address in ("instruct/cpt", "instruct/cpt-sft", "instruct/cpt-sft-dpo"):
        assert {name: before[address].counts[name] for name in COUNTED} == {name: after[address].counts[name] for name in COUNTED}
        assert after[address].known == "ledger"
        assert after[address].counts["seconds"] > 0


def test_a_corpus_is_tokenised_once_and_a_store_need_not_be_writable(prepared):
    study, told = Study.load(prepared), []
    first = study.arms(tell=told.append)
    assert [arm.counts for arm in study.arms(tell=told.append)] == [arm.counts for arm in first]
    assert len(told) == 4
    cache = study.store.root / ".cache" / "outlines"
    assert read_json(cache / f"{first[0].step.key}.json")["counts"] == first[0].counts
    shutil.rmtree(cache)
    cache.touch()  # no folder can be made here
    assert [arm.counts for arm in study.arms()] == [arm.counts for arm in first]


def test_a_dataset_that_training_will_refuse_is_told(prepared):
    file = prepared / "study.yaml"
    file.write_text(
        file.read_text().replace(
            "dataset: chat, learning_rate: 1e-3, batch: 2, sequence: 128", "dataset: chat, learning_rate: 1e-3, batch: 2, sequence: 9"
        )
    )
    arms = {arm.step.address: arm for arm in Study.load(prepared).arms()}
    assert arms["instruct/cpt-sft"].known == "fault"
    assert "are longer than 9 tokens" in arms["instruct/cpt-sft"].note


def test_a_stage_that_cannot_move_its_weights_is_warned_of(prepared):
    from eutectic.study.outlines import warnings

    file = prepared / "study.yaml"
    quiet = Study.load(prepared)
    assert warnings(quiet.arms(), quiet.store) == []
    file.write_text(
        file.read_text().replace(
            "learning_rate: 1e-4, batch: 4, sequence: 128, beta: 0.1", "learning_rate: 1e-7, batch: 4, sequence: 128, beta: 0.1", 1
        )
    )
    study = Study.load(prepared)
    (said,) = warnings(study.arms(), study.store)
    assert said.startswith("instruct/cpt-sft-dpo: 2 updates at a learning rate of at most 1e-07")


def test_without_datasets_a_budget_of_updates_is_enough_to_warn(small):
    from eutectic.study.outlines import warnings

    file = small / "study.yaml"
    file.write_text(
        file.read_text()
        .replace("learning_rate: 1e-3, epochs: 2", "learning_rate: 1e-8, updates: 3")
        .replace("learning_rate: 1e-4", "learning_rate: 1e-9")
    )
    study = Study.load(small)
    assert [said.partition(":")[0] for said in warnings(study.arms(), study.store)] == ["instruct/cpt"]
