from pathlib import Path

import pytest

from eutectic.data.benchmark_file import locate
from eutectic.errors import InputError
from eutectic.study.study import Study


def change(folder: Path, old: str, new: str) -> Path:
    file = folder / "study.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return folder


def test_a_shared_prefix_is_one_step(small: Path) -> None:
    graph = Study.load(small).graph
    trained = [step.address for step in graph.steps if step.kind == "train"]
    assert trained == ["instruct/cpt", "instruct/cpt-sft", "instruct/cpt-sft-dpo", "instruct/cpt-sft-orpo"]


def test_every_step_comes_after_its_parents(small: Path) -> None:
    seen = set()
    for step in Study.load(small).graph.steps:
        assert all(parent.key in seen for parent in step.needs())
        seen.add(step.key)


def test_merges_equal_in_formula_are_one(small: Path) -> None:
    graph = Study.load(small).graph
    assert graph.aliases["paper:instruct/cpt-sft-dpo+linear"] == "grid:instruct/cpt-sft-dpo,t=0.5" or (
        graph.aliases["grid:instruct/cpt-sft-dpo,t=0.5"] == "paper:instruct/cpt-sft-dpo+linear"
    )
    scored = [step.address for step in graph.steps if step.kind == "rescore"]
    assert len(scored) == len({graph.models[address].key for address in scored})


def test_a_benchmark_may_be_a_packaged_one_by_name(small: Path) -> None:
    change(small, "{file: exam.jsonl, dev: 0.2}", "{file: biomaterials_extraction, dev: 0.2}")
    (exam,) = (step for step in Study.load(small).graph.steps if step.kind == "benchmark")
    (file,) = exam.parents["file"]
    assert file.path == locate("biomaterials_extraction")


def test_every_merge_is_compared_with_its_parents_and_controls(small: Path) -> None:
    graph = Study.load(small).graph
    synergy = {step.address: step for step in graph.steps if step.kind == "synergy"}
    paper = synergy["paper:instruct/cpt-sft-dpo"]
    assert [node.address for node in paper.parents["parents"]] == ["instruct/cpt-sft-dpo", "instruct"]
    assert len(paper.parents["controls"]) == 2
    assert set(synergy) >= {"paper:instruct/cpt-sft-orpo", "blend", "grid:instruct/cpt-sft-dpo,t=1.25"}


def test_one_t_between_base_and_model_weighs_the_parents(small: Path) -> None:
    graph = Study.load(change(small, "t: [0.5, 1.25]", "t: [0.25, 0.5, 1.25]")).graph
    weights = {step.address: step.spec.weights for step in graph.steps if step.kind == "synergy" and step.spec.weights}
    assert weights == {"grid:instruct/cpt-sft-dpo,t=0.25": (0.25, 0.75)}  # model, base; equal at 1/2, beyond the line at 1.25


def test_a_merge_of_several_chains_is_paired_by_training_seed(small: Path) -> None:
    change(small, "cpt-sft-orpo]}", "cpt-sft-orpo], seeds: [1, 2, 3]}")
    change(small, "[instruct/cpt-sft]", '["instruct/cpt-sft#1"]')
    change(small, "[instruct, instruct/cpt-sft]", "[instruct]")
    change(small, "each: [instruct/cpt-sft-dpo]", 'each: ["instruct/cpt-sft-dpo#*"]')
    graph = Study.load(small).graph
    blends = {
        step.address: step for step in graph.steps if step.kind == "merge" and step.address.startswith("blend") and "+" not in step.address
    }
    assert list(blends) == ["blend#1", "blend#2", "blend#3"]
    for seed in "123":
        parents = [node.address for node in blends[f"blend#{seed}"].parents["models"]]
        assert parents == [f"instruct/cpt-sft-dpo#{seed}", f"instruct/cpt-sft-orpo#{seed}"]
    assert {"blend#1", "paper:instruct/cpt-sft-dpo#2", "grid:instruct/cpt-sft-dpo#3,t=0.5"} <= {
        step.address for step in graph.steps if step.kind == "synergy"
    }
    change(small, "models: [instruct/cpt-sft-dpo, instruct", "models: [instruct/cpt-sft-dpo, nowhere, instruct")
    with pytest.raises(InputError, match="no model named 'nowhere'"):
        _ = Study.load(small).graph


def test_keys_follow_content_and_not_names(small: Path, tmp_path: Path) -> None:
    import shutil

    first = {step.address: step.key for step in Study.load(small).graph.steps if step.kind == "train"}
    moved = tmp_path / "elsewhere" / "study"
    shutil.copytree(small, moved)
    change(moved, "study: small", "study: other")
    (moved / "chat.jsonl").rename(moved / "dialogue.jsonl")
    change(moved, "chat.jsonl", "dialogue.jsonl")
    assert {step.address: step.key for step in Study.load(moved).graph.steps if step.kind == "train"} == first
    (moved / "dialogue.jsonl").write_text((moved / "dialogue.jsonl").read_text().replace("protein", "PROTEIN"))
    changed = {step.address: step.key for step in Study.load(moved).graph.steps if step.kind == "train"}
    assert changed["instruct/cpt"] == first["instruct/cpt"]
    assert changed["instruct/cpt-sft"] != first["instruct/cpt-sft"]
    assert changed["instruct/cpt-sft-dpo"] != first["instruct/cpt-sft-dpo"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{path: model}", "{path: modle}", "no folder 'modle'"),
        ("papers/*.txt", "papers/*.pdf", "matches no file"),
        ("corpus: papers}", "corpus: paper}", "no corpus named 'paper'. Did you mean 'papers'?"),
        ("dataset: chat,", "dataset: chats,", "no dataset named 'chats'"),
        ("[cpt, cpt-sft,", "[cpt, cpt-stf,", "no stage named 'stf'"),
        ("objective: dpo", "objective: ppo", "ppo"),
        ("objective: dpo, dataset: pairs", "objective: dpo, dataset: chat", "reads a dataset of kind preference, not instruction"),
        ("beta: 0.1}\n  orpo", "betta: 0.1}\n  orpo", "betta"),
        ("{models: [instruct], stages", "{models: [base*], stages", "'base*' matches no model"),
        ('each: ["*/cpt-sft-*"]', 'each: ["*/dpo*"]', "'*/dpo*' matches no model"),
        ("method: ties", "method: tiez", "tiez"),
        ("base: instruct\n", "base: instrct\n", "no model named 'instrct'"),
        ("models: [instruct/cpt-sft-dpo, instruct", "models: [blend, instruct", "circle: blend -> blend"),
        ("benchmarks: [exam]", "benchmarks: [exams]", "no benchmark named 'exams'"),
        ('models: ["**"]', 'models: ["paper2:*"]', "'paper2:*' matches no model"),
        ("script: talk.yaml", "script: tolk", "tolk"),
        ("file: exam.jsonl", "file: none.jsonl", "matches no file"),
    ],
)
def test_each_bad_reference_is_named_with_its_line(small: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        _ = Study.load(change(small, old, new)).graph
    assert says in str(caught.value)
    assert caught.value.line
    assert (
        new.split("\n", maxsplit=1)[0][:12] in (small / "study.yaml").read_text().splitlines()[caught.value.line - 1]
        or caught.value.line > 20
    )


def test_circular_merges_of_two_are_refused(small: Path) -> None:
    change(small, "  blend: {", "  ring: {method: linear, models: [blend, instruct]}\n  blend: {")
    change(small, "models: [instruct/cpt-sft-dpo, instruct", "models: [ring, instruct")
    with pytest.raises(InputError, match="circle: ring -> blend -> ring"):
        _ = Study.load(small).graph


def test_a_model_folder_without_tokenizer_or_weights(small: Path) -> None:
    (small / "model" / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="no tokenizer"):
        _ = Study.load(small).graph
    (small / "model" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no safetensors"):
        _ = Study.load(small).graph


def test_a_large_graph_plans_quickly(small: Path) -> None:
    import time

    values = ", ".join(f"{n / 1000}" for n in range(1, 400))
    change(small, "sweep: {t: [0.5, 1.25]}", f"sweep: {{t: [{values}]}}")
    begun = time.monotonic()
    plan = Study.load(small).plan()
    assert len(plan) > 1500
    assert time.monotonic() - begun < 60  # a guard against quadratic work, not a measurement
