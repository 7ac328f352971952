"""Patterns against their nulls: coupled correlations, slopes."""

import itertools

import numpy as np
import pytest
from scipy.stats import linregress, pearsonr

from eutectic.analysis import patterns
from eutectic.errors import InputError


def test_a_shared_term_makes_a_correlation_that_its_null_expects():
    random = np.random.default_rng(5)
    expected, actual = random.normal(0.5, 0.05, (2, 30))  # nothing to do with each other
    found = patterns.coupled(("expected", expected), ("deviation", expected), actual, shared=True)
    assert found.r == pytest.approx(pearsonr(expected, actual - expected).statistic)
    assert found.r < -0.4
    assert found.low < found.r < found.high < 0
    assert found.p > 0.05


def test_false_alarms_of_the_coupled_test_stay_at_their_level(monkeypatch):
    monkeypatch.setattr(patterns, "SHUFFLES", 199)
    random = np.random.default_rng(6)
    found = [
        patterns.coupled(("e", e), ("d", e), a, shared=True, seed=run).p
        for run, (e, a) in enumerate(random.normal(0.5, 0.05, (300, 2, 12)))
    ]
    assert np.mean(np.array(found) <= 0.05) <= 0.08
    assert np.mean(np.array(found) <= 0.5) >= 0.4  # neither is it deaf


def test_a_true_relation_beyond_the_shared_term_is_seen():
    expected = np.linspace(0.4, 0.6, 15)
    actual = 0.5 + 1.5 * (expected - 0.5) + np.random.default_rng(7).normal(0, 0.01, 15)
    assert patterns.coupled(("e", expected), ("d", expected), actual, shared=True).p < 0.01
    plain = patterns.coupled(("e", expected), ("actual", np.zeros(15)), actual, shared=False)
    assert plain.centre == pytest.approx(0, abs=0.05)
    assert plain.p < 0.01


def test_correlations_that_say_nothing_are_left_out():
    three = np.array([0.1, 0.2, 0.3])
    assert patterns.coupled(("e", three), ("d", three), three, shared=True) is None
    assert patterns.coupled(("e", np.ones(9)), ("d", np.ones(9)), np.arange(9.0), shared=True) is None


def merges(n, seed=0, **features):
    random = np.random.default_rng(seed)
    values = {name: np.resize(column, n) for name, column in features.items()}
    return [
        patterns.Merged(f"m{i}", random.random(), tuple(random.random(2)), {name: float(column[i]) for name, column in values.items()})
        for i in range(n)
    ]


def test_expected_best_and_diversity_of_three_parents():
    found = patterns.Merged("m", 0.5, (0.2, 0.3, 0.7))
    assert (found.expected, found.best, found.diversity) == (pytest.approx(0.4), 0.7, pytest.approx((0.1 + 0.5 + 0.4) / 3))


def test_correlations_are_pearsons_and_those_with_a_shared_term_are_marked():
    made = merges(12, sft=[0, 1, 1], constant=[1])
    found = {(each.y, each.x): each for each in patterns.correlations(made)}
    assert len(found) == 9  # the constant column says nothing
    score, expected = np.array([each.score for each in made]), np.array([each.expected for each in made])
    best, diversity = np.array([each.best for each in made]), np.array([each.diversity for each in made])
    assert found["score", "sft"].r == pytest.approx(pearsonr(score, np.resize([0, 1, 1], 12)).statistic)
    assert found["deviation", "expected"].r == pytest.approx(pearsonr(score - expected, expected).statistic)
    assert found["improvement", "diversity"].r == pytest.approx(pearsonr(score - best, diversity).statistic)
    marked = {key for key, each in found.items() if each.coupled}
    assert marked == set(itertools.product(("deviation", "improvement"), ("expected", "diversity")))
    assert all(found[key].centre < -0.2 for key in marked if key[1] == "expected")  # what the shared term alone makes
    assert all(each.p <= each.p_adjusted <= 1 and each.n == 12 for each in found.values())


def test_three_merges_are_too_few_for_correlations():
    with pytest.raises(InputError, match="3 models are too few for correlations; 4 are needed"):
        patterns.correlations(merges(3))
    with pytest.raises(InputError, match="same score"):
        patterns.correlations([patterns.Merged(f"m{i}", 0.5, (0.1 * i, 0.2)) for i in range(8)])


def test_slope_is_ordinary_least_squares_on_the_sizes():
    sizes, gains = [1e8, 1e8, 4e8, 2e9, 7e9], [-0.02, 0.0, 0.005, 0.01, 0.04]
    found = patterns.slope(sizes, gains)
    x, y = np.log10([1e8, 4e8, 2e9, 7e9]), np.array([-0.01, 0.005, 0.01, 0.04])
    oracle = linregress(x, y)
    assert (found.estimate, found.level, found.sizes) == (pytest.approx(oracle.slope), pytest.approx(oracle.intercept), 4)
    assert found.high - found.estimate == pytest.approx(4.302652729 * oracle.stderr)
    with pytest.raises(InputError, match="2 model sizes are too few for a slope; 3 are needed"):
        patterns.slope(sizes[:3], gains[:3])
