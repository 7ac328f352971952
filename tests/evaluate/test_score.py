import shutil
from pathlib import Path

import example_items
import pytest

from eutectic.artifacts import ITEMS, SUMMARY, Artifact, read_json, read_rows, write_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.evaluate import score
from eutectic.specs.rows import Item, ItemScore
from eutectic.specs.steps import EvaluateStep, PromptStep


def parents_of(model: Path, benchmark: Artifact):
    return {"model": (Artifact("checkpoint", "instruct", "k", model),), "benchmarks": (benchmark,)}


@pytest.fixture
def benchmark_artifact(tmp_path):
    return example_items.benchmark(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory, tiny):
    out = tmp_path_factory.mktemp("built")
    ledger = score.build(EvaluateStep(greedy=5), parents_of(tiny, example_items.benchmark(out)), out, Context())
    return ledger, read_rows(out / ITEMS, ItemScore), read_json(out / SUMMARY)


def test_every_choice_item_is_weighed_and_a_subset_asked(built):
    ledger, rows, _ = built
    weighed = [row for row in rows if row.form == "cloze"]
    asked = [row for row in rows if row.form == "greedy"]
    assert [row.id for row in weighed] == [f"c{n}" for n in range(24)]
    assert all(len(row.log_likelihoods) == len(row.tokens) == 4 and row.margin >= 0 for row in weighed)
    assert all(row.score == (row.choice == row.answer) for row in weighed)
    assert [row.id for row in rows if row.form == "letter"] == [row.id for row in weighed]
    assert len(asked) == 5
    assert all(row.split == "test" for row in asked)
    assert (ledger["cloze_items"], ledger["letter_items"], ledger["greedy_items"]) == (24, 24, 5)


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


def test_without_a_bound_every_test_item_is_answered_in_words(tmp_path, tiny, benchmark_artifact):
    out = tmp_path / "plain"
    out.mkdir()
    assert score.build(EvaluateStep(), parents_of(tiny, benchmark_artifact), out, Context())["greedy_items"] == 18 + 4


def test_a_model_without_chat_template_cannot_be_asked(tmp_path, tiny, benchmark_artifact):
    folder = shutil.copytree(tiny, tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=r"no chat template and prompt 'plain' asks in one \(letter form\).*chat: false"):
        score.check(EvaluateStep(greedy=5), parents_of(folder, benchmark_artifact))
    trained = Artifact("checkpoint", "instruct/cpt", "k", None, None, {"model": (Artifact("checkpoint", "instruct", "k", folder),)})
    with pytest.raises(InputError, match="no chat template"):  # it will have none either
        score.check(EvaluateStep(), {**parents_of(folder, benchmark_artifact), "model": (trained,)})
    score.check(EvaluateStep(prompts=(prompted(chat=False),)), parents_of(folder, benchmark_artifact))
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


def prompted(**keys):
    return PromptStep.model_validate({"name": "p", **keys})


def test_every_item_is_asked_in_every_rotation(tmp_path, tiny, benchmark_artifact):
    score.build(EvaluateStep(prompts=(prompted(forms=("letter",)),)), parents_of(tiny, benchmark_artifact), tmp_path, Context())
    rows = read_rows(tmp_path / ITEMS, ItemScore)
    assert len(rows) == 24
    for row in rows:
        assert len(row.rotated) == 4
        right = [max(range(4), key=lambda i, values=values: values[i]) == row.answer for values in row.rotated]
        assert row.score == pytest.approx(sum(right) / 4)
        assert row.log_likelihoods == pytest.approx([sum(column) / 4 for column in zip(*row.rotated, strict=True)], abs=1e-4)
    (cell, *_) = read_json(tmp_path / SUMMARY)["cells"]
    assert sum(cell["letters"].values()) == pytest.approx(1)
    assert 0 <= cell["unbiased"] <= 1


def test_rotations_take_away_a_love_of_letters(tmp_path, tiny, benchmark_artifact):
    """A model made to write A whatever is asked: by letter it scores chance, exactly, and its choice is that of its other weights."""
    import torch

    from eutectic.evaluate import contexts, letter
    from eutectic.models import loading

    model, tokenizer = loading.load(tiny, torch.float32, torch.device("cpu")), loading.tokenizer(tiny)
    asked = contexts.task(prompted(), "letter", "b", score.read_items(benchmark_artifact)[:8], ())
    before = letter.scores(model, tokenizer, asked, Context())
    token = tokenizer("A", add_special_tokens=False)["input_ids"][0]
    head = model.get_output_embeddings()
    bias = torch.zeros(head.weight.shape[0])
    bias[token] = 30.0
    head.bias = torch.nn.Parameter(bias)
    after = letter.scores(model, tokenizer, asked, Context())
    assert [row.score for row in after] == [0.25] * 8
    assert sum(new.choice == old.choice for new, old in zip(after, before, strict=True)) >= 7


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("form", ["cloze", "letter", "greedy", "constrained"])
def test_every_form_works_in_chat_and_in_plain_text_with_examples(tmp_path, tiny, benchmark_artifact, chat, form):
    spec = EvaluateStep(
        prompts=(prompted(forms=(form,), chat=chat, shots=1, system="You know materials." if chat else "", prior=form == "cloze"),)
    )
    items = [item for item in score.read_items(benchmark_artifact) if item.kind == "choice"]
    write_rows(benchmark_artifact.path / ITEMS, items)
    score.build(spec, parents_of(tiny, benchmark_artifact), tmp_path, Context())
    rows = read_rows(tmp_path / ITEMS, ItemScore)
    assert {row.label for row in rows} == {f"{form}:p"}
    assert len(rows) == (24 if form in ("cloze", "letter") else 18)
    if form == "cloze":
        assert all(len(row.priors) == 4 for row in rows)


def test_forms_no_item_allows_are_an_error(tmp_path, tiny, benchmark_artifact):
    items = [item for item in score.read_items(benchmark_artifact) if item.kind == "numeric"]
    write_rows(benchmark_artifact.path / ITEMS, items)
    with pytest.raises(InputError, match="no item can be scored"):
        score.build(EvaluateStep(prompts=(prompted(forms=("letter",)),)), parents_of(tiny, benchmark_artifact), tmp_path, Context())


def test_too_few_examples_are_told_before_anything_is_scored(tmp_path, tiny, benchmark_artifact):
    spec = EvaluateStep(prompts=(prompted(forms=("cloze",)), prompted(shots=9)))
    with pytest.raises(InputError, match="shows 9 solved items and facts has only 5 dev items of kind choice"):
        score.score(None, None, spec, [benchmark_artifact], tmp_path, Context(), "instruct")  # no model is touched
