import pytest

from eutectic.evaluate.extraction import written
from eutectic.evaluate.summary import baselines, lines, summarise
from eutectic.specs.rows import Extracted, Item, ItemScore


def score(n, form="cloze", right=True, **more):
    return ItemScore(id=str(n), benchmark="b", group="g", role="unseen", split="test", form=form, score=float(right), **more)


def test_cells_hold_shares_and_greedy_cells_broken_formats():
    rows = [score(1), score(2, right=False), score(1, "greedy", format_failure=True), score(2, "greedy")]
    cloze, greedy = summarise(rows)["cells"]
    assert (cloze["n"], cloze["accuracy"]) == (2, 0.5)
    assert "format_failure_rate" not in cloze
    assert (greedy["format_failures"], greedy["format_failure_rate"]) == (1, 0.5)
    assert greedy["strict"] == 0.5
    assert lines({"cells": [cloze]}) == ["b unseen test: 0.500 of 2 items by likelihood"]


def test_baselines_share_ties():
    items = [
        Item(id="1", group="g", question="q", options=("aa", "b", "c"), answer=1),
        Item(id="2", group="g", question="q", options=("aa", "bbb", "c", "d"), answer=0),
    ]
    (line,) = baselines("b", items)
    assert line["shortest"] == pytest.approx(0.25)
    assert line["longest"] == 0.0
    assert line["chance"] == pytest.approx((1 / 3 + 1 / 4) / 2)


def test_ties_fields_and_letters_are_counted():
    (cell,) = summarise([score(1, margin=0.0), score(2, margin=0.3)])["cells"]
    assert cell["ties"] == 1
    gold = Item(
        id="1",
        group="g",
        kind="extraction",
        question="q",
        records=(Extracted(material="silk", property="strength", value=1.1, unit="GPa"),),
    )
    answered = (Extracted(material="silk", property="strength", value=1100, unit="MPa", method="tensile test"),)
    (cell,) = summarise([score(1, "constrained", parsed=written(answered))], {"b": [gold]})["cells"]
    assert cell["fields"]["value"]["f1"] == 1
    assert cell["fields"]["unit"]["f1"] == 1
    assert cell["fields"]["method"]["precision"] == 0
    assert cell["fields"]["all"]["precision"] == pytest.approx(4 / 5)
