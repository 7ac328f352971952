"""Published shapes, each as its makers publish it."""

import json

import pytest
from example_ontology import source

from eutectic.data.benchmark_file import locate, packaged, read_items
from eutectic.errors import InputError
from eutectic.evaluate import extraction
from eutectic.specs.steps import BenchmarkStep
from eutectic.units import known


def read(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return read_items(source(file).path, BenchmarkStep(dev=0.0))


def test_every_kind_of_our_own(tmp_path):
    rows = [
        {"question": "Hard?", "options": ["silk", "bone", "wax", "skin", "hair"], "answer": "bone"},
        {"question": "Bone is hard.", "answer": True},
        {"question": "Bone is soft.", "answer": "False", "difficulty": "easy"},
        {"question": "Density of gold?", "value": 19.3, "unit": "g/cm³", "tolerance": 0.01},
        {"question": "The protein of tendons?", "answers": ["collagen"]},
        {"question": "Silk of 1.1 GPa.", "records": [{"material": "silk", "property": "strength", "value": 1.1, "unit": "GPa"}]},
    ]
    items = read(tmp_path, "a.jsonl", rows).items
    assert [item.kind for item in items] == ["choice", "true_false", "true_false", "numeric", "short", "extraction"]
    assert items[0].options[items[0].answer] == "bone"
    assert [items[n].options[items[n].answer] for n in (1, 2)] == ["True", "False"]
    assert items[2].difficulty == "easy"
    assert [item.id for item in items] == [f"a-{n}" for n in range(1, 7)]


def test_mmlu_csv_has_no_header_and_its_subject_in_its_name(tmp_path):
    found = read(tmp_path, "materials_science_test.csv", 'What is silk?,a metal,"a fibre, spun",a gas,a rock,B\nWhat is bone?,a,b,c,d,D\n')
    assert found.shape == "MMLU's CSV"
    first, second = found.items
    assert (first.options[first.answer], second.answer, first.topic) == ("a fibre, spun", 3, "materials_science")


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "subject": "physics", "choices": ["x", "y", "z"], "answer": 1},
        {"id": "m", "question": "q", "choices": {"text": ["x", "y", "z"], "label": ["A", "B", "C"]}, "answerKey": "B"},
        {"id": "m", "question": "q", "choices": {"text": ["x", "y", "z"], "label": ["1", "2", "3"]}, "answerKey": "2"},
        {"ind": 4, "activity_label": "Cutting", "ctx": "q", "endings": ["x", "y", "z"], "label": "1"},
        {"question_stem": "q", "choices": {"text": ["x", "y", "z"], "label": ["A", "B", "C"]}, "answerKey": "B"},
        {"query": "q", "choices": ["x", "y", "z"], "gold": 1},
        {"question": "q", "correct_answer": "y", "distractor1": "x", "distractor2": "z", "distractor3": "w", "support": ""},
    ],
)
def test_documents_of_the_harness(tmp_path, row):
    (item,) = read(tmp_path, "a.jsonl", [row]).items
    assert item.question == "q"
    assert item.options[item.answer] == "y"


def test_chembench(tmp_path):
    tasks = [
        {"name": "t", "uuid": "u1", "subfield": "materials_science", "keywords": [], "metrics": ["multiple_choice_grade"], "preferred_score": "multiple_choice_grade",
         "examples": [{"input": "q1", "target_scores": '{"x": 0, "y": 1}', "target": None}, {"input": "q2", "target_scores": {"x": 1, "y": 1}}]},
        {"name": "n", "uuid": "u2", "metrics": ["mae"], "preferred_score": "mae", "examples": [{"input": "How many?", "target": "12.5"}]},
    ]  # fmt: skip
    found = read(tmp_path, "tasks.json", json.dumps(tasks))
    assert found.shape == "ChemBench"
    assert found.left_out == {"2 right options": 1}
    choice, number = found.items
    assert (choice.options[choice.answer], choice.group, choice.topic) == ("y", "u1", "materials_science")
    assert (number.kind, number.value) == ("numeric", 12.5)


def test_mascqa(tmp_path):
    rows = [
        {"qid": "a", "topic": "Thermodynamics", "qstr": "MCQS", "num_word": 9, "question": "Nuclei are (A) same (B) smaller than 5 nm (C) larger", "correct_answer": "B"},
        {"qid": "b", "topic": "Thermodynamics", "qstr": "NUM", "num_word": 9, "question": "Wavelength in μm?", "correct_answer": "0.85 to 0.89 "},
        {"qid": "c", "topic": "Thermodynamics", "qstr": "NUM", "num_word": 9, "question": "In Å?", "correct_answer": "6850 : 6950"},
        {"qid": "d", "topic": "Thermodynamics", "qstr": "MCQS", "num_word": 9, "question": "Which? (A) x (B) y (C) z", "correct_answer": "B; C"},
    ]  # fmt: skip
    found = read(tmp_path, "mascqa.jsonl", rows)
    assert found.shape == "MaScQA"
    choice, narrow, wide = found.items
    assert choice.options[choice.answer] == "smaller than 5 nm"
    assert choice.question == "Nuclei are"
    assert narrow.value == pytest.approx(0.87)
    assert narrow.tolerance == pytest.approx(0.02 / 0.87)
    assert wide.value == 6900
    assert found.left_out == {"several right options": 1}


def test_the_papers_columns(tmp_path):
    table = (
        "question,answer,type,category,reference\n"
        '"What is silk made of?\nA) protein\nB) sugar\nC) fat",A,multiple choice,composition,10.1/x\n'
        "Silk is stronger than steel by weight.,True,true/false,mechanics,10.1/y\n"
    )
    found = read(tmp_path, "silk.csv", table)
    assert found.shape == "the paper's columns"
    choice, verdict = found.items
    assert (choice.options, choice.answer, choice.source_ids, choice.topic) == (("protein", "sugar", "fat"), 0, ("10.1/x",), "composition")
    assert (verdict.kind, verdict.options[verdict.answer]) == ("true_false", "True")


def test_the_packaged_benchmark_is_sound():
    assert packaged() == ["biomaterials_extraction"]
    items = read_items(locate("biomaterials_extraction"), BenchmarkStep(dev=0.0)).items
    assert len(items) >= 10
    for item in items:
        assert 2 <= len(item.records) <= 4
        counts = extraction.counts(item.records, item.records, item.tolerance)
        assert all(count.f1 == 1 for count in counts.values())
        for record in item.records:
            assert str(record.value) in item.question or f"{record.value:g}" in item.question
            assert record.unit in item.question
            assert not record.unit or known(record.unit) or record.unit == "wt%"
            assert any(word in item.question.lower() for word in record.material.lower().split())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "question,options\nx\n", r"a.csv, line 2: has 1 columns"),
        ("a.csv", "what,A\n", r"a.csv, line 1: has 2 cells"),
        ("a.json", '[{"question": "q"}, 3]', "entry 2: holds no JSON object"),
        ("a.json", "{", "is not JSON"),
        ("a.jsonl", "", "holds no item"),
        ("a.parquet", "PAR1", "no reader"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path, name, content, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path, name, content)


def test_bytes_that_are_no_utf8_are_told_with_their_line(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"question": "q", "options": ["a", "b"], "answer": 0}\n{"question": "\xff"}\n')
    with pytest.raises(InputError, match="line 2: is not UTF-8"):
        read_items(file, BenchmarkStep())
