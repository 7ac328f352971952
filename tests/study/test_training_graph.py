"""Base starts, references, kept epochs and token-matched arms as nodes of the graph."""

import json
import shutil
from pathlib import Path

import pytest

from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.study.nodes import Kept
from eutectic.study.study import Study

STUDY = """\
study: arms
seed: 17
models:
  instruct: {path: model}
  base: {path: base, chat_template: instruct}
corpora:
  papers: {files: "papers/*.txt"}
datasets:
  text: {kind: text, corpus: papers}
  chat: {kind: instruction, files: chat.jsonl}
  pairs: {kind: preference, files: pairs.jsonl}
stages:
  cpt: {objective: cpt, dataset: text, learning_rate: 1e-3, epochs: 3, batch: 4, sequence: 64, keep: epochs}
  sft: {objective: sft, dataset: chat, learning_rate: 5e-4, batch: 2, sequence: 128}
  dpo: {objective: dpo, dataset: pairs, learning_rate: 1e-4, batch: 4, sequence: 128, beta: 0.1}
  soft: {objective: dpo, dataset: pairs, learning_rate: 2e-4, batch: 4, sequence: 128, beta: 0.05}
chains:
  - {models: [base], stages: [cpt-sft-dpo, cpt-sft-soft], token_matched: true}
merges:
  average: {method: linear, models: ["base/cpt@*"]}
  named: {method: linear, models: ["base/cpt@1", "base/cpt@2", "base/cpt@3"]}
  slerp: {method: slerp, base: instruct, each: ["base/cpt@*"], parameters: {t: 0.5}}
benchmarks:
  exam: {file: exam.jsonl, dev: 0.2}
evaluations:
  - {models: ["base/cpt@*", "slerp:base/cpt@*", average], benchmarks: [exam]}
  - {models: [base/cpt-sft], benchmarks: [exam], greedy: 1}
conversations:
  talk: {models: ["base/cpt@2"], script: talk.yaml}
"""


@pytest.fixture
def arms(small: Path) -> Path:
    """The files of the small study under a study of arms; its base has the model's weights and no template."""
    shutil.copytree(small / "model", small / "base")
    (small / "base" / "chat_template.jinja").unlink()
    (small / "study.yaml").write_text(STUDY)
    return small


def change(folder: Path, old: str, new: str) -> Path:
    file = folder / "study.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return folder


def steps(folder: Path, kind: str) -> list:
    return [step for step in Study.load(folder).graph.steps if step.kind == kind]


def test_a_base_start_is_a_step_at_its_own_address(arms: Path) -> None:
    graph = Study.load(arms).graph
    base = graph.models["base"]
    assert (base.kind, base.address) == ("adopt", "base")
    assert [node.path for node in base.all_parents()] == [arms / "base", arms / "model"]
    assert graph.models["base/cpt"].parents["model"] == (base,)


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("chat_template: instruct}", "chat_template: instrukt}", "  base:", "no model named 'instrukt'. Did you mean 'instruct'?"),
        ("instruct: {path: model}", "instruct: {path: model, chat_template: base}", "  instruct:", "circle: instruct -> base -> instruct"),
        ("chat_template: instruct}", "chat_template: base}", "  base:", "circle: base -> base"),
        ("instruct: {path: model}", "instruct: {path: base}", "  base:", "instruct has no chat template to take"),
        ("{path: base, chat_template: instruct}", "{path: base}", "  sft:", "base has no chat template, and the objective sft reads"),
        ("instruct: {path: model}", "instruct: {endpoint: 'http://x', model: m}", "  base:", "instruct is behind an endpoint"),
        ("epochs: 3, batch: 4", "tokens: 3000, batch: 4", "  cpt:", "is not known yet"),
        (
            'models: ["base/cpt@2"]',
            'models: ["base/cpt@9"]',
            "  talk:",
            "'base/cpt@9' matches no model: base/cpt trains for 3 epochs. There are",
        ),
        ('"base/cpt@3"]', '"base/cpt@4"]', "  named:", "no model named 'base/cpt@4': base/cpt trains for 3 epochs"),
        ('models: ["base/cpt@2"]', 'models: ["base/cpt-sft@1"]', "  talk:", "base/cpt-sft keeps no epochs"),
        ('method: linear, models: ["base/cpt@*"]', 'method: linear, models: ["base/sft@*"]', "  average:", "'base/sft@*' matches no model"),
    ],
)
def test_each_mistake_is_named_with_its_line(arms: Path, old: str, new: str, where: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        _ = Study.load(change(arms, old, new)).graph
    assert says in str(caught.value)
    assert (arms / "study.yaml").read_text().splitlines()[caught.value.line - 1].startswith(where)


def test_a_reference_is_shared_by_stages_that_differ_in_their_numbers_only(arms: Path) -> None:
    (reference,) = steps(arms, "reference")
    assert reference.address == "pairs@base/cpt-sft"
    users = [step for step in steps(arms, "train") if step.parents.get("reference")]
    assert {step.address for step in users} == {"base/cpt-sft-dpo", "base/cpt-sft-soft"}
    assert {step.parents["reference"][0].key for step in users} == {reference.key}


@pytest.mark.parametrize(
    ("new", "count"),
    [
        ("batch: 2", 2),
        ("sequence: 100", 2),
        ("epochs: 2", 2),
        ("precision: float32", 2),
        ("precision: bf16-stochastic", 1),
        ("warmup: 0", 1),
    ],
)
def test_what_changes_the_plan_or_the_scores_makes_another_reference(arms: Path, new: str, count: int) -> None:
    old = {"batch": "batch: 4", "sequence": "sequence: 128"}.get(new.partition(":")[0])
    line = "learning_rate: 2e-4, batch: 4, sequence: 128, beta: 0.05"
    change(arms, line, line.replace(old, new) if old else f"{line}, {new}")
    assert len(steps(arms, "reference")) == count


def test_kept_epochs_are_views_and_the_last_is_the_stage_itself(arms: Path) -> None:
    graph = Study.load(arms).graph
    first, second, last = (graph.models[f"base/cpt@{epoch}"] for epoch in (1, 2, 3))
    assert isinstance(first, Kept)
    assert last is graph.models["base/cpt"]
    assert len({first.key, second.key, last.key}) == 3
    assert graph.aliases["base/cpt@3"] == "base/cpt"
    average, named = graph.models["average"], graph.models["named"]
    assert average.key == named.key
    assert average.parents["models"] == (first, second, last)
    assert [step.address for step in average.needs()] == ["base/cpt"] * 3
    assert [step.address for step in graph.steps if step.kind == "merge"][1:4] == [f"slerp:base/cpt@{epoch}" for epoch in (1, 2, 3)]


def test_kept_epochs_of_several_seeds(arms: Path) -> None:
    change(arms, "token_matched: true", "token_matched: true, seeds: [17, 3]")
    change(arms, 'talk: {models: ["base/cpt@2"]', 'talk: {models: ["base/cpt@2#17"]')
    change(arms, '["base/cpt@1", "base/cpt@2", "base/cpt@3"]', '["base/cpt@1#3", "base/cpt@2#3", "base/cpt@3#3"]')
    change(arms, "models: [base/cpt-sft]", 'models: ["base/cpt-sft#3"]')
    graph = Study.load(arms).graph
    assert [address for address in graph.models if "@2" in address and ":" not in address] == ["base/cpt@2#17", "base/cpt@2#3"]
    assert graph.matched["base/cpt-sft#3"] == "base/cpt-sft#3+tokens"
    change(arms, '"base/cpt@3#3"', '"base/cpt@4#3"')
    with pytest.raises(InputError, match="base/cpt#3 trains for 3 epochs"):
        _ = Study.load(arms).graph


def test_two_chains_that_give_an_address_two_seeds_are_refused(arms: Path) -> None:
    change(arms, "token_matched: true}", "token_matched: true}\n  - {models: [base], stages: [cpt], seeds: [3]}")
    with pytest.raises(InputError, match="two chains give base/cpt different seeds") as caught:
        _ = Study.load(arms).graph
    assert "seeds: [3]" in (arms / "study.yaml").read_text().splitlines()[caught.value.line - 1]


def test_a_control_arm_reads_as_much_of_the_stage_before(arms: Path) -> None:
    graph = Study.load(arms).graph
    assert graph.matched == {f"base/cpt-sft{more}": f"base/cpt-sft{more}+tokens" for more in ("", "-dpo", "-soft")}
    control, stage = graph.models["base/cpt-sft+tokens"], graph.models["base/cpt-sft"]
    assert control.parents["model"] == stage.parents["model"] == (graph.models["base/cpt"],)
    assert control.parents["matched"] == (stage,)
    assert control.parents["dataset"] == graph.models["base/cpt"].parents["dataset"]
    spec = control.spec
    assert (spec.objective, spec.learning_rate, spec.batch, spec.sequence) == ("cpt", 5e-4, 2, 128)
    assert (spec.epochs, spec.tokens, spec.updates, spec.keep) == (None, None, None, "last")
    later = graph.models["base/cpt-sft-dpo+tokens"]
    assert later.spec.objective == "sft"
    assert later.spec.parameters == {}
    assert "reference" not in later.parents


def test_a_control_arm_that_prefers_has_a_reference_for_its_own_budget(arms: Path) -> None:
    change(arms, "cpt-sft-soft]", "cpt-dpo-sft]")
    graph = Study.load(arms).graph
    control = graph.models["base/cpt-dpo-sft+tokens"]
    assert control.spec.parameters == {"beta": 0.1}
    (reference,) = control.parents["reference"]
    assert reference.parents["matched"] == (graph.models["base/cpt-dpo-sft"],)
    assert reference.parents["model"] == (graph.models["base/cpt-dpo"],)


def test_a_control_arm_is_measured_where_its_stage_is_and_matches_no_pattern(arms: Path) -> None:
    scored = {step.address: step for step in steps(arms, "rescore")}
    assert {"base/cpt-sft", "base/cpt-sft+tokens"} <= set(scored)
    assert "base/cpt-sft-dpo+tokens" not in scored
    assert "base/cpt-sft+tokens" in [step.address for step in scored["base/cpt-sft"].parents["others"]]
    change(arms, "models: [base/cpt-sft]", 'models: ["base/*"]')
    assert [s.address for s in steps(arms, "train")].count("base/cpt-sft+tokens") == 1
    change(arms, 'models: ["base/cpt@2"]', 'models: ["base/*"]')
    assert {s.address for s in steps(arms, "converse")} == {f"talk@base/cpt{more}" for more in ("", "-sft", "-sft-dpo", "-sft-soft")}


def test_the_papers_analysis_runs_as_ordinary_lines(arms: Path) -> None:
    """Scores against CPT epochs with and without a SLERP, an average of a run's own checkpoints, and the token-matched arm."""
    study = Study.load(arms)
    study.run(Context(threads=1), only=["slerp:*", "average", "base/cpt@*", "base/cpt-sft", "base/cpt-sft+tokens"])
    done = {(s.step.kind, s.step.address): s for s in study.plan() if s.state == "done"}
    trained = done["train", "base/cpt"].folder
    assert sorted(path.name for path in (trained / "epochs").iterdir()) == ["1", "2"]
    assert study.model_folder("base/cpt@2") == trained / "epochs" / "2"
    assert study.model_folder("base/cpt@3") == trained
    scored = {address for kind, address in done if kind == "rescore"}
    assert scored >= {f"{start}base/cpt@{epoch}" for start in ("", "slerp:") for epoch in (1, 2)} | {"slerp:base/cpt@3", "average"}
    assert ("converse", "talk@base/cpt@2") in done
    tokens = [json.loads((done["train", a].folder / "ledger.json").read_text())["tokens"] for a in ("base/cpt-sft", "base/cpt-sft+tokens")]
    assert tokens[0] <= tokens[1] < tokens[0] + 128
    template = (arms / "model" / "chat_template.jinja").read_bytes()
    assert all((done[kind, a].folder / "chat_template.jinja").read_bytes() == template for kind, a in done if kind in ("adopt", "train"))
    assert study.status()["stale"] == 0
    (trained / "epochs" / "1" / "config.json").write_text("{}")
    stale = {(s.step.kind, s.step.address) for s in Study.load(arms).plan() if s.state == "stale"}
    assert {("train", "base/cpt"), ("evaluate", "base/cpt@1"), ("evaluate", "base/cpt@2")} <= stale
    assert ("adopt", "base") not in stale
