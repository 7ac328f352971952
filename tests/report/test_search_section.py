"""The section on merge search: dev scores of both searchers as they were tried, and the winner's test score apart."""

import csv
import re


def test_the_table_holds_parents_searchers_and_winner(report):
    with (report.parent / "tables" / "search.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["model"].partition(",")[0] for row in rows] == [
        "instruct",
        "instruct/cpt-sft-dpo",
        "best of random search",
        "best of CMA-ES",
        "best",
    ]
    assert rows[-1]["dev score, %"] == rows[3]["dev score, %"]
    assert "the winner: t = [" in rows[-1]["model"]
    assert {row["dev items"] for row in rows} == {"40"}
    assert rows[2]["test accuracy"] == "" != rows[-1]["test accuracy"]
    assert all(float(rows[place]["test accuracy"]) for place in (0, 1, 4))


def test_every_parameter_has_a_panel_and_failed_candidates_are_left_out(report):
    figures = report.parent / "figures"
    assert sorted(path.stem for path in figures.glob("search-*.svg")) == ["search-1", "search-1-1", "search-1-2"]
    told = re.search(r'aria-label="(best: dev score of candidates[^"]*)"', report.read_text()).group(1)
    assert re.search(r"random search best \d+\.\d of 12; CMA-ES best \d+\.\d of 12", told)
    assert "parent instruct " in told


def test_a_study_without_a_search_says_so(unfinished):
    assert "This study searches no merges." in unfinished.read_text()
