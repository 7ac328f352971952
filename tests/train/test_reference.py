import json

import pytest
import torch
from training_world import parents, reference_step, rows, step, write

from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.errors import WorkError
from eutectic.models import loading
from eutectic.models.logprobs import completion_logprobs
from eutectic.train import plan, reference, tune
from eutectic.train.examples import read

ONE = Context(threads=1)


def compiled(stage, model, dataset):
    examples = read(dataset / "train.jsonl", "preference", loading.tokenizer(model), stage)
    return examples, plan.compile_plan(examples.sequences, stage, pairs=True)


def folder(out):
    return Artifact("reference_logprobs", "reference", "c" * 64, out)


def test_every_pair_the_plan_reads_is_scored_and_no_other(tiny, datasets, tmp_path):
    stage = step("dpo", epochs=None, updates=3)
    ledger = reference.build(reference_step(stage), parents(tiny, datasets["preference"]), tmp_path, ONE)
    examples, made = compiled(stage, tiny, datasets["preference"])
    found = reference.load(folder(tmp_path), made)
    used = sorted(made.used())
    assert len(used) == 12
    assert sorted((~torch.isnan(found[:, 0])).nonzero().flatten().tolist()) == used
    assert ledger == json.loads((tmp_path / "ledger.json").read_text())
    assert ledger["pairs"] == 12
    assert ledger["tokens"] == sum(len(examples.sequences[i]) for i in used)
    model = loading.load(tiny, torch.float32, torch.device("cpu"))
    sums, _ = completion_logprobs(model, [examples.sequences[i] for i in used], 2)
    assert (found[used] - sums).abs().max() < 0.5  # bf16 against float32, nats of a whole answer


def test_in_float32_it_is_the_models_own_log_probability(tiny, datasets, tmp_path):
    stage = step("dpo", epochs=1, precision="float32")
    reference.build(reference_step(stage), parents(tiny, datasets["preference"]), tmp_path, ONE)
    examples, made = compiled(stage, tiny, datasets["preference"])
    sums, _ = completion_logprobs(loading.load(tiny, torch.float32, torch.device("cpu")), examples.sequences, 2)
    torch.testing.assert_close(reference.load(folder(tmp_path), made), sums, rtol=1e-5, atol=1e-4)


def test_a_reference_of_another_plan_is_refused(tiny, datasets, tmp_path):
    given = parents(tiny, datasets["preference"], step("dpo", epochs=1, seed=4), tmp_path / "reference")
    with pytest.raises(WorkError, match="worked out for the batch plan"):
        tune.build(step("dpo", epochs=1), given, tmp_path, ONE)


class Killed(Exception):
    """Stands for a kill."""


class Killer:
    """Progress that stops the work after a number of pairs."""

    def __init__(self, after: float) -> None:
        self.total, self.left = 0.0, after

    def start(self, task: str, total: float, unit: str) -> None:
        self.total = total

    def advance(self, amount: float, note: str = "") -> None:
        self.left -= amount
        if self.left <= 0:
            raise Killed


def test_a_killed_reference_goes_on_and_comes_to_the_same(tiny, datasets, tmp_path):
    spec, given = reference_step(step("dpo", epochs=2)), parents(tiny, datasets["preference"])
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    reference.build(spec, given, whole, ONE)
    with pytest.raises(Killed):
        reference.build(spec, given, broken, Context(threads=1, progress=Killer(10)), save_seconds=0.0)
    watched = Killer(1000)
    reference.build(spec, given, broken, Context(threads=1, progress=watched), save_seconds=0.0)
    assert watched.total == 24 - 8  # the third batch of four was under way: its save had not come yet
    assert (whole / "logprobs.safetensors").read_bytes() == (broken / "logprobs.safetensors").read_bytes()


def test_a_matched_budget_is_read_from_the_finished_stage(tiny, datasets, tmp_path):
    stage = step("dpo", epochs=None)
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "ledger.json").write_text('{"tokens": 700}')
    matched = {"matched": (Artifact("checkpoint", "stage", "d" * 64, tmp_path / "stage"),)}
    given = parents(tiny, datasets["preference"]) | matched
    (tmp_path / "reference").mkdir()
    reference.build(reference_step(stage), given, tmp_path / "reference", ONE)
    ledger = tune.build(stage, given | {"reference": (folder(tmp_path / "reference"),)}, tmp_path / "stage", ONE)
    longest = max(map(len, compiled(stage, tiny, datasets["preference"])[0].sequences))
    assert 700 <= ledger["tokens"] < 700 + longest


def test_a_start_without_template_is_refused_before_any_work(tiny, datasets, tmp_path):
    import shutil

    start = tmp_path / "start"
    shutil.copytree(tiny, start)
    (start / "chat_template.jinja").unlink()
    with pytest.raises(Exception, match="start has no chat template, and the objective sft reads conversations"):
        tune.build(step("sft"), parents(start, datasets["instruction"]), tmp_path / "out", ONE)
    write(tmp_path / "d" / "train.jsonl", rows("text", 4))
    tune.build(step("cpt", epochs=1), parents(start, tmp_path / "d"), tmp_path, ONE)
