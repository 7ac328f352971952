"""Forgetting: each model against the model it started from, on the same items."""

import csv
import re

import pytest


def table(report, name):
    with (report.parent / "tables" / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


def section(report):
    return re.search(r'<section id="general".*?</section>', report.read_text(), re.DOTALL).group()


def test_each_model_is_compared_with_its_start_on_tasks_and_groups(report):
    rows = {(row["model"], row["part"]): row for row in table(report, "forgetting")}
    assert set(rows) == {(model, task) for model in ("instruct/cpt", "paper:instruct/cpt-sft-dpo") for task in ("arc_easy", "mmlu")}
    lost = rows["instruct/cpt", "mmlu"]
    assert (lost["start"], lost["items"], lost["scored by"]) == ("instruct", "400", "acc_norm")
    assert float(lost["low"]) < float(lost["difference"]) < float(lost["high"]) < 0
    assert float(lost["difference"]) == pytest.approx(float(lost["model, %"]) - float(lost["start, %"]))
    assert float(lost["p (Holm)"]) < 0.001
    assert float(rows["paper:instruct/cpt-sft-dpo", "mmlu"]["difference"]) == 0


def test_what_was_forgotten_is_said_in_words(report):
    text = section(report)
    assert re.search(r"Forgotten: arc_easy in instruct/cpt \(−1\d\.\d points\); mmlu in instruct/cpt", text)
    assert "No difference is shown in 2 of 4 comparisons" in text


def test_all_numbers_of_the_harness_stand_in_a_table(report):
    rows = table(report, "general")
    assert len(rows) == 3 * 3 * 2
    assert {row["metric"] for row in rows} == {"acc,none", "acc_norm,none"}


def test_a_study_that_names_none_says_how_they_are_asked_for(unfinished):
    assert "`general` in the study file" in section(unfinished)
