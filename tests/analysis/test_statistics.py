"""Statistics against scipy, closed forms, invariants and simulation at small counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eutectic.analysis import statistics

RANDOM = np.random.default_rng(3)


def scores(n=400, groups=80, share=0.6, seed=0):
    random = np.random.default_rng(seed)
    return (random.random(n) < share).astype(float), np.array([f"g{i}" for i in random.integers(0, groups, n)])


def clustered(clusters, size, correlation, random, share=0.5):
    """0/1 scores with a given intra-class correlation: with probability sqrt(correlation) an item takes its cluster's coin."""
    coin = random.random(clusters) < share
    own = random.random((clusters, size)) < share
    take = random.random((clusters, size)) < np.sqrt(correlation)
    return np.where(take, coin[:, None], own).astype(float).ravel(), np.repeat(np.arange(clusters), size).astype(str)


def interval(values, groups, **options):
    return statistics.mean_intervals(np.asarray(values, float)[:, None], groups, **options)[0]


@pytest.mark.parametrize("share", [0.6, 0.95])
def test_bca_is_scipys_on_clusters_of_unequal_size(share):
    correct, groups = scores(300, 60, share)
    found = interval(correct, groups, draws=6000)
    sums, sizes = statistics.cluster_sums(correct[:, None], groups)
    ratio = lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis)  # noqa: E731
    oracle = stats.bootstrap(
        (sums[:, 0], sizes), ratio, n_resamples=6000, method="BCa", paired=True, vectorized=True, rng=np.random.default_rng(1)
    )
    assert found.estimate == pytest.approx(correct.mean())
    assert found.low == pytest.approx(oracle.confidence_interval.low, abs=0.006)
    assert found.high == pytest.approx(oracle.confidence_interval.high, abs=0.006)
    assert found.covers == "items"


def test_bca_leans_to_the_longer_tail():
    """Of a mean near its bound the interval reaches further inward than the plain quantiles do."""
    values = np.array([1.0] * 8 + [0.0] * 112)
    found = interval(values, np.arange(120).astype(str), draws=6000)
    plain = np.quantile(statistics.bootstrap_means(values[:, None], np.arange(120).astype(str), draws=6000), [0.025, 0.975])
    assert found.high > plain[1]
    assert found.low > plain[0]
    oracle = stats.bootstrap((values,), np.mean, n_resamples=6000, method="BCa", rng=np.random.default_rng(1)).confidence_interval
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.006)


def test_whole_copies_of_items_do_not_narrow_a_cluster_interval():
    correct, groups = scores(150, 150)
    once = interval(correct, groups)
    four = interval(np.repeat(correct, 4), np.repeat(groups, 4))
    assert (four.low, four.high) == pytest.approx((once.low, once.high))
    assert four.clusters == once.clusters


@pytest.mark.parametrize(("items", "share"), [(160, 0.5), (160, 0.9), (600, 0.5), (2000, 0.5)])
def test_interval_covers_the_truth_with_clusters(items, share, soak):
    """Intra-class correlation 0.2, four items a cluster, each the mean of four rotations. Coverage in 2,000 rounds:
    94.5, 94.2, 94.1 and 94.5 %.
    """
    random, rounds = np.random.default_rng(11), 2000 if soak else 300
    hits = 0
    for _ in range(rounds):
        rotations = [clustered(items // 4, 4, 0.2, random, share) for _ in range(4)]
        found = interval(np.mean([values for values, _ in rotations], axis=0), rotations[0][1], draws=1000)
        hits += found.low <= share <= found.high
    slack = 2.6 * np.sqrt(0.05 * 0.95 / rounds)  # of the simulation, 99 %
    assert 0.94 - slack <= hits / rounds <= 0.96 + slack


@pytest.mark.parametrize("items", [160, 600, 2000])
def test_a_pair_of_equal_models_is_seldom_told_apart(items, soak):
    """The false-positive rate of one comparison, with clusters and rotations, is at or below nominal."""
    random, rounds = np.random.default_rng(items), 2000 if soak else 300
    false = 0
    for _ in range(rounds):
        (a, groups), (b, _) = (
            (np.mean([clustered(items // 4, 4, 0.2, random)[0] for _ in range(4)], axis=0), np.repeat(np.arange(items // 4), 4))
            for _ in "ab"
        )
        false += statistics.sign_flip(a - b, groups, flips=399) <= 0.05
    assert false <= stats.binom.ppf(0.99, rounds, 0.05)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certainty_is_never_claimed(value):
    found = statistics.share_intervals(np.full((50, 1), value), np.arange(50).astype(str))[0]
    exact = stats.binomtest(int(50 * value), 50).proportion_ci(0.90, method="exact")  # one-sided 95 %
    assert found.estimate == value
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    same = interval(np.zeros(50), np.arange(50).astype(str))
    assert same.low < 0 < same.high


def test_a_single_cluster_says_almost_nothing():
    found = statistics.share_intervals(np.array([[1.0], [0], [1], [1]]), np.array(["a"] * 4))[0]
    assert (found.low, found.high) == (0.0, 1.0)


def test_shares_of_single_right_answers_have_wilsons_interval():
    values = np.array([[1.0, 0]] * 7 + [[0.0, 0]] * 13)
    found = statistics.share_intervals(values, np.arange(20).astype(str), binomial=True)
    for one, right in zip(found, (7, 0), strict=True):
        assert (one.low, one.high) == pytest.approx(statistics.wilson(right, 20))
        assert (one.estimate, one.n, one.clusters) == (right / 20, 20, 20)


def test_sign_flip_counts_all_patterns_of_few_clusters():
    differences = np.array([1.0, 1, 0, -1, 1, 1, 0, 1])
    groups = np.array(list("aabbccdd"))
    sums = [2.0, -1.0, 2.0, 1.0]
    patterns = [sum(s * x for s, x in zip(signs, sums, strict=True)) for signs in itertools.product((-1, 1), repeat=4)]
    assert statistics.sign_flip(differences, groups) == np.mean([abs(p) >= 4 for p in patterns])
    assert statistics.sign_flip(differences, groups, alternative="greater") == np.mean([p >= 4 for p in patterns])
    assert statistics.sign_flip(-differences, groups, alternative="less") == np.mean([p >= 4 for p in patterns])


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_sign_flip_agrees_with_scipy(alternative):
    differences = np.random.default_rng(4).choice([-1.0, 0, 1], 200, p=[0.12, 0.7, 0.18])
    ours = statistics.sign_flip(differences, np.arange(200).astype(str), alternative=alternative)
    oracle = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", alternative=alternative, n_resamples=9999, rng=np.random.default_rng(5)
    )
    assert ours == pytest.approx(oracle.pvalue, abs=0.015)


def test_sign_flip_keeps_its_level_under_the_null_with_clusters():
    random = np.random.default_rng(7)
    false = 0
    for _ in range(400):
        a, groups = clustered(40, 4, 0.3, random)
        b, _ = clustered(40, 4, 0.3, random)
        false += statistics.sign_flip(a - b, groups, flips=199) <= 0.05
    assert false / 400 <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 400)


def test_no_difference_is_p_one():
    assert statistics.sign_flip(np.zeros(10), np.arange(10).astype(str)) == 1.0
    assert statistics.mcnemar(np.ones(10), np.ones(10)) == 1.0


def test_mcnemar_is_the_binomial_test_on_discordant_items():
    a, b = np.array([1.0] * 9 + [0] * 3 + [1] * 20), np.array([0.0] * 9 + [1] * 3 + [1] * 20)
    assert statistics.mcnemar(a, b) == pytest.approx(stats.binomtest(3, 12).pvalue)


def test_holm_closed_form():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_holm_keeps_order_and_lies_between_raw_and_bonferroni(p_values):
    adjusted = statistics.holm(p_values)
    for raw, one in zip(p_values, adjusted, strict=True):
        assert raw <= one <= min(1.0, raw * len(p_values)) + 1e-12
    assert [adjusted[i] for i in np.argsort(p_values, kind="stable")] == sorted(adjusted)


@pytest.mark.parametrize(("k", "n"), [(0, 20), (7, 20), (20, 20), (300, 1000)])
def test_wilson_agrees_with_scipy(k, n):
    oracle = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert statistics.wilson(k, n) == pytest.approx((oracle.low, oracle.high), abs=1e-9)


@pytest.mark.parametrize(("n", "points"), [(160, 9.9), (500, 5.6), (1000, 4.0), (2000, 2.8)])
def test_detectable_effect_of_the_published_table(n, points):
    assert 100 * statistics.detectable(0.2, n) == pytest.approx(points, abs=0.05)


def test_detectable_effect_is_detected_four_times_in_five():
    random, n = np.random.default_rng(2), 500
    effect = statistics.detectable(0.2, n)
    better = (0.2 + effect) / 2
    found = 0
    for _ in range(200):
        differences = random.choice([1.0, -1.0, 0.0], n, p=[better, 0.2 - better, 0.8])
        found += statistics.sign_flip(differences, np.arange(n).astype(str), flips=399) <= 0.05
    assert found / 200 == pytest.approx(0.8, abs=0.09)


def test_design_effect_of_copies_is_their_number():
    differences = np.random.default_rng(1).choice([-1.0, 0, 1], 300)
    groups = np.arange(300).astype(str)
    assert statistics.design_effect(differences, groups) == pytest.approx(1.0)
    assert statistics.design_effect(np.repeat(differences, 3), np.repeat(groups, 3)) == pytest.approx(3.0)


def test_everything_repeats_with_its_seed():
    a, groups = scores(seed=1)
    b, _ = scores(seed=2)
    assert interval(a - b, groups, seed=9) == interval(a - b, groups, seed=9)
    assert statistics.sign_flip(a - b, groups, seed=9) == statistics.sign_flip(a - b, groups, seed=9)
