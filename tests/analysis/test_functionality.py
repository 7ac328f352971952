"""New functionality: what counts, what chance gives, and what may never pass for it."""

import numpy as np
import pytest
from example_scores import answers, row, scores
from scipy.stats import binom

from eutectic.analysis import functionality

CELL = ("b", "cloze")
TURNS = ((-1.0, -2.0),) * 2  # two orders of the options


@pytest.mark.parametrize(
    ("score", "margin", "rotated", "sure"),
    [
        (1, 0.6, (), 1),
        (0, 0.6, (), -1),
        (1, 0.5, (), 0),  # by no more than the margin
        (0, 0.1, (), 0),
        (1, None, (), 0),  # an answer in words
        (1, 0.0, TURNS, 1),  # in every order
        (0, 0.0, TURNS, -1),
        (0.5, 9.0, TURNS, 0),
        (1, 0.1, TURNS[:1], 0),  # one order only: the margin decides
    ],
)
def test_what_is_reliable(score, margin, rotated, sure):
    assert functionality.reliable(row("i", score, margin=margin, rotated=rotated)) == sure


def test_counts_are_of_items_that_nobody_else_has():
    merge = answers("m", [1, 1, 1, 0, 0, 0, 1])
    found = functionality.find(merge, [answers("a", [0, 0, 1, 1, 0, 0, 1]), answers("b", [0, 0, 0, 0, 1, 0, 1])], CELL)
    assert found.items == (("b", "0"), ("b", "1"))
    assert (found.count, found.parents, found.expected, found.excess) == (2, {"a": 1, "b": 1}, 1, 1)
    assert functionality.from_row(found.row()) == found


def test_the_p_value_is_the_binomial_test_of_the_hardest_parent():
    new, a, b = 9, 2, 0
    right = np.zeros((3, 40))
    right[0, :new], right[1, new : new + a] = 1, 1
    merge, *parents = (answers(name, each) for name, each in zip("mab", right, strict=True))
    found = functionality.find(merge, parents, CELL)
    assert found.parents == {"a": a, "b": b}
    assert found.p == pytest.approx(binom.sf(new - 1, new + a, 0.5))


def test_items_of_one_cluster_are_one_observation():
    right, groups = np.zeros((3, 40)), np.arange(40)
    right[0, :9] = 1
    groups[:9] = 0
    alone = functionality.find(answers("m", right[0]), [answers(n, right[1]) for n in "ab"], CELL)
    together = functionality.find(answers("m", right[0], groups=groups), [answers(n, right[1], groups=groups) for n in "ab"], CELL)
    assert alone.p == pytest.approx(0.5**9)
    assert together.p == 0.5
    assert together.low < alone.low


def test_a_form_without_margins_says_nothing():
    models = [answers(n, [1, 0], form="greedy", margin=None) for n in "mab"]
    assert functionality.find(models[0], models[1:], ("b", "greedy")) is None


def chance_of_passing(make, runs=150):
    """Share of runs with p at most 0.05."""
    random = np.random.default_rng(1)
    found = [functionality.find(*make(random), CELL, seed=run).p for run in range(runs)]
    return np.mean(np.array(found) <= 0.05)


def models(random, abilities, n=120):
    hard = random.normal(0, 1, n)
    groups = np.arange(n) // 2
    drawn = [answers(str(i), ability + random.normal(0, 0.7, n) > hard, groups=groups) for i, ability in enumerate(abilities)]
    return drawn[0], drawn[1:]


def test_another_draw_of_a_parent_passes_no_more_often_than_it_may():
    assert chance_of_passing(lambda random: models(random, (0, 0, 0))) <= 0.09
    assert chance_of_passing(lambda random: models(random, (0.6, 0.6, -0.6))) <= 0.09  # as good as the better of unequal parents


def test_a_model_that_knows_more_passes():
    assert chance_of_passing(lambda random: models(random, (1.2, 0, 0)), runs=20) == 1


def test_another_seed_in_the_merges_place_is_the_stricter_null():
    parents = [answers("a", [0] * 20), answers("b", [0] * 20)]
    merge, other = answers("m", [1] * 8 + [0] * 12), answers("a#2", [0] * 8 + [1] * 7 + [0] * 5)
    found = functionality.reseeded(merge, parents, [other], CELL)
    assert functionality.find(merge, parents, CELL).p == pytest.approx(0.5**8)
    assert (found.count, found.parents, found.p) == (8, {"a#2": 7}, pytest.approx(binom.sf(7, 15, 0.5), abs=0.02))
    assert functionality.reseeded(merge, parents, [], CELL) is None


def test_rows_of_the_same_items_in_another_order_are_the_same():
    rows = [row(i, i % 2) for i in range(6)]
    merge, parent = scores("m", *rows), scores("a", *(row(i, 0) for i in range(6)))
    assert functionality.find(merge, [parent], CELL) == functionality.find(scores("m", *reversed(rows)), [parent], CELL)
