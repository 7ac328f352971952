"""Knowledge or format adds up; diversity by closed forms."""

import math

import numpy as np
import pytest
from example_scores import answers, row, scores
from hypothesis import given
from hypothesis import strategies as st

from eutectic.analysis import effects

WORDS, LETTERS = ("b", "greedy"), ("b", "letter")


def model(name, *items):
    """Items as (score in words, option chosen by likelihood, format broken)."""
    greedy = [row(i, score, form="greedy", margin=None, broken=broken, group=str(i // 2)) for i, (score, _, broken) in enumerate(items)]
    return scores(name, *greedy, *(row(i, 0, choice=choice, group=str(i // 2)) for i, (_, choice, _) in enumerate(items)))


def test_each_item_is_of_one_kind():
    parent = model("p", (0, 0, False), (1, 1, False), (0, 2, True), (0, 3, True), (1, 0, False), (0, 1, False))
    merge = model("m", (1, 1, False), (0, 2, False), (1, 2, False), (1, 1, False), (0, 0, True), (1, 1, False))
    found = effects.split(merge, [parent], WORDS)
    told = {each.kind: (each.items, each.gained, each.lost) for each in found.shares}
    assert told == {"knowledge": (2, 1, 1), "format": (2, 1, 1), "both": (1, 1, 0), "neither": (1, 1, 0)}
    assert (found.n, found.weighed, found.parent, found.change) == (6, "cloze", "p", pytest.approx(2 / 6))
    assert effects.from_row(found.row()) == found


items = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.integers(0, 2), st.booleans()), min_size=8, max_size=8)


@given(items, items, items)
def test_the_parts_add_up_to_the_whole(merge, first, second):
    found = effects.split(model("m", *merge), [model("a", *first), model("b", *second)], WORDS)
    assert sum(each.change for each in found.shares) == pytest.approx(found.change)
    assert sum(each.items for each in found.shares) == found.n
    assert all(each.low <= each.change + 1e-12 and each.change <= each.high + 1e-12 for each in found.shares)
    assert found.parent_score == pytest.approx(max(np.mean([each[0] for each in parent]) for parent in (first, second)))


def test_only_words_that_were_also_weighed_are_split():
    both = model("m", (1, 0, False))
    assert effects.split(both, [both], ("b", "cloze")) is None
    bare = scores("p", row(0, 1, form="greedy", margin=None))
    assert effects.split(both, [bare], WORDS) is None
    far = scores("p", row(7, 1, form="greedy", margin=None), row(7, 1, choice=0))
    assert effects.split(both, [far], WORDS) is None


def test_the_same_prompt_is_taken_before_the_plain_one():
    def named(*labels):
        return [scores(name, *(row(0, 1, form=form).model_copy(update={"prompt": prompt}) for form, prompt in labels)) for name in "mp"]

    assert effects.beside(("b", "greedy:x"), named(("cloze", ""), ("cloze", "x"), ("letter", "x"))) == ("b", "cloze:x")
    assert effects.beside(("b", "greedy:x"), named(("cloze", ""), ("letter", "x"))) == ("b", "cloze")
    assert effects.beside(("b", "greedy:x"), named(("letter", "x"), ("letter", ""))) == ("b", "letter:x")
    assert effects.beside(WORDS, named(("letter", ""))) == LETTERS


def test_diversity_of_two_parents_by_hand():
    found = effects.diversity([answers("a", [1, 1, 1, 0, 0, 1, 1, 0]), answers("b", [1, 1, 0, 1, 0, 0, 1, 0])], ("b", "cloze"))
    both, one, other, neither = 3, 2, 1, 2
    assert found.disagreement == pytest.approx(3 / 8)
    assert found.q == pytest.approx((both * neither - one * other) / (both * neither + one * other))
    assert found.kappa == pytest.approx((5 / 8 - (5 * 4 + 3 * 4) / 64) / (1 - (5 * 4 + 3 * 4) / 64))
    assert found.score == pytest.approx(1 / 8)
    assert found.row()["n"] == 8


def test_diversity_of_the_same_and_of_three():
    same = effects.diversity([answers("a", [1, 0, 1, 0])] * 2, ("b", "cloze"))
    assert (same.disagreement, same.q, same.kappa, same.score) == (0, 1, 1, 0)
    three = [answers("a", [1, 1, 0, 0]), answers("b", [1, 1, 0, 0]), answers("c", [0, 0, 1, 1])]
    assert effects.diversity(three, ("b", "cloze")).disagreement == pytest.approx(2 / 3)
    assert effects.diversity(three[:1], ("b", "cloze")) is None


def test_where_nobody_errs_nothing_is_said_of_errors():
    found = effects.diversity([answers("a", [1, 1]), answers("b", [1, 1])], ("b", "cloze"))
    assert found.q is None
    assert found.kappa is None
    assert math.isnan(effects.cohens_kappa(0, 0, 0, 4))


def test_independent_errors_have_no_association():
    random = np.random.default_rng(3)
    a, b = (random.random((2, 20_000)) < np.array([[0.6], [0.4]])).astype(float)
    table = effects.contingency(a > 0, b > 0)
    assert effects.yules_q(*table) == pytest.approx(0, abs=0.03)
    assert effects.cohens_kappa(*table) == pytest.approx(0, abs=0.02)
