"""Clean and suspect items stand apart, findings with their rows, canaries beside those of the start model."""

import csv
import re

import pytest

from eutectic.report import contamination, results


def table(report, name):
    with (report.parent / "tables" / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


def section(report):
    return re.search(r'<section id="contamination".*?</section>', report.read_text(), re.DOTALL).group()


def test_every_comparison_and_every_finding_is_named_and_escaped(report):
    assert [(row["dataset"], row["suspect"], row["ngram"]) for row in table(report, "contamination")] == [
        ("text", "0", "0"),
        ("questions", "30", "30"),
    ]
    found = table(report, "findings")
    assert len(found) == 30
    assert [row["with its answer"] for row in found] == ["True"] * 15 + ["False"] * 15
    assert "what is enamel &lt;0&gt;" in section(report)


def test_clean_and_suspect_items_add_up_to_all(study, report):
    found = results.collect(study)
    for row in table(report, "clean_and_suspect"):
        assert row["part"] == "acquired"
        (all_items,) = (a for a in found.accuracies["acquired", row["scored by"]] if a.model == row["model"])
        clean, suspect = int(row["clean items"]), int(row["suspect items"])
        assert suspect > 0
        assert clean + suspect == all_items.interval.n
        mean = (clean * float(row["clean, %"]) + suspect * float(row["suspect, %"])) / (clean + suspect)
        assert mean == pytest.approx(all_items.interval.estimate)
    assert {row["model"] for row in table(report, "clean_and_suspect")} >= {"instruct", "blend"}


def test_a_merge_is_also_held_against_its_best_parent_on_clean_items(study, report):
    found = results.collect(study)
    claims = {(merge, each.part, each.form): each for merge, each in found.claims()}
    rows = table(report, "clean_merges")
    assert {row["merge"] for row in rows} == {str(each["merge"]) for each in found.counted()}
    for row in rows:
        assert float(row["difference"]) == pytest.approx(claims[row["merge"], row["part"], row["scored by"]].difference)
        assert int(row["clean items"]) < int(row["all items"])


def test_items_that_only_suspects_have_leave_nothing_clean(study):
    scores = {"instruct": results.collect(study).scores["instruct"]}
    every = frozenset(key for rows in scores["instruct"].cells.values() for key in rows)
    assert all(each.clean is None for each in contamination.apart(scores, every))
    assert list(contamination.apart(scores, frozenset())) == []


def test_a_canary_stands_beside_that_of_its_start(report):
    start, trained = table(report, "canaries")
    assert (start["model"], start["added by training, nats"], start["p of that"]) == ("instruct", "", "")
    assert trained["model"] == "instruct/cpt"
    assert float(trained["order, nats a run"]) - float(start["order, nats a run"]) == pytest.approx(4.0)
    assert float(trained["added by training, nats"]) == pytest.approx(4.0)
    assert float(trained["p of that"]) < 0.001 < float(start["p"])
    assert float(trained["above chance"]) > 0.2 > float(start["above chance"])


def test_without_comparisons_the_section_says_so(unfinished):
    assert "Not run yet." in section(unfinished)
