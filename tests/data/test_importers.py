"""Published shapes, each as its makers publish it."""

import csv
import io
import json
from pathlib import Path

import pyarrow
import pytest
from example_ontology import source
from pyarrow import parquet

from eutectic.data.benchmark_file import locate, packaged, read_items
from eutectic.data.importers import split_options
from eutectic.errors import InputError
from eutectic.evaluate import extraction
from eutectic.specs.steps import BenchmarkStep
from eutectic.units import known


def read(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return read_items(source(file).path, BenchmarkStep(dev=0.0))


def test_every_kind_of_our_own(tmp_path):
    """The examples of the manual."""
    manual = (Path(__file__).parents[2] / "docs" / "measuring.md").read_text(encoding="utf-8")
    found = read(tmp_path, "a.jsonl", manual.split("```json\n")[1].split("```")[0])
    assert found.shape == "items"
    assert [item.kind for item in found.items] == ["choice", "true_false", "numeric", "short", "extraction"]
    choice, verdict, numeric, short, extracted = found.items
    assert (choice.options[choice.answer], choice.difficulty, choice.source_ids) == ("spidroin", "easy", ("smith2019",))
    assert verdict.options[verdict.answer] == "True"
    assert (numeric.value, numeric.unit, numeric.tolerance) == (2.93, "g/cm^3", 0.03)
    assert short.answers == ("collagen", "type I collagen")
    assert extracted.records[0].method == "tensile testing"


def test_ids_and_groups_are_filled_from_the_place(tmp_path):
    first, second = read(tmp_path, "a.jsonl", [{"question": "q", "answer": "False"}, {"question": "q", "answer": False}]).items
    assert [(item.id, item.group, item.options[item.answer]) for item in (first, second)] == [
        ("a-1", "a-1", "False"),
        ("a-2", "a-2", "False"),
    ]


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
        {"question": "q", "choices": ["C", "y", "B"], "answer": "B"},
        {"question": "q", "A": "x", "B": "y", "C": "z", "answer": "B"},
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


def test_parquet_gives_what_json_lines_give(tmp_path):
    rows = [{"name": "t", "uuid": "u1", "examples": [{"input": "q", "target_scores": '{"x": 0, "y": 1}', "target": None}]}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "tasks.parquet")
    found = read_items(tmp_path / "tasks.parquet", BenchmarkStep(dev=0.0))
    assert found == read(tmp_path, "tasks.jsonl", rows)
    assert found.shape == "ChemBench"


MASCQA = [
    ("G-1", "MCQS", "Nuclei are  (A) same (B) smaller than 5 nm (C) larger", "B"),
    ("G-2", "NUM", "Wavelength in μm?", "0.85 to 0.89 "),
    ("G-3", "NUM", "In Å?", "6850 : 6950"),
    ("G-4", "NUM", "Shift in eV?", "−0.6 TO −0.4"),
    ("G-5", "NUM", "Atoms?", "1,200"),
    ("G-6", "MCQS", "Which? (A) x (B) y (C) z", "B; C"),
    ("G-7", "MATCH", "Match: (P) gold (Q) iron (1) Au (2) Fe (A) P-1, Q-2 (B) P-2, Q-1", "A"),
    ("G-8", "NUM", "Charge?", "-0.1 to 0.1"),
]


def mascqa_as(shape):
    rows = [dict(zip(("qids", "qstr", "questions", "label"), row, strict=True), num_words=9, subject="Thermodynamics") for row in MASCQA]
    if shape == "rows.jsonl":
        return rows
    if shape == "by_topic.json":
        columns = {key: [row[key] for row in rows] for key in ("qids", "qstr", "num_words", "questions", "label")}
        return json.dumps({"Thermodynamics": columns})
    sheet = io.StringIO()
    table = csv.writer(sheet)
    table.writerow(["", "Question Info", "Question Type", "Correct Answer", "TOPIC", "QUESTION"])
    table.writerows([n, identity, kind, answer, "Thermodynamics", question] for n, (identity, kind, question, answer) in enumerate(MASCQA))
    return sheet.getvalue()


@pytest.mark.parametrize("shape", ["rows.jsonl", "by_topic.json", "all_QA.csv"])
def test_mascqa(tmp_path, shape):
    found = read(tmp_path, shape, mascqa_as(shape))
    assert found.shape == "MaScQA"
    assert found.left_out == {"several right options": 1, "a range around zero": 1}
    choice, narrow, wide, negative, thousands, match = found.items
    assert (choice.question, choice.options, choice.answer) == ("Nuclei are", ("same", "smaller than 5 nm", "larger"), 1)
    assert (choice.id, choice.topic) == ("G-1", "Thermodynamics")
    assert narrow.value == pytest.approx(0.87)
    assert narrow.tolerance == pytest.approx(0.02 / 0.87)
    assert (wide.value, negative.value, thousands.value) == (6900, -0.5, 1200)
    assert match.options == ("P-1, Q-2", "P-2, Q-1")


def test_mascqa_without_answers_says_where_they_are(tmp_path):
    columns = {"qids": ["G-1"], "qstr": ["NUM"], "num_words": [3], "questions": ["In nm?"]}
    with pytest.raises(InputError, match=r"Fluid mechanics.*without answers.*all_QA.xlsx"):
        read(tmp_path, "mascqa-eval.json", json.dumps({"Fluid mechanics": columns}))


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


def test_the_papers_columns_as_they_are_published(tmp_path):
    shared = {"Category": "descriptive", "research_area": "biology", "type": 1}
    rows = [
        {"id": 1, "question_type": "MC", "Question": "Which silk frames a web? A) Capture silk B) Dragline silk", "Answer": "B", "citation": "10.1/x", **shared},
        {"id": 1, "question_type": "TF", "Question": "Silk is a polymer.", "Answer": "True", "citation": None, **shared},
    ]  # fmt: skip
    choice, verdict = read(tmp_path, "silk.jsonl", rows).items
    assert (choice.question, choice.options, choice.answer) == ("Which silk frames a web?", ("Capture silk", "Dragline silk"), 1)
    assert (choice.group, choice.source_ids) == ("10.1/x", ("10.1/x",))
    assert (verdict.id, verdict.group, verdict.options[verdict.answer]) == ("silk-2", "silk-2", "True")


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Vitamin A. is (A) fat (B) water", ["fat", "water"]),
        ("Which?\nA. one\nB. two\nC. three", ["one", "two", "three"]),
        ("Order (P) a (Q) b. Options: (A)P<Q (B)Q<P", ["P<Q", "Q<P"]),
        ("Plan B) is not an option", []),
    ],
)
def test_options_inside_a_question(question, options):
    assert split_options(question)[1] == options


def test_the_packaged_benchmark_is_sound():
    assert packaged() == ["biomaterials_extraction"]
    items = read_items(locate("biomaterials_extraction"), BenchmarkStep(dev=0.0)).items
    assert (len(items), sum(len(item.records) for item in items)) == (14, 34)
    for item in items:
        assert 2 <= len(item.records) <= 4
        counts = extraction.counts(item.records, item.records, item.tolerance)
        assert all(count.f1 == 1 for count in counts.values())
        for record in item.records:
            stated = (record.material, record.property, f"{record.value:g}", record.unit, record.method)
            assert all(field.lower() in item.question.lower() for field in stated)
            assert not record.unit or known(record.unit) or record.unit == "wt%"


def test_a_benchmark_is_a_file_or_a_packaged_one(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.touch()
    assert locate(str(file)) == file
    with pytest.raises(InputError, match=r"there is no benchmark 'nowhere'.*biomaterials_extraction"):
        locate("nowhere")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "question,options\nx\n", r"a.csv, line 2: has 1 columns"),
        ("a.csv", "what,A\n", r"a.csv, line 1: has 2 cells"),
        ("a.json", '[{"question": "q"}, 3]', "entry 2: holds no JSON object"),
        ("a.json", "{", "is not JSON"),
        ("a.jsonl", "", "holds no item"),
        ("a.xlsx", "PK", "no reader"),
        ("a.parquet", "PAR1", "no whole Parquet file"),
        ("a.csv", "", "holds no item"),
        ("a.json", "", "holds no item"),
        ("a.jsonl", [{"examples": [{"input": "q", "target_scores": "{x"}]}], r"line 1: has the keys of ChemBench, but"),
        ("a.jsonl", [{"question": "q", "choices": 3, "answer": 0}], r"line 1: has the keys of documents of lm-evaluation-harness, but"),
        ("a.jsonl", [{"question": "q", "choices": ["x", "y"], "answer": 2}], r"line 1: answer: the answer 2 is not among"),
        ("a.csv", "q,x,y,C\n", r"line 1: answer: the answer 'C' is not among"),
        ("a.json", "{}", "two or more different"),
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
