"""The best merge: picked on dev and reported on test, or corrected for having been picked on the same items."""

from dataclasses import replace

import numpy as np
import pytest

from eutectic.report import picked, results


@pytest.fixture(scope="module")
def found(study):
    return results.collect(study)


def test_what_is_picked_on_dev_is_reported_on_test(found):
    best = picked.picks(found)[0]
    claims = {name: each for name, each in found.claims() if (each.part, each.form) == best.cell == ("acquired", "cloze")}
    assert (best.on, best.among, best.merge) == ("dev", 9, "paper:instruct/cpt-sft-dpo")
    assert best.gain == claims[best.merge].difference
    dev = {name: gain_on_dev(found, name, parents, best.cell) for name, parents in made(found)}
    assert best.there == pytest.approx(max(dev.values()))
    assert max(dev, key=dev.__getitem__) == best.merge
    assert best.there != best.gain


def gain_on_dev(found, name, parents, cell):
    own, *others = (np.array([row.score for row in found.scores[each].dev[cell].values()]) for each in (name, *parents))
    return own.mean() - max(other.mean() for other in others)


def made(found):
    return [(each["merge"], each["parents"]) for each in found.counted()]


def test_without_dev_items_the_figure_is_corrected(found):
    shared = replace(found, scores={name: replace(each, dev={}) for name, each in found.scores.items()})
    for best in picked.picks(shared):
        claims = {name: each for name, each in found.claims() if (each.part, each.form) == best.cell}
        assert best.on == "test"
        assert best.there == pytest.approx(max(each.difference for each in claims.values()))
        assert best.low < best.gain < best.high
        assert best.gain < best.there
    assert "once corrected for being picked on the items it is reported on" in picked.sentence(shared)
    assert "dev" not in picked.sentence(shared)


def test_the_sentence_speaks_of_a_checkpoint_and_says_what_its_interval_covers(found):
    sentence = picked.sentence(found)
    assert sentence.count("this checkpoint of") == sentence.count("over items") == 3
    assert "picked of 9 on dev, stands on test at +" in sentence


def test_one_merge_is_not_picked(found):
    only = replace(found, synergies=[each for each in found.synergies if each["merge"] == "blend"])
    assert picked.picks(only) == []
    assert picked.sentence(only) == ""


def test_merges_whose_scores_are_gone_or_of_other_items_are_not_picked(found):
    gone = replace(found, scores={name: each for name, each in found.scores.items() if name != "instruct/cpt"})
    assert {each.among for each in picked.picks(gone)} == {8}
    cell = ("acquired", "cloze")
    moved = {
        name: replace(each, cells={**each.cells, cell: {}}, dev={}) if name == "blend" else each for name, each in found.scores.items()
    }
    assert cell not in {each.cell for each in picked.picks(replace(found, scores=moved))}
