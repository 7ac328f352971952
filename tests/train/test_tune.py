import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training_world import KINDS, parents, rows, step, write

from eutectic.context import Context
from eutectic.errors import InputError, WorkError
from eutectic.models import loading
from eutectic.models.checkpoint import open_checkpoint
from eutectic.models.safetensors_file import read_header
from eutectic.train import tune

ONE = Context(threads=1)


def metrics(out: Path, probes: bool = False) -> list[dict]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if ("probe" in line) == probes]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(open_checkpoint(folder).tensors())


def same(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("objective", KINDS)
def test_every_objective_does_its_work(objective, tiny, datasets, tmp_path):
    stage = step(objective, epochs=6)
    ledger = tune.build(stage, parents(tiny, datasets[KINDS[objective]], stage, tmp_path / "reference"), tmp_path, ONE)
    lines = metrics(tmp_path)
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert ledger["updates"] == len(lines)
    assert ledger["tokens"] == lines[-1]["tokens"]
    assert ledger["loss_tokens"] == sum(line["loss_tokens"] for line in lines)
    assert 0 < ledger["unchanged_share"] < 1
    held = ledger["held_out"]
    assert ledger["dev"]["before"].keys() == held["before"].keys() - {"kl"}
    assert ledger["dev"]["after"] != ledger["dev"]["before"] != held["before"]
    if KINDS[objective] == "preference":
        for figures in (held["before"], held["after"]):
            assert figures["margin"] == pytest.approx(figures["chosen_logprob"] - figures["rejected_logprob"])
        assert held["after"]["margin"] > held["before"]["margin"]
        assert held["after"]["kl"] > held["before"]["kl"] == 0
        assert {"margin", "pair_accuracy", "chosen_logprob", "rejected_token_logprob"} <= lines[0].keys()
        assert len(held["after"]["correct"]) == held["after"]["n"] == 10
        assert set(held["baselines"]) == {"length_only", "rejected_text_only"}
        assert held["change"]["interval"][0] <= held["change"]["difference"] <= held["change"]["interval"][1]
    else:
        name = "perplexity" if objective == "cpt" else "answer_loss"
        assert held["after"][name] < held["before"][name]
    loading.load(tmp_path, torch.bfloat16, torch.device("cpu"))
    loading.tokenizer(tmp_path)


def test_dpo_begins_at_the_reference(tiny, datasets, tmp_path):
    stage = step("dpo", epochs=1)
    tune.build(stage, parents(tiny, datasets["preference"], stage, tmp_path / "reference"), tmp_path, ONE)
    first = metrics(tmp_path)[0]
    assert first["margin"] == 0.0
    assert first["loss"] == pytest.approx(0.693147, abs=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tiny, datasets, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        tune.build(step("sft", seed=seed, epochs=1), parents(tiny, datasets["instruction"]), tmp_path / name, ONE)
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("lora", [None, {"rank": 4, "dropout": 0.3}])
def test_checkpointing_changes_no_bit(lora, tiny, datasets, tmp_path):
    for name, context in (("kept", ONE), ("again", Context(threads=1, checkpointing=True))):
        (tmp_path / name).mkdir()
        tune.build(step("sft", epochs=1, lora=lora), parents(tiny, datasets["instruction"]), tmp_path / name, context)
    assert same(tmp_path / "kept", tmp_path / "again")


@pytest.mark.parametrize("form", [{}, {"dora": True, "rslora": True, "targets": ["q_proj", "down_proj"]}])
def test_adapters_are_folded_into_a_plain_folder_and_kept_beside_it(form, tiny, datasets, tmp_path):
    spec = step("sft", lora={"rank": 4, **form}, epochs=4, keep="epochs")
    ledger = tune.build(spec, parents(tiny, datasets["instruction"]), tmp_path / "first", ONE)
    assert open_checkpoint(tmp_path / "first").names == open_checkpoint(tiny).names
    assert ledger["held_out"]["after"]["answer_loss"] < ledger["held_out"]["before"]["answer_loss"]
    kept = [
        dict(read_header(folder / "adapter" / "adapter_model.safetensors")) for folder in (tmp_path / "first", *epochs(tmp_path / "first"))
    ]
    assert len(kept) == 4  # the last epoch is the folder itself
    assert all(names.keys() == kept[0].keys() for names in kept)
    assert len(kept[0]) == (2 * 2 * 3 if form else 2 * 7 * 2)
    tune.build(step("orpo", epochs=1), parents(tmp_path / "first", datasets["preference"]), tmp_path / "second", ONE)
    assert not (tmp_path / "second" / "adapter").exists()


def epochs(out: Path) -> list[Path]:
    return sorted((out / "epochs").iterdir())


def test_targets_that_the_model_has_not_are_an_error(tiny, datasets, tmp_path):
    with pytest.raises(InputError, match=r"ends in 'query'.*The model has: q_proj, k_proj"):
        tune.build(step("sft", lora={"targets": ["query"]}), parents(tiny, datasets["instruction"]), tmp_path, ONE)


def test_epochs_are_kept(tiny, datasets, tmp_path):
    tune.build(step("cpt", keep="epochs"), parents(tiny, datasets["text"]), tmp_path, ONE)
    assert [p.name for p in (tmp_path / "epochs").iterdir()] == ["1"]  # the last epoch is the folder itself
    assert not same(tmp_path / "epochs" / "1", tmp_path)


def test_documents_longer_than_a_row_lose_no_token(tiny, tmp_path):
    write(tmp_path / "d" / "train.jsonl", [rows("text", 1)[0] | {"text": "bone and silk " * 200}])
    ledger = tune.build(step("cpt", sequence=64, epochs=1), parents(tiny, tmp_path / "d"), tmp_path, ONE)
    tokenizer = loading.tokenizer(tiny)
    assert ledger["loss_tokens"] == len(tokenizer("bone and silk " * 200)["input_ids"]) + 1
    assert ledger["cut_tokens"] == 0


@pytest.mark.parametrize("kind", ["instruction", "preference"])
def test_examples_that_would_be_cut_are_an_error(kind, tiny, datasets, tmp_path):
    objective = {"instruction": "sft", "preference": "dpo"}[kind]
    with pytest.raises(InputError, match="would lose"):
        tune.build(step(objective, sequence=20), parents(tiny, datasets[kind]), tmp_path, ONE)


def test_an_empty_dataset_is_an_error(tiny, tmp_path):
    write(tmp_path / "d" / "train.jsonl", [])
    with pytest.raises(InputError, match="nothing to learn"):
        tune.build(step("cpt"), parents(tiny, tmp_path / "d"), tmp_path, ONE)


@pytest.mark.parametrize(("what", "rate"), [("loss", 1e18), ("gradient", 1e30)])
def test_what_is_no_number_stops_with_its_examples_and_keeps_the_state_before(what, rate, tiny, datasets, tmp_path):
    broken, told = step("cpt", learning_rate=rate, warmup=0.0), []
    for _ in range(2):  # the second try begins at the failing update, from the state before it, and says the same
        with pytest.raises(WorkError, match=rf"the {what} of update 2 is no finite number; its examples are text\d+"):
            tune.build(broken, parents(tiny, datasets["text"]), tmp_path, ONE)
        assert progress(tmp_path) == 1
        told.append(metrics(tmp_path))
    assert told[0] == told[1]
    assert [line["update"] for line in told[0]] == [1]


def test_a_gradient_that_is_no_number_stops_before_the_step(make_tiny, datasets, tmp_path):
    start = make_tiny(tmp_path / "start", tied=False)
    state = weights(start)
    state["model.norm.weight"].zero_()  # all logits are 0, so the loss is log V; its slope is as large as the head's weights
    state["lm_head.weight"] = torch.randn_like(state["lm_head.weight"]).mul(1e30)
    loading.publish(state, start, tmp_path / "steep")
    with pytest.raises(WorkError, match=r"the gradient of update 1 is no finite number; its examples are text\d+"):
        tune.build(step("cpt"), parents(tmp_path / "steep", datasets["text"]), tmp_path / "out", ONE)
    assert progress(tmp_path / "out") == 0
    assert metrics(tmp_path / "out") == []


@pytest.mark.parametrize("objective", ["sft", "dpo"])
def test_a_start_with_broken_weights_is_told_before_the_first_step(objective, tiny, datasets, tmp_path):
    state = weights(tiny)
    state["model.norm.weight"][0] = float("nan")
    loading.publish(state, tiny, tmp_path / "start")
    with pytest.raises(WorkError, match="held-out rows are no finite numbers"):
        tune.build(step(objective), parents(tmp_path / "start", datasets[KINDS[objective]]), tmp_path / "out", ONE)


def test_what_was_cut_is_counted(tiny, tmp_path):
    made = rows("instruction", 20)
    made[7]["messages"][1]["content"] = "Bone. " * 60
    write(tmp_path / "d" / "train.jsonl", made)
    ledger = tune.build(step("sft", epochs=1, most_cut=0.1), parents(tiny, tmp_path / "d"), tmp_path, ONE)
    assert (ledger["rows"], ledger["cut_rows"]) == (20, 1)
    assert ledger["cut_tokens"] > 50


def test_the_likelihood_of_prompt_and_answer_counts_both(tiny, datasets, tmp_path):
    ledgers = []
    for name in ("answer", "sequence"):
        spec = step("orpo", epochs=1, parameters={"likelihood": name})
        (tmp_path / name).mkdir()
        ledgers.append(tune.build(spec, parents(tiny, datasets["preference"]), tmp_path / name, ONE))
    assert ledgers[1]["loss_tokens"] > 2 * ledgers[0]["loss_tokens"]
    assert ledgers[1]["held_out"]["before"] == ledgers[0]["held_out"]["before"]


def test_a_tokenizer_larger_than_the_embedding_is_an_error(tiny, datasets, tmp_path):
    import shutil

    start = tmp_path / "start"
    shutil.copytree(tiny, start)
    tokenizer = loading.tokenizer(start)
    tokenizer.add_tokens([f"<extra{i}>" for i in range(10)])
    tokenizer.save_pretrained(start)
    with pytest.raises(InputError, match="embedding has"):
        tune.build(step("sft"), parents(start, datasets["instruction"]), tmp_path / "out", ONE)


@pytest.mark.parametrize(
    ("changes", "found"),
    [({"objective": "ppo"}, "no objective"), ({"parameters": {"gamma": 1}}, "no parameter"), ({"parameters": {"beta": -1}}, "above 0")],
)
def test_check_knows_the_objectives(changes, found):
    with pytest.raises(InputError, match=found):
        tune.check(step("dpo").model_copy(update=changes), {})


RUN = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
import warnings
from training_world import KINDS, parents, step
from eutectic.context import Context
from eutectic.train import tune
stage, out = step({objective!r}, epochs={epochs}), Path({out!r})
tune.build(stage, parents(Path({model!r}), Path({data!r}), stage, out.parent / "reference"), out, Context(devices=("cpu",) * {processes}, threads={processes}), save_seconds=0.0)
"""


@pytest.mark.parametrize(("objective", "processes"), [("cpt", 1), ("dpo", 1), ("cpt", 2)])
def test_a_run_killed_again_and_again_reaches_the_same_weights(objective, processes, tiny, datasets, tmp_path, soak):
    whole, broken, data = tmp_path / "whole", tmp_path / "broken", datasets[KINDS[objective]]
    whole.mkdir()
    broken.mkdir()
    epochs = 12
    stage = step(objective, epochs=epochs)
    context = Context(devices=("cpu",) * processes, threads=processes)
    tune.build(stage, parents(tiny, data, stage, tmp_path / "reference"), whole, context)
    tests = str(Path(__file__).parent)
    code = RUN.format(
        tests=tests, objective=objective, processes=processes, epochs=epochs, model=str(tiny), data=str(data), out=str(broken)
    )
    kills = 0
    stride = 3 if soak else len(metrics(whole)) // 4
    for _ in range(40 if soak else 8):
        process = subprocess.Popen([sys.executable, "-c", code])
        before = progress(broken)
        while process.poll() is None and progress(broken) < before + stride:
            time.sleep(0.005)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills >= 2
    assert same(whole, broken)
    told = [json.loads((folder / "ledger.json").read_text())["held_out"] for folder in (whole, broken)]
    assert told[0] == told[1]
    drop = {"seconds"}
    assert [{k: v for k, v in m.items() if k not in drop} for m in metrics(broken)] == [
        {k: v for k, v in m.items() if k not in drop} for m in metrics(whole)
    ]


def progress(out: Path) -> int:
    return max((int(p.name.removeprefix("update-")) for p in out.glob(".state/update-*")), default=0)
