"""What the form has to do with the score, as the report tells it."""

import csv

import pytest

from eutectic.artifacts import SUMMARY, write_json
from eutectic.evaluate.extraction import written
from eutectic.evaluate.summary import summarise
from eutectic.report import forms
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import Extracted, Item, ItemScore
from eutectic.specs.steps import EvaluateStep, PromptStep


def row(n, form, score, **found):
    return ItemScore(id=str(n), benchmark="exam", group="g", role="", split="test", form=form, prompt="paper", score=score, **found)


@pytest.fixture
def view(tmp_path):
    gold = Extracted(material="silk", property="strength", value=1.1, unit="GPa")
    text = Item(id="9", group="g", kind="extraction", question="q", records=(gold,))
    rotated = ((-1.0, -2.0), (-2.0, -1.0))
    rows = [
        *(row(n, "letter", 0.5, choice=0, answer=0, log_likelihoods=(-1.5, -1.5), rotated=rotated, margin=0.0) for n in range(4)),
        row(1, "greedy", 1.0, format_failure=True),
        row(2, "greedy", 1.0),
        row(9, "constrained", 1.0, parsed=written([gold])),
    ]
    write_json(tmp_path / SUMMARY, {**summarise(rows, {"exam": [text]}), "rescored": 3})
    spec = EvaluateStep(prompts=(PromptStep(name="paper", instruction="One letter.", prior=True),))
    step = StepView("evaluate", "one", "k", tmp_path, None, "done", {"model": ("one",)}, spec)
    return StudyView("s", 1, "", (step, StepView("rescore", "one", "k", tmp_path, None, "done", {"model": ("one",)}, spec)))


def test_prompts_forms_and_fields_are_told_apart(view):
    prompts, told, fields, note = forms.section(view).blocks
    assert prompts.rows == [
        ("paper", "cloze, letter, greedy", "all but cloze", "", "One letter.", 0, "all rotations, prior of the options")
    ]  # fmt: skip
    by_form = {line[3]: line for line in told.rows}
    assert by_form["by letter, prompt paper"][4:] == (4, 0.5, None, None, 4, 1.0, by_form["by letter, prompt paper"][-1])
    assert sorted(by_form["by letter, prompt paper"][-1].split()) in (["100", "0", "A", "B"], ["0", "100", "A", "B"])
    assert by_form["in words, prompt paper"][5:8] == (1.0, 0.5, 0.5)
    assert {line[3]: line[6] for line in fields.rows}["all"] == 1.0
    assert "compared: 3 items." in note.text


def test_a_whole_study_lists_every_model_once(report):
    with (report.parent / "tables" / "forms.csv").open() as stream:
        rows = [(line["model"], line["benchmark"], line["role"], line["scored by"]) for line in csv.DictReader(stream)]
    assert rows
    assert len(rows) == len(set(rows))
