import json
import math

import pytest
from example_ontology import make_corpus, source

from eutectic.artifacts import DOCUMENTS, ITEMS, Artifact, read_rows
from eutectic.context import Context
from eutectic.data import benchmarks
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Item
from eutectic.specs.steps import BenchmarkStep


def build(folder, parents, **settings):
    folder.mkdir()
    spec = BenchmarkStep.model_validate(settings)
    benchmarks.check(spec, parents)
    summary = benchmarks.build(spec, parents, folder, Context())
    return read_rows(folder / ITEMS, Item), summary


def test_roles_ask_about_their_own_documents(tmp_path, materials):
    held = {d.id: d.held_out for d in read_rows(materials.path / DOCUMENTS, Document)}
    for role in ("acquired", "unseen"):
        items, _ = build(tmp_path / role, {"corpus": (materials,)}, role=role)
        assert items
        assert all(item.role == role for item in items)
        assert all(held[i] == (role == "unseen") for item in items for i in item.source_ids)


def test_the_wanted_number_is_met_exactly_and_groups_do_not_straddle(tmp_path, materials):
    items, summary = build(tmp_path / "b", {"corpus": (materials,)}, role="acquired", items=40, dev=0.3)
    assert sum(item.split == "test" for item in items) == 40
    assert summary["test"]["items"] == 40
    by_split = [{item.group for item in items if item.split == split} for split in ("dev", "test")]
    assert not by_split[0] & by_split[1]


def test_an_acquired_benchmark_leaves_groups_for_training(tmp_path, materials):
    items, _ = build(tmp_path / "b", {"corpus": (materials,)}, role="acquired")
    free = {d.group for d in read_rows(materials.path / DOCUMENTS, Document) if not d.held_out} - {item.group for item in items}
    assert free


def test_too_many_wanted_items_are_an_error(tmp_path, materials):
    with pytest.raises(InputError, match="9000 test items are wanted, but only"):
        build(tmp_path / "b", {"corpus": (materials,)}, role="unseen", items=9000)


def test_unseen_needs_held_out_documents(tmp_path, ontology_file):
    whole = make_corpus(tmp_path / "whole", ontology_file)
    with pytest.raises(InputError, match="needs held-out documents"):
        benchmarks.check(BenchmarkStep(role="unseen"), {"corpus": (whole,)})


def test_numeric_items_carry_value_unit_and_tolerance(tmp_path):
    file = tmp_path / "e.jsonl"
    file.write_text(json.dumps({"title": "iron", "quantities": [{"name": "melting point", "value": 1811.15, "unit": "K"}]}) + "\n")
    made = make_corpus(tmp_path / "elements", file)
    (item,), _ = build(tmp_path / "b", {"corpus": (made,)}, kind="numeric", dev=0)
    assert (item.question, item.value, item.unit, item.tolerance) == ("What is the melting point of iron in K?", 1811.0, "K", 0.05)


def test_a_corpus_without_terms_gives_no_questions(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("Plain text.")
    with pytest.raises(InputError, match="holds no terms"):
        build(tmp_path / "b", {"corpus": (make_corpus(tmp_path / "c", file),)})


def from_file(tmp_path, *rows, **settings):
    file = tmp_path / "exam.jsonl"
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return build(tmp_path / "b", {"file": (source(file),)}, **settings)


@pytest.mark.parametrize("answer", [1, "B", "bone"])
def test_an_answer_may_be_index_letter_or_text(tmp_path, answer):
    (item,), _ = from_file(tmp_path, {"question": "Which is hard?", "options": ["silk", "bone"], "answer": answer}, dev=0)
    assert item.answer == 1
    assert item.split == "test"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "q", "options": ["a", "b"], "answer": "c"}, "the answer 'c' is not among the options 'a', 'b'"),
        ({"question": "q", "options": ["a", "b"], "answer": 2}, "not among the options"),
        ({"question": "q", "options": ["a", "b"], "answer": True}, "not among the options"),
        ({"question": "q", "options": ["B", "C"], "answer": "B"}, "the letter of one of the options 'B', 'C' and the text of another"),
        ({"question": "q", "options": ["a", "a"], "answer": 0}, "two or more different"),
        ({"question": " ", "options": ["a", "b"], "answer": 0}, "`question` is empty"),
        ({"question": "q", "value": "much"}, "is no item"),
        ({"question": "q", "value": math.nan}, "is no item"),
        ({"question": "q", "value": 1, "tolerance": -0.1}, "tolerance -0.1 is no share"),
        ({"question": "q", "value": 1, "unit": "wibble"}, "unit 'wibble' is not known"),
        ({"question": "q", "options": ["a", " "], "answer": 0}, "two or more different"),
        ({"question": "q", "kind": "true_false", "answer": "maybe"}, "neither true nor false"),
        ({"question": "q", "answers": []}, "needs `answers`"),
        ({"question": "q", "records": []}, "needs `records`"),
        ({"question": "q", "kind": "numeric"}, "needs `value`"),
        ({"question": "q", "options": ["a", "b"], "answer": 0, "colour": "red"}, "is no item"),
        ("{", "is not JSON"),
    ],
)
def test_bad_rows_are_named(tmp_path, row, said):
    with pytest.raises(InputError, match=f"exam.jsonl, line 1.*{said}"):
        from_file(tmp_path, row)


def test_ids_are_unique(tmp_path):
    row = {"id": "x", "question": "q", "options": ["a", "b"], "answer": 0}
    with pytest.raises(InputError, match="line 2: the id `x` was used on line 1"):
        from_file(tmp_path, row, row)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no item"):
        from_file(tmp_path)


def test_what_was_read_is_told_in_one_line(tmp_path):
    row = {"question": "q", "category": "c", "answer": "A", "reference": "r"}
    rows = [{**row, "question": "Which? A) x B) y"}, {**row, "answer": "B, C"}, {**row, "answer": "silk"}]
    _, summary = from_file(tmp_path, *rows)
    said = "exam: 2 items (1 choice, 1 short), read as the paper's columns; left out: 1 with several right options"
    assert benchmarks.told("exam", summary) == said


def test_check_reads_a_file_but_waits_for_a_corpus():
    benchmarks.check(BenchmarkStep(role="unseen"), {"corpus": (Artifact("corpus", "c", "k", None),)})
