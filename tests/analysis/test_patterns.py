"""Patterns against their nulls: clusters, coupled correlations, slopes."""

import itertools

import numpy as np
import pytest
from scipy.stats import gaussian_kde, linregress, pearsonr

from eutectic.analysis import patterns
from eutectic.errors import InputError


def cloud(n=20, seed=0, apart=0.0):
    random = np.random.default_rng(seed)
    points = random.normal(0.5, 0.02, (n, 2))
    points[n // 2 :] += apart
    return points


def test_two_clouds_are_told_from_one():
    two, one = patterns.clusters(cloud(apart=0.3)), patterns.clusters(cloud())
    assert two.p == 1 / (1 + patterns.CLOUDS)
    assert two.labels.tolist() == [0] * 10 + [1] * 10
    assert two.centroids == pytest.approx(np.array([[0.5, 0.5], [0.8, 0.8]]), abs=0.02)
    assert two.silhouette > 0.8 > one.silhouette
    assert one.p > 0.05


def test_one_cloud_is_seldom_called_two(monkeypatch):
    monkeypatch.setattr(patterns, "CLOUDS", 39)
    random = np.random.default_rng(4)
    stretched = random.multivariate_normal([0.5, 0.6], [[1e-3, 8e-4], [8e-4, 1e-3]], (60, 12))
    assert np.mean([patterns.clusters(points, seed=run).p <= 0.05 for run, points in enumerate(stretched)]) <= 0.1


def test_two_means_finds_the_best_of_all_divisions():
    random = np.random.default_rng(2)
    points = random.normal(size=(9, 2))

    def spread(labels):
        return sum(((points[labels == k] - points[labels == k].mean(axis=0)) ** 2).sum() for k in (0, 1) if (labels == k).any())

    best = min(spread(np.array(labels)) for labels in itertools.product((0, 1), repeat=9))
    assert spread(patterns.two_means(points[None], random)[0]) == pytest.approx(best)


def test_silhouette_by_hand():
    points = np.array([[0.0, 0], [1, 0], [10, 0]])
    assert patterns.silhouette(points, np.array([0, 0, 1])) == pytest.approx(((10 - 1) / 10 + (9 - 1) / 9 + 0) / 3)
    assert patterns.silhouette(points, np.array([0, 0, 0])) == 0


def test_density_is_scipys_where_the_spread_is_round():
    points = patterns.standardised(np.random.default_rng(1).normal(size=(4000, 2)))
    places = np.array([[0.0, 0.0], [1.0, -0.5]])
    assert patterns.density(points, places) == pytest.approx(gaussian_kde(points.T)(places.T), rel=0.03)


def test_few_or_equal_models_are_refused():
    with pytest.raises(InputError, match="5 models are too few for clusters; 6 are needed"):
        patterns.clusters(cloud(5))
    with pytest.raises(InputError, match="same score"):
        patterns.clusters(np.full((8, 2), 0.5))
    assert patterns.clusters(np.array([[0.1, 0.2]] * 7 + [[0.5, 0.6]])).labels.tolist() == [0] * 7 + [1]


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


def test_the_correlation_table_counts_the_models_of_each_pair():
    random = np.random.default_rng(8)
    score, sft = random.random(10), np.array([0, 1] * 5, float)
    diversity = np.where(np.arange(10) < 5, np.nan, random.random(10))
    r, n = patterns.correlations({"score": score, "sft": sft, "diversity": diversity, "constant": np.ones(10)})
    assert r[0, 1] == r[1, 0] == pytest.approx(pearsonr(score, sft).statistic)
    assert r[0, 2] == pytest.approx(pearsonr(score[5:], diversity[5:]).statistic)
    assert (n[0, 1], n[0, 2], r[0, 0]) == (10, 5, pytest.approx(1))
    assert np.isnan(r[3]).all()


def test_slope_is_ordinary_least_squares_on_the_sizes():
    sizes, gains = [1e8, 1e8, 4e8, 2e9, 7e9], [-0.02, 0.0, 0.005, 0.01, 0.04]
    found = patterns.slope(sizes, gains)
    x, y = np.log10([1e8, 4e8, 2e9, 7e9]), np.array([-0.01, 0.005, 0.01, 0.04])
    oracle = linregress(x, y)
    assert (found.estimate, found.level, found.sizes) == (pytest.approx(oracle.slope), pytest.approx(oracle.intercept), 4)
    assert found.high - found.estimate == pytest.approx(4.302652729 * oracle.stderr)
    with pytest.raises(InputError, match="2 model sizes are too few for a slope; 3 are needed"):
        patterns.slope(sizes[:3], gains[:3])
