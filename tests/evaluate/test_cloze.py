import pytest

from eutectic.evaluate.cloze import rank


def test_the_best_mean_wins_and_equal_lengths_give_the_difference_of_sums():
    assert rank([-10.0, -12.0, -15.0], [5, 5, 5]) == (0, pytest.approx(2.0))


def test_an_option_is_not_preferred_for_having_fewer_tokens():
    best, margin = rank([-6.0, -8.0], [2, 4])
    assert best == 1
    assert margin == pytest.approx((3.0 - 2.0) * 2)


def test_ties_go_to_the_first_and_have_no_margin():
    assert rank([-3.0, -3.0], [3, 3]) == (0, 0.0)


def test_a_prior_takes_away_what_an_option_has_without_the_question():
    assert rank([-4.0, -9.0, -8.0], [3, 3, 3], priors=[-3.0, -12.0, -9.0]) == (1, pytest.approx(2.0))
