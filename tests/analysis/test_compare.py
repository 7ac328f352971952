"""Comparisons: the best parent without picking one, families, and words never stronger than their test."""

from dataclasses import replace

import numpy as np
import pytest

from eutectic.analysis.compare import adjust, best_of, compare, from_row, paired
from eutectic.analysis.table import Scores, align, cells_of
from eutectic.errors import InputError
from eutectic.specs.rows import ItemScore

CELL = ("acquired", "cloze")


def scores(name, correct, *, part="acquired", form="cloze", broken=None):
    rows = {
        ("bench", str(i)): ItemScore(
            id=str(i), benchmark="bench", group=f"g{i // 2}", role=part, split="test", form=form, score=float(value),
            format_failure=bool(broken[i]) if broken is not None else False,
        )
        for i, value in enumerate(correct)
    }  # fmt: skip
    return Scores(name, {(part, form): rows}, {})


def draw(share, n=400, seed=0):
    return (np.random.default_rng(seed).random(n) < share).astype(float)


GROUPS = np.array([f"g{i // 2}" for i in range(400)])


def test_a_clear_gain_over_every_parent_is_shown():
    parents = np.stack([draw(0.4, seed=1), draw(0.45, seed=2)], axis=1)
    (found,) = adjust([best_of(draw(0.75, seed=3), parents, GROUPS, cell=CELL, names=("a", "b"))])
    assert (found.outcome, found.names) == ("gain", ("b",))
    assert 0 < found.low < found.difference < found.high


def test_better_than_one_parent_and_equal_to_the_other_is_no_gain():
    good = draw(0.7, seed=4)
    flips = np.random.default_rng(5).permutation(400)[:20]
    merge = good.copy()
    merge[flips] = draw(0.7, 20, seed=6)
    (found,) = adjust([best_of(merge, np.stack([good, draw(0.3, seed=7)], axis=1), GROUPS, cell=CELL, names=("good", "poor"))])
    assert found.outcome == "none"
    assert found.names == ("good",)
    mean = paired(merge, (good + draw(0.3, seed=7)) / 2, GROUPS, cell=CELL, against="mean of parents", names=("good", "poor"))
    assert adjust([mean])[0].outcome == "gain"  # which is why the mean alone proves nothing


def test_a_clear_loss_against_one_parent_is_shown():
    parents = np.stack([draw(0.8, seed=1), draw(0.3, seed=2)], axis=1)
    (found,) = adjust([best_of(draw(0.5, seed=3), parents, GROUPS, cell=CELL, names=("a", "b"))])
    assert found.outcome == "loss"
    assert found.high < 0


def test_detectable_effect_grows_with_the_family():
    one = paired(draw(0.5, seed=1), draw(0.5, seed=2), GROUPS, cell=CELL, against="x", names=("x",))
    assert adjust([one] * 10)[0].detectable > adjust([one])[0].detectable
    equal = replace(one, equal="twin")
    family = adjust([one, equal])
    assert family[0].detectable == adjust([one])[0].detectable  # what is not tested takes no level
    assert family[1].outcome == "equal"


def test_mcnemar_stands_only_where_items_are_tosses_of_one_coin_each():
    a, b, single = draw(0.5, seed=1), draw(0.6, seed=2), np.arange(400).astype(str)
    assert paired(a, b, single, cell=CELL, against="x", names=("x",), binomial=True).mcnemar is not None
    assert paired(a, b / 2, single, cell=CELL, against="x", names=("x",), binomial=True).mcnemar is None
    assert paired(a, b, GROUPS, cell=CELL, against="x", names=("x",)).mcnemar is None
    one, two = scores("a", a), scores("b", b)
    assert not align([one, two], CELL).binomial  # two items a group
    lonely = [
        replace(each, cells={CELL: {k: r.model_copy(update={"group": k[1]}) for k, r in each.cells[CELL].items()}}) for each in (one, two)
    ]
    assert align(lonely, CELL).binomial
    turned = {k: r.model_copy(update={"rotated": ((-1.0, -2.0), (-1.0, -2.0))}) for k, r in lonely[0].cells[CELL].items()}
    assert not align([replace(lonely[0], cells={CELL: turned}), lonely[1]], CELL).binomial
    assert compare(*lonely)[0].mcnemar is not None


def test_what_is_not_claimed_has_no_outcome():
    one = replace(paired(draw(0.9, seed=1), draw(0.5, seed=2), GROUPS, cell=CELL, against="x", names=("x",)), claimed=False)
    assert adjust([one])[0].outcome == "described"
    assert adjust([one])[0].p_adjusted == 1
    assert one.covers == "items"


def test_rows_survive_json():
    one = paired(draw(0.5, seed=1), draw(0.5, seed=2), GROUPS, cell=CELL, against="x", names=("x",))
    assert from_row(one.row()) == one


def test_compare_pairs_items_by_id_and_keeps_broken_format_apart():
    a = scores("after", draw(0.7, 100, 1), form="greedy", broken=np.zeros(100))
    b = scores("before", draw(0.3, 80, 2), form="greedy", broken=np.ones(80))
    (found,) = compare(a, b)
    assert (found.n, found.clusters, found.outcome) == (80, 40, "gain")
    (broken,) = compare(a, b, "format_failure")
    assert broken.difference == -1
    assert compare(scores("a", draw(0.5, 9)), scores("b", draw(0.5, 9)), "format_failure") == []


def test_roles_are_never_pooled_and_no_shared_items_is_an_error():
    a, b = scores("a", draw(0.5, 9)), scores("b", draw(0.5, 9), part="unseen")
    assert cells_of([a, b]) == []
    assert compare(a, b) == []
    with pytest.raises(InputError, match="share no cloze item"):
        align([a, b], CELL)
