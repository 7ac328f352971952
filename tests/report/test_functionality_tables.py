"""New functionality, knowledge or format, diversity: what the tables say follows from the scores."""

import csv
from dataclasses import replace

import pytest

from eutectic.analysis.functionality import from_row
from eutectic.report import functionality, merging, results


def rows(report, name):
    with (report.parent / "tables" / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_new_items_are_told_only_where_the_adjusted_test_shows_them(study, report):
    found = {(row["merge"], row["part"]): row for row in rows(report, "functionality")}
    shown = [key for key, row in found.items() if float(row["p (Holm)"]) <= 0.05 and float(row["difference"]) > 0]
    assert shown == [("paper:instruct/cpt-sft-dpo", "acquired")]
    assert len(found) == 9 * 2  # merges, parts scored by likelihood
    text = functionality.section(study, results.collect(study)).blocks[0].text
    assert "this checkpoint of paper:instruct/cpt-sft-dpo on acquired facts by likelihood (31 items, 9 by chance" in text
    row = found[shown[0]]
    assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])
    assert len(row["which"].split("; ")) == int(row["new"]) == 31


def test_without_a_shown_gain_no_merge_is_named():
    quiet = from_row(
        {"part": "unseen", "form": "cloze", "n": 9, "clusters": 9, "count": 3, "expected": 2, "excess": 1, "low": -1, "high": 3, "p": 0.4,
         "parents": {"a": 2, "b": 1}, "items": []}
    )  # fmt: skip
    told = functionality.sentence([("m", quiet)], [0.4])
    assert told.startswith("No merge is shown to have new functionality")
    assert "m " not in told.partition(":")[2]


def test_the_four_kinds_of_change_add_up(report):
    for row in rows(report, "formats"):
        parts = [float(row[f"{kind}: change"]) for kind in ("knowledge", "format", "both", "neither")]
        assert sum(parts) == pytest.approx(float(row["change"]))
        assert float(row["merge, %"]) - float(row["parent, %"]) == pytest.approx(float(row["change"]))


def test_diversity_stands_in_weights_outputs_and_score(report):
    found = {(row["merge"], row["part"], row["scored by"]): row for row in rows(report, "diversity")}
    row = found["paper:instruct/cpt", "acquired", "cloze"]
    assert float(row["angle, degrees"]) == pytest.approx(0.4584, abs=1e-3)  # 0.008 radians
    assert 0 < float(row["disagree on, %"]) < 1
    assert 0 <= float(row["score, points"]) < 1
    assert found["blend", "acquired", "cloze"]["angle, degrees"] == ""  # its geometry was not measured


def test_other_seeds_of_the_parents_are_a_second_null(study):
    found = results.collect(study)
    names = {"instruct/cpt": "instruct/cpt#17", "base/cpt": "instruct/cpt#18"}
    scores = {names.get(name, name): replace(each, name=names.get(name, name)) for name, each in found.scores.items()}
    (summary,) = (each for each in found.synergies if each["merge"] == "paper:instruct/cpt")
    parents = [names.get(name, name) for name in summary["parents"]]
    section = functionality.section(study, replace(found, scores=scores, synergies=[{**summary, "parents": parents}]))
    table = section.blocks[1]
    column = [each.title for each in table.columns].index("other seeds")
    assert "other seeds" in [each.title for each in table.shown]
    assert all(isinstance(row[column], int) for row in table.rows)
    assert "other seeds" not in [each.title for each in functionality.section(study, found).blocks[1].shown]


def test_merges_that_are_one_model_are_told_and_counted_once(study):
    found = results.collect(study)
    assert merging.equals(study, found) == ""
    twins = [{**each, "equal_to": "blend"} if each["merge"].startswith("grid") else each for each in found.synergies]
    view, found = replace(study, aliases={"other": "blend", "text again": "text"}), replace(found, synergies=twins)
    told = merging.equals(view, found)
    assert told.startswith(
        "Equal in formula, so counted as one: other = blend. Within two output ulps of each other, so counted as one: grid"
    )
    assert "text" not in told
    assert len({merge for merge, _ in found.claims()}) == 9 - 4
    assert len(functionality.section(view, found).blocks[1].rows) == 2 * 5
