"""What a reader is told of comparisons: the factor, the confounds, the control."""

import csv
from dataclasses import replace

import example
import pytest

from eutectic.report import comparisons, results
from eutectic.report.view import StudyView


@pytest.fixture(scope="module")
def table(report):
    with (report.parent / "tables" / "comparisons.csv").open() as stream:
        return {(row["model"], row["against"]): row for row in csv.DictReader(stream)}


def test_every_comparison_names_its_factor(table):
    assert {pair: row["factor"] for pair, row in table.items()} == {
        ("base/cpt", "instruct/cpt"): "start",
        ("instruct/cpt", "instruct"): "stage added",
        ("base/cpt", "base"): "stage added",
        ("instruct/cpt-sft", "instruct/cpt"): "stage added",
        ("instruct/cpt-sft-dpo", "instruct/cpt-sft"): "stage added",
        ("instruct/cpt-sft-orpo", "instruct/cpt-sft"): "stage added",
        ("instruct/cpt-sft-orpo", "instruct/cpt-sft-dpo"): "objective",
    }


def test_a_confounded_row_is_flagged_with_its_lines(report, table):
    row = table["instruct/cpt-sft-orpo", "instruct/cpt-sft-dpo"]
    assert row["confounded by"].splitlines()[0] == "learning_rate: 3e-06 against 1e-05"
    assert row["implied"].startswith("objective: orpo against dpo")
    assert [pair for pair, other in table.items() if other["confounded by"] != "nothing"] == [(row["model"], row["against"])]
    text = report.read_text()
    assert text.count('class="is-confounded"') == 1
    assert "1 of 7 comparisons is confounded: instruct/cpt-sft-orpo against instruct/cpt-sft-dpo (objective, but also learning_rate" in text


def test_an_added_stage_stands_beside_its_token_matched_control(table):
    lines = table["instruct/cpt-sft", "instruct/cpt"]["accuracy, points"].splitlines()
    assert lines[0].startswith("acquired ")
    assert lines[3] == "against instruct/cpt-sft+tokens:"
    assert lines[4].startswith("acquired ")
    assert table["instruct/cpt-sft-dpo", "instruct/cpt-sft"]["accuracy, points"].endswith("no token-matched control")


def test_a_control_that_was_not_evaluated_is_said_so(study):
    found = results.collect(study)
    without = replace(found, scores={name: each for name, each in found.scores.items() if "+tokens" not in name}, compared={})
    (table,) = [block for block in comparisons.section(study, without).blocks if getattr(block, "name", "") == "comparisons"]
    assert (
        "control instruct/cpt-sft+tokens: not evaluated"
        in next(row for row in table.rows if row[:2] == ("instruct/cpt-sft", "instruct/cpt"))[3]
    )


def test_what_is_not_trained_yet_is_compared_by_its_settings(tmp_path):
    view = example.partial(tmp_path)
    assert [(pair.model, pair.factor) for pair in comparisons.pairs(comparisons.models(view))] == [
        ("instruct/cpt", "stage added"),
        ("instruct/cpt-sft", "stage added"),
    ]


def test_a_model_under_another_template_is_a_start(study):
    steps = tuple(
        replace(step, kind="adopt", parents={"model": ("base",), "template": ("instruct",)}) if step.address == "base" else step
        for step in study.steps
    )
    view = StudyView(study.name, study.seed, study.text, steps)
    assert "base/cpt" in {model.address for model in comparisons.models(view)}
    assert view.origin(view.find("base", "adopt")) is None
    assert view.model("instruct/cpt@1").address == "instruct/cpt"
