"""The one-off tools on real (tiny) folders: what they write, and what bad input gets."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

CONFIG = """\
merge_method: slerp
base_model: {base}
models:
  - model: {base}
  - model: {other}
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 1]
    - value: {t}
dtype: bfloat16
"""


def eutectic(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eutectic", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=300)


def refused(done: subprocess.CompletedProcess[str], *says: str) -> None:
    """Exit 2, one paragraph, no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    paragraph = [line for line in done.stderr.splitlines() if line.startswith("eutectic: ")]
    assert len(paragraph) == 1
    assert all(text in done.stderr for text in says), done.stderr


@pytest.fixture
def config(tmp_path: Path, tiny: Path, tiny_other: Path) -> Path:
    file = tmp_path / "merge.yaml"
    file.write_text(CONFIG.format(base=tiny, other=tiny_other, t=0.3))
    return file


def test_merge_writes_a_whole_model_folder(config: Path, tmp_path: Path, tiny: Path) -> None:
    done = eutectic("merge", config, "out", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["folder"] == "out"
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()
    assert set(load_file(tmp_path / "out" / "model.safetensors")) == set(load_file(tiny / "model.safetensors"))
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(tmp_path / "out")


def test_merge_tells_what_it_did_and_its_folder_can_be_verified(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + "chat_template: chatml\n")
    done = eutectic("merge", config, "out", cwd=tmp_path)
    assert "in 20 tensors (" in done.stdout
    assert "Time: merge " in done.stdout
    assert "as its record says" in eutectic("verify", "out", cwd=tmp_path).stdout
    assert (tmp_path / "out/mergekit_config.yml").read_bytes() == config.read_bytes()
    assert "<|im_start|>" in (tmp_path / "out/chat_template.jinja").read_text()
    (tmp_path / "out/README.md").write_text("another card")
    refused(eutectic("verify", "out", cwd=tmp_path), "not those that were published")


def test_merge_tells_parameters_without_effect(tmp_path: Path, tiny: Path, tiny_other: Path) -> None:
    models = [{"model": str(model), "parameters": {"weight": 0.3}} for model in (tiny, tiny_other)]
    (tmp_path / "merge.yaml").write_text(json.dumps({"merge_method": "linear", "models": models}))
    assert "`weight` has no effect on this merge" in eutectic("merge", "merge.yaml", "out", cwd=tmp_path).stdout


def test_merge_reads_pickled_parents(config: Path, tmp_path: Path, tiny_other: Path) -> None:
    import torch

    assert eutectic("merge", config, "out", cwd=tmp_path).returncode == 0
    pickled = Path(shutil.copytree(tiny_other, tmp_path / "pickled"))
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    config.write_text(config.read_text().replace(str(tiny_other), str(pickled)))
    assert eutectic("merge", config, "other", cwd=tmp_path).returncode == 0
    assert (tmp_path / "other/model.safetensors").read_bytes() == (tmp_path / "out/model.safetensors").read_bytes()


def test_merge_never_overwrites(config: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    refused(eutectic("merge", config, "out", cwd=tmp_path), "is there already")
    assert list((tmp_path / "out").iterdir()) == []


def test_merge_with_a_truncated_parent_leaves_nothing(config: Path, tmp_path: Path, tiny_other: Path) -> None:
    broken = Path(shutil.copytree(tiny_other, tmp_path / "broken"))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    config.write_text(config.read_text().replace(str(tiny_other), str(broken)))
    refused(eutectic("merge", config, "out", cwd=tmp_path), str(weights))
    assert not any(path.name.startswith((".out", "out")) for path in tmp_path.iterdir())


def test_merge_of_different_shapes_names_them(config: Path, tmp_path: Path, tiny_other: Path, make_tiny: Callable[..., Path]) -> None:
    wide = make_tiny(tmp_path / "wide", hidden=64)
    config.write_text(config.read_text().replace(str(tiny_other), str(wide)))
    refused(eutectic("merge", config, "out", cwd=tmp_path), "model.")
    assert not (tmp_path / "out").exists()


def test_merge_names_an_unknown_key_with_its_line(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + "colour: red\n")
    refused(eutectic("merge", config, "out", cwd=tmp_path), "colour", "merge.yaml, line 12")


def test_merge_of_a_missing_folder_names_the_line(config: Path, tmp_path: Path, tiny_other: Path) -> None:
    config.write_text(config.read_text().replace(str(tiny_other), "nowhere/model"))
    refused(eutectic("merge", config, "out", cwd=tmp_path), "nowhere/model", "line 5")


def test_compare_of_a_model_with_itself_and_another(tmp_path: Path, tiny: Path, tiny_other: Path) -> None:
    same = json.loads(eutectic("compare", tiny, tiny, "--json", cwd=tmp_path).stdout)
    other = json.loads(eutectic("compare", tiny, tiny_other, "--json", cwd=tmp_path).stdout)
    assert all(row["relative_distance"] == 0 for row in same["tensors"])
    assert other["angle_median"] > 0.1
    refused(eutectic("compare", tiny, tmp_path, cwd=tmp_path), "config.json")


def test_verify_finds_a_changed_file(tmp_path: Path, tiny: Path) -> None:
    assert eutectic("verify", tiny, cwd=tmp_path).returncode == 0
    broken = Path(shutil.copytree(tiny, tmp_path / "broken"))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    refused(eutectic("verify", broken, cwd=tmp_path), "model.safetensors")
    refused(eutectic("verify", tmp_path / "nowhere", cwd=tmp_path), "no such folder")


def test_evaluate_scores_folders_on_files(tmp_path: Path, tiny: Path) -> None:
    items = [
        {"id": f"q{i}", "group": f"g{i}", "question": "What is nacre?", "options": ["a composite", "a fibre", "a leaf"], "answer": i % 3}
        for i in range(6)
    ]
    (tmp_path / "exam.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    done = eutectic("evaluate", tiny, "-b", "exam.jsonl", "--greedy", 2, "--out", "scores", "--json", "--threads", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)[str(tiny)]["cells"]
    assert {cell["form"]: cell["n"] for cell in cells} == {"cloze": 6, "letter": 6, "greedy": 2}
    assert all(cell["low"] <= cell["accuracy"] <= cell["high"] for cell in cells)
    assert len((tmp_path / "scores" / tiny.name / "items.jsonl").read_text().splitlines()) == 14


def test_evaluate_takes_every_kind_of_item_under_named_prompts(tmp_path: Path, tiny: Path) -> None:
    items = [
        {"id": "c", "question": "What is nacre?", "options": ["a composite", "a fibre"], "answer": 0},
        {"id": "t", "kind": "true_false", "question": "Nacre is a metal.", "answer": False},
        {"id": "n", "kind": "numeric", "question": "How stiff is nacre?", "value": 70, "unit": "GPa"},
        {"id": "s", "kind": "short", "question": "What is nacre's mineral?", "answers": ["aragonite"]},
    ]
    (tmp_path / "exam.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "prompts.yaml").write_text("expert: {system: You know shells.}\nbare: {chat: false, instruction: In one word.}\n")
    told = eutectic("evaluate", tiny, "-b", "exam.jsonl", "--prompt", "prompts.yaml", "--threads", 1, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    for prompt in ("expert", "bare"):
        assert re.search(rf"exam test: \S+ \[.*\] of 2 items by letter, prompt {prompt}", told.stdout), told.stdout
        assert re.search(rf"exam test: \S+ \[.*\] of 4 items in words, prompt {prompt}, .* not in the form asked for", told.stdout)
    refused(eutectic("evaluate", tiny, "-b", "exam.jsonl", "--form", "essay", cwd=tmp_path), "no form 'essay'", "constrained")
    (tmp_path / "prompts.yaml").write_text("expert:\n  sistem: You know shells.\n")
    refused(eutectic("evaluate", tiny, "-b", "exam.jsonl", "--prompt", "prompts.yaml", cwd=tmp_path), "prompts.yaml, line 2", "sistem")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"answer": 7}, "answer"),
        ({"options": ["one", "one", "two"]}, "option"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_benchmark_line_is_named(tmp_path: Path, tiny: Path, change: dict, says: str) -> None:
    item = {"id": "q", "group": "g", "question": "What is nacre?", "options": ["a", "b", "c"], "answer": 1}
    (tmp_path / "exam.jsonl").write_text(json.dumps({**item, "id": "first"}) + "\n" + json.dumps({**item, **change}) + "\n")
    refused(eutectic("evaluate", tiny, "-b", "exam.jsonl", cwd=tmp_path), "exam.jsonl, line 2", says)


def test_a_model_without_tokenizer_cannot_be_evaluated(tmp_path: Path, tiny: Path) -> None:
    bare = Path(shutil.copytree(tiny, tmp_path / "bare"))
    (bare / "tokenizer.json").unlink()
    (tmp_path / "exam.jsonl").write_text(json.dumps({"id": "q", "group": "g", "question": "?", "options": ["a", "b"], "answer": 0}) + "\n")
    refused(eutectic("evaluate", bare, "-b", "exam.jsonl", cwd=tmp_path), "tokenizer")


def test_chat_answers_and_keeps_the_history(tmp_path: Path, tiny: Path) -> None:
    command = [sys.executable, "-m", "eutectic", "chat", str(tiny), "--max-new-tokens", "4", "--threads", "1"]
    done = subprocess.run(command, input="What is silk?\nAnd nacre?\n/new\nAnd bone?\n/quit\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= 3
