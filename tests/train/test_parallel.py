"""Several processes train as one: real processes, gloo, FSDP2."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_world import KINDS, parents, rows, step, write

from eutectic.context import Context
from eutectic.errors import InputError, WorkError
from eutectic.models.checkpoint import open_checkpoint
from eutectic.train import parallel, tune

ONE, TWO = Context(threads=1), Context(devices=("cpu", "cpu"), threads=2)


def metrics(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def both(spec, tiny, data, tmp_path, track=()):
    for name, context in (("one", ONE), ("two", TWO)):
        (tmp_path / name).mkdir()
        told = replace(context, track=track, track_folder=tmp_path / "track" / name)
        tune.build(spec, parents(tiny, data, spec, tmp_path / "reference"), tmp_path / name, told)
    return tmp_path / "one", tmp_path / "two"


@pytest.mark.parametrize("objective", list(KINDS))
def test_two_processes_give_the_losses_and_weights_of_one(objective, tiny, datasets, tmp_path):
    spec = step(objective, precision="float32", publish_dtype="float32", weight_decay=0.1)
    one, two = both(spec, tiny, datasets[KINDS[objective]], tmp_path)
    for here, there in zip(metrics(one), metrics(two), strict=True):
        for name in ("loss", "grad_norm"):
            assert there[name] == pytest.approx(here[name], rel=1e-5, abs=1e-5)
    for (name, here), (_, there) in zip(open_checkpoint(one).tensors(), open_checkpoint(two).tensors(), strict=True):
        torch.testing.assert_close(there, here, atol=2e-5, rtol=1e-4, msg=name)
    ledgers = [json.loads((out / "ledger.json").read_text()) for out in (one, two)]
    assert [ledger.pop("processes") for ledger in ledgers] == [1, 2]
    assert ledgers[0]["plan"] == ledgers[1]["plan"]
    if KINDS[objective] == "preference":
        here, there = (ledger["held_out"]["after"]["kl"] for ledger in ledgers)
        assert there == pytest.approx(here, rel=1e-3)
    assert ledgers[0]["tokens"] == ledgers[1]["tokens"]


def test_two_processes_compute_in_bf16_train_adapters_and_tell_a_tracker_once(tiny, datasets, tmp_path):
    pytest.importorskip("tensorboard")
    one, two = both(step("sft", lora={"rank": 4, "dora": True}), tiny, datasets["instruction"], tmp_path, track=("tensorboard",))
    for here, there in zip(metrics(one), metrics(two), strict=True):
        assert there["loss"] == pytest.approx(here["loss"], abs=0.02)
    assert open_checkpoint(two).names == open_checkpoint(tiny).names
    adapters = [dict(open_checkpoint(out / "adapter").tensors()) for out in (one, two)]
    assert adapters[0].keys() == adapters[1].keys()
    assert [len(list((tmp_path / "track" / name).iterdir())) for name in ("one", "two")] == [1, 1]


def test_two_processes_round_by_chance_and_learn_what_one_learns(tiny, datasets, tmp_path):
    one, two = both(step("sft", precision="bf16-stochastic", epochs=4), tiny, datasets["instruction"], tmp_path)
    for here, there in zip(metrics(one), metrics(two), strict=True):
        assert there["loss"] == pytest.approx(here["loss"], abs=0.05)
    assert metrics(two)[-1]["loss"] < metrics(two)[0]["loss"] - 0.1
    start, moved = dict(open_checkpoint(tiny).tensors()), []
    for out in (one, two):
        deltas = [(tensor.float() - start[name].float()).flatten() for name, tensor in open_checkpoint(out).tensors()]
        moved.append(torch.cat(deltas))
    assert torch.cosine_similarity(moved[0], moved[1], dim=0) > 0.5  # other numbers were drawn, the direction is the same
    assert not torch.equal(moved[0], moved[1])
    again = tmp_path / "again"
    again.mkdir()
    spec = step("sft", precision="bf16-stochastic", epochs=4)
    tune.build(spec, parents(tiny, datasets["instruction"], spec, tmp_path / "reference"), again, TWO)
    assert all(torch.equal(tensor, open_checkpoint(again).tensor(name)) for name, tensor in open_checkpoint(two).tensors())


@pytest.mark.parametrize(("first", "second"), [(ONE, TWO), (TWO, ONE)])
def test_a_save_goes_on_with_another_number_of_processes(first, second, tiny, datasets, tmp_path):
    spec = step("cpt", precision="float32", publish_dtype="float32", epochs=3, schedule="constant", warmup=0.0)
    data = parents(tiny, datasets["text"])
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    tune.build(spec, data, whole, ONE)
    half = spec.model_copy(update={"epochs": None, "updates": 4})
    tune.build(half, data, broken, first, save_seconds=0.0)
    mark = broken / ".state" / "plan.json"  # the same plan cut short: its save is a save of the whole one
    mark.write_text(json.dumps({"digest": json.loads((whole / "ledger.json").read_text())["plan"]}))
    tune.build(spec, data, broken, second)
    assert [m["update"] for m in metrics(broken)] == [m["update"] for m in metrics(whole)]
    for here, there in zip(metrics(whole)[4:], metrics(broken)[4:], strict=True):
        assert there["loss"] == pytest.approx(here["loss"], rel=1e-5)


def test_an_error_of_a_process_is_told_in_its_own_words(tiny, tmp_path):
    write(tmp_path / "d" / "train.jsonl", [])
    with pytest.raises(InputError, match="nothing to learn"):
        tune.build(step("cpt"), parents(tiny, tmp_path / "d"), tmp_path, TWO)


def test_a_process_that_dies_is_told_as_such(tiny, tmp_path, monkeypatch):
    write(tmp_path / "d" / "train.jsonl", [rows("text", 1)[0]])
    monkeypatch.setattr(parallel, "_process", _die)
    with pytest.raises(WorkError, match="died"):
        tune.build(step("cpt"), parents(tiny, tmp_path / "d"), tmp_path, TWO)


def _die(job):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
