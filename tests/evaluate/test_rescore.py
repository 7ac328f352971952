import example_items
import pytest

from eutectic.artifacts import ITEMS, SUMMARY, Artifact, read_json, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.evaluate import rescore, score
from eutectic.specs.rows import ItemScore
from eutectic.specs.steps import EvaluateStep, PromptStep, RescoreStep

CLOZE = (PromptStep(forms=("cloze",)),)


def evaluation(folder, name, model, benchmark):
    out = folder / name
    out.mkdir()
    score.build(EvaluateStep(prompts=CLOZE), {"model": (model,), "benchmarks": (benchmark,)}, out, Context())
    return Artifact("evaluation", name, "k", out)


@pytest.fixture
def benchmark_artifact(tmp_path):
    return example_items.benchmark(tmp_path)


@pytest.fixture
def compared(tmp_path, tiny, tiny_other, benchmark_artifact):
    """Two models' evaluations; margins are then set by hand: c1 is close in the own, c2 in the other, c4 (dev) in both."""
    own_model = Artifact("checkpoint", "one", "k", tiny)
    own = evaluation(tmp_path, "one", own_model, benchmark_artifact)
    other = evaluation(tmp_path, "two", Artifact("checkpoint", "two", "k", tiny_other), benchmark_artifact)
    for artifact, near in ((own, {"c1", "c4"}), (other, {"c2", "c4"})):
        rows = read_rows(artifact.path / ITEMS, ItemScore)
        changed = [r.model_copy(update={"margin": 0.1 if r.id in near else 9.0}) if r.form == "cloze" else r for r in rows]
        write_rows(artifact.path / ITEMS, changed)
    return {"model": (own_model,), "benchmarks": (benchmark_artifact,), "own": (own,), "others": (other,)}


def test_items_close_in_any_model_are_scored_in_float32(tmp_path, compared):
    ledger = rescore.build(RescoreStep(prompts=CLOZE), compared, tmp_path, Context())
    rows = read_rows(tmp_path / ITEMS, ItemScore)
    before = read_rows(compared["own"][0].path / ITEMS, ItemScore)
    assert {row.id for row in rows if row.precision == "float32"} == {"c1", "c2"}
    assert [(r.id, r.form) for r in rows] == [(r.id, r.form) for r in before]
    for new, old in zip(rows, before, strict=True):
        if new.precision == "float32":
            assert new.log_likelihoods == pytest.approx(old.log_likelihoods, abs=0.5)
            assert new.log_likelihoods != old.log_likelihoods
        else:
            assert new == old
    assert ledger["rescored"] == 2
    summary = read_json(tmp_path / SUMMARY)
    assert summary["rescored"] == 2
    assert summary["precision"]["float32"] == 2


def test_nothing_close_loads_nothing(tmp_path, compared):
    def load():
        raise AssertionError("loaded")

    ledger = rescore.rescore(load, None, RescoreStep(margin=0.0), compared, tmp_path, Context())
    assert ledger["rescored"] == 0


def test_rows_of_an_equal_model_are_passed_on(tmp_path, compared):
    own = compared["own"][0].path
    write_json(own / SUMMARY, {**read_json(own / SUMMARY), "equal_to": "slerp:x"})
    rescore.build(RescoreStep(prompts=CLOZE), compared, tmp_path, Context())
    assert read_json(tmp_path / SUMMARY)["equal_to"] == "slerp:x"
    assert read_rows(tmp_path / ITEMS, ItemScore) == read_rows(own / ITEMS, ItemScore)


def test_a_negative_margin_is_refused(compared):
    with pytest.raises(InputError, match="margin"):
        rescore.check(RescoreStep(margin=-1.0), compared)


def test_letters_are_scored_again_in_their_own_form(tmp_path, tiny, benchmark_artifact):
    prompt = PromptStep.model_validate({"name": "p", "forms": ("letter",)})
    model, out = Artifact("checkpoint", "one", "k", tiny), tmp_path / "one"
    out.mkdir()
    score.build(EvaluateStep(prompts=(prompt,)), {"model": (model,), "benchmarks": (benchmark_artifact,)}, out, Context())
    own = Artifact("evaluation", "one", "k", out)
    rows = read_rows(out / ITEMS, ItemScore)
    middle = sorted(row.margin for row in rows if row.split == "test")[9]
    close = {row.id for row in rows if row.split == "test" and row.margin < middle}
    assert 0 < len(close) < 10
    parents = {"model": (model,), "benchmarks": (benchmark_artifact,), "own": (own,), "others": ()}
    ledger = rescore.build(RescoreStep(margin=middle, prompts=(prompt,)), parents, tmp_path, Context())
    again = read_rows(tmp_path / ITEMS, ItemScore)
    assert {row.id for row in again if row.precision == "float32"} == close
    assert all(row.label == "letter:p" for row in again)
    assert ledger["rescored"] == len(close)
