import shutil
from pathlib import Path

import example_items
import pytest

from eutectic.artifacts import ITEMS, SUMMARY, Artifact, read_json, read_rows, write_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.evaluate import score
from eutectic.specs.rows import Item, ItemScore
from eutectic.specs.steps import EvaluateStep


def parents_of(model: Path, benchmark: Artifact):
    return {"model": (Artifact("checkpoint", "instruct", "k", model),), "benchmarks": (benchmark,)}


@pytest.fixture
def benchmark_artifact(tmp_path):
    return example_items.benchmark(tmp_path)


@pytest.fixture
def built(tmp_path, tiny, benchmark_artifact):
    out = tmp_path / "out"
    out.mkdir()
    ledger = score.build(EvaluateStep(greedy=5), parents_of(tiny, benchmark_artifact), out, Context())
    return ledger, read_rows(out / ITEMS, ItemScore), read_json(out / SUMMARY)


def test_every_choice_item_is_weighed_and_a_subset_asked(built):
    ledger, rows, _ = built
    weighed = [row for row in rows if row.form == "cloze"]
    asked = [row for row in rows if row.form == "greedy"]
    assert [row.id for row in weighed] == [f"c{n}" for n in range(24)]
    assert all(len(row.log_likelihoods) == len(row.tokens) == 4 and row.margin >= 0 for row in weighed)
    assert all(row.score == (row.choice == row.answer) for row in weighed)
    assert len([row for row in asked if row.id.startswith("c")]) == 5
    assert len([row for row in asked if row.id.startswith("n")]) == 4
    assert all(row.split == "test" for row in asked)
    assert (ledger["items"], ledger["greedy_items"]) == (24, 9)


def test_the_summary_counts_the_rows(built):
    _, rows, summary = built
    for cell in summary["cells"]:
        name = tuple(cell[k] for k in ("benchmark", "role", "split", "form"))
        members = [row for row in rows if (row.benchmark, row.role, row.split, row.form) == name]
        assert cell["n"] == len(members)
        assert cell["accuracy"] == pytest.approx(sum(row.score for row in members) / len(members))
        if cell["form"] == "greedy":
            assert cell["format_failure_rate"] == pytest.approx(sum(row.format_failure for row in members) / len(members))
    assert [b["split"] for b in summary["baselines"]] == ["dev", "test"]
    assert all(0 <= b["shortest"] <= 1 and b["chance"] == 0.25 for b in summary["baselines"])
    assert any("facts acquired test" in line and "by likelihood" in line for line in score.lines(summary))


def test_every_model_is_asked_the_same_items(tmp_path, built, tiny_other, benchmark_artifact):
    out = tmp_path / "other"
    out.mkdir()
    score.build(EvaluateStep(greedy=5), parents_of(tiny_other, benchmark_artifact), out, Context())
    others = read_rows(out / ITEMS, ItemScore)
    assert [(r.id, r.form) for r in others] == [(r.id, r.form) for r in built[1]]


def test_without_greedy_numeric_items_are_still_asked(tmp_path, tiny, benchmark_artifact):
    out = tmp_path / "plain"
    out.mkdir()
    assert score.build(EvaluateStep(), parents_of(tiny, benchmark_artifact), out, Context())["greedy_items"] == 4


def test_a_model_without_chat_template_cannot_be_asked(tmp_path, tiny, benchmark_artifact):
    folder = shutil.copytree(tiny, tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=r"no chat template.*greedy: 0"):
        score.check(EvaluateStep(greedy=5), parents_of(folder, benchmark_artifact))
    with pytest.raises(InputError, match="instruct: the model has no chat template"):
        score.build(EvaluateStep(greedy=5), parents_of(folder, benchmark_artifact), tmp_path, Context())


@pytest.mark.parametrize(
    ("item", "found"),
    [(Item(id="x", group="g", question="q", options=("a", "b"), answer=2), "has no answer among its options"), (Item(id="x", group="g", question="q", kind="numeric"), "has no value")],
)  # fmt: skip
def test_an_item_without_a_usable_answer_is_refused(tmp_path, item, found):
    write_rows(tmp_path / ITEMS, [item])
    with pytest.raises(InputError, match=found):
        score.read_items(Artifact("benchmark", "b", "k", tmp_path))


def test_an_empty_benchmark_is_refused(tmp_path):
    write_rows(tmp_path / ITEMS, [])
    with pytest.raises(InputError, match="holds no items"):
        score.read_items(Artifact("benchmark", "b", "k", tmp_path))
