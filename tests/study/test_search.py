"""A search in a study: its winner is a model like any merge, measured on the test split, and wrong spaces are told with their line."""

import json
from pathlib import Path

import pytest

from eutectic.artifacts import ITEMS, SUMMARY, read_json, read_rows
from eutectic.context import Context
from eutectic.doors import report
from eutectic.errors import InputError
from eutectic.specs.rows import ItemScore
from eutectic.study.study import Study

STUDY = """\
study: tuned
models:
  one: {path: ONE}
  two: {path: TWO}
merges:
  half: {method: linear, base: one, each: [two], parameters: {t: 0.5}}
benchmarks:
  exam: {file: exam.jsonl, dev: 0.5}
search:
  best: {method: slerp, base: one, each: ["*"], space: {t: [0, 1]}, benchmark: exam, budget: 4, items: 8}
prompts:
  weighed: {forms: [cloze]}
evaluations:
  - {models: ["**"], benchmarks: [exam], prompts: [weighed]}
"""
WORDS = ("silk", "bone", "nacre", "leaf", "fibre", "helix")


def write(folder: Path, one: Path, two: Path, text: str = STUDY) -> Path:
    folder.mkdir()
    (folder / "study.yaml").write_text(text.replace("ONE", str(one)).replace("TWO", str(two)))
    rows = [
        {
            "id": f"i{n}",
            "group": f"g{n}",
            "question": f"Number {n} is a",
            "options": [WORDS[(n + k) % 6] for k in range(3)],
            "answer": n % 3,
        }
        for n in range(40)
    ]
    (folder / "exam.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_the_winner_is_measured_on_the_test_split_and_compared(tmp_path, tiny, tiny_other):
    study = Study.load(write(tmp_path / "tuned", tiny, tiny_other))
    study.run(Context(threads=1))
    assert study.status()["todo"] == 0
    plan = {(each.step.kind, each.step.address): each for each in study.plan()}
    found = read_json(plan["search", "best"].folder / SUMMARY)
    rows = read_rows(plan["rescore", "best"].folder / ITEMS, ItemScore)
    test = {row.id for row in rows if row.split == "test"}
    assert test
    assert not test & set(found["items"])
    assert len(found["items"]) == 8
    synergy = read_json(plan["synergy", "best"].folder / SUMMARY)
    assert sorted(synergy["parents"]) == ["one", "two"]
    assert study.model_folder("best").is_dir()
    page = report(study, tmp_path / "report").read_text()
    assert "best, the winner: t = " in page
    assert "best: dev score of candidates in percent: parent one" in page
    again = study.run(Context(threads=1))
    assert again.made == []


@pytest.mark.parametrize(
    ("old", "new", "found", "place"),
    [
        ("{t: [0, 1]}", "{tt: [0, 1], t: [0, 1]}", "`tt` is not known", "search.best.space.tt"),
        ("{t: [0, 1]}", "{t: [1, 0]}", "is empty", "search.best.space.t"),
        ("{t: [0, 1]}", "{}", "at least 1", "search.best.space"),
        ("benchmark: exam", "benchmark: exams", "no benchmark named 'exams'", "search.best.benchmark"),
        ("benchmark: exam, ", "", "`benchmark` is missing", "search.best.benchmark"),
        ("budget: 4", "budget: 0", "greater than 0", "search.best.budget"),
        ("  best: ", "  half: ", "is a model or merge already", "search.half"),
        ('base: one, each: ["*"]', 'each: ["*"]', "no `base` is given", "search.best"),
        ('each: ["*"]', "each: [three]", "'three' matches no model", "search.best.each.0"),
        ("dev: 0.5", "dev: 0", "has no dev items", "search.best.benchmark"),
    ],
)
def test_a_wrong_search_is_told_with_its_line(tmp_path, tiny, tiny_other, old, new, found, place):
    folder = write(tmp_path / "wrong", tiny, tiny_other, STUDY.replace(old, new, 1))
    with pytest.raises(InputError, match=found) as error:
        assert Study.load(folder).graph
    assert error.value.place == place
    assert error.value.line is not None
