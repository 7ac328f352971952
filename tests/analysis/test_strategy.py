"""Strategies over training seeds: closed forms, coverage over items and seeds, and that fewer than three seeds say nothing."""

import numpy as np
import pytest
from example_scores import answers
from scipy import stats

from eutectic.analysis.strategy import Spread, Strategy, compare, spread

CLUSTERS, PER = 40, 4
GROUPS = np.repeat(np.arange(CLUSTERS), PER)


def strategy(gain, seeds=3, *, others=1, between=0.0, n=200, seed=0):
    """A strategy whose checkpoints are right `gain` more often than their parents, give or take `between` by seed."""
    random = np.random.default_rng(seed)
    hard = random.random(n)

    def model(name, lift):
        return answers(name, random.random(n) < np.clip(0.25 + 0.5 * hard + lift, 0, 1), groups=np.arange(n) // 2)

    names = tuple(f"parent{k}" for k in range(others))
    models = tuple(model(f"m#{s}", gain + between * random.normal()) for s in range(seeds))
    return Strategy("m", names, tuple(map(str, range(seeds))), models, tuple(tuple(model(n, 0) for n in names) for _ in range(seeds)))


def test_where_only_seeds_differ_it_is_the_t_interval_of_the_seed_means():
    means = np.array([0.02, 0.05, 0.11, 0.04])
    found = spread(np.tile(means, (CLUSTERS * PER, 1)), GROUPS)
    oracle = stats.ttest_1samp(means, 0).confidence_interval()
    assert found.bounds() == pytest.approx((oracle.low, oracle.high))
    assert 2 * found.above() == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_where_only_items_differ_the_error_is_that_of_the_clusters():
    item = np.random.default_rng(1).normal(size=CLUSTERS)
    found = spread(np.repeat(item, PER)[:, None] + np.zeros(3), GROUPS)
    assert found.error == pytest.approx(stats.sem(item))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("between", [0.0, 0.03, 0.2])
def test_the_interval_covers_items_and_seeds(seeds, between, soak):
    random, rounds = np.random.default_rng(seeds), 4000 if soak else 600
    hits = 0
    for _ in range(rounds):
        item = np.sqrt(0.2) * np.repeat(random.normal(size=CLUSTERS), PER) + np.sqrt(0.8) * random.normal(size=len(GROUPS))
        differences = 0.3 * item[:, None] + between * random.normal(size=seeds) + 0.5 * random.normal(size=(len(GROUPS), seeds))
        low, high = spread(differences, GROUPS).bounds()
        hits += low <= 0 <= high
    assert hits / rounds >= 0.95 - 2.6 * np.sqrt(0.05 * 0.95 / rounds)


def test_a_gain_with_every_seed_is_a_gain_of_the_strategy():
    ((_, found),) = compare([strategy(0.2, seeds=4)])
    assert (found.outcome, found.covers, found.names) == ("gain", "items and seeds", ("parent0",))
    assert 0 < found.low < found.difference < found.high
    assert found.p == found.p_adjusted < 0.05


def test_a_gain_that_depends_on_the_seed_is_not():
    ((_, found),) = compare([strategy(0.1, between=0.2, seed=3)])
    assert found.outcome == "none"
    assert found.detectable > 0.3


def test_fewer_than_three_seeds_say_nothing():
    assert compare([strategy(0.3, seeds=2), strategy(0.3, seeds=1)]) == []


def test_every_parent_must_be_beaten():
    both = strategy(0.2, seeds=5, others=2)
    twin = Strategy(
        both.name,
        both.against,
        both.seeds,
        both.models,
        tuple((own, other) for own, (_, other) in zip(both.models, both.others, strict=True)),
    )
    assert compare([both])[0][1].outcome == "gain"
    ((_, found),) = compare([twin])
    assert (found.outcome, found.difference) == ("none", 0)


def test_strategies_are_one_family():
    many = [strategy(0.2, seeds=4)] + [strategy(0.0, seeds=4, seed=s) for s in range(1, 9)]
    alone, together = compare(many[:1])[0][1], compare(many)[0][1]
    assert together.p_adjusted == pytest.approx(9 * alone.p)
    assert together.detectable > alone.detectable


def test_without_any_variation_no_certainty_is_claimed():
    found = Spread(0.0, 0.0, 2, 30)
    assert found.bounds()[0] < 0 < found.bounds()[1]
    assert found.above() == 0.5
