"""Picking the best variant: the winner's curse in simulation, and that the correction takes it away."""

import numpy as np
import pytest

from eutectic.analysis.selection import best

VARIANTS, CLUSTERS, PER, CORRELATION = 20, 40, 4, 0.2
GROUPS = np.repeat(np.arange(CLUSTERS), PER)


def variants(random, truth):
    """Gains `[items, variants]` about their true means, of standard deviation 1/2, correlated within clusters by 0.2."""
    cluster = np.repeat(random.normal(size=(CLUSTERS, VARIANTS)), PER, axis=0)
    own = random.normal(size=(CLUSTERS * PER, VARIANTS))
    return truth + (np.sqrt(CORRELATION) * cluster + np.sqrt(1 - CORRELATION) * own) / 2


@pytest.mark.parametrize(("spread", "curse"), [(0.0, 0.08), (0.05, 0.07), (0.5, 0.015)], ids=["all alike", "some better", "clearly apart"])
def test_the_winners_curse_is_removed(spread, curse, soak):
    random, rounds, truth = np.random.default_rng(31), 1000 if soak else 150, spread * np.linspace(-1, 1, VARIANTS)
    apparent, corrected, covered = [], [], 0
    for _ in range(rounds):
        found = best(variants(random, truth), GROUPS, draws=400)
        apparent.append(found.apparent.estimate - truth[found.index])
        corrected.append(found.corrected.estimate - truth[found.index])
        covered += found.corrected.low <= truth[found.index] <= found.corrected.high
    slack = 3 * np.std(corrected) / np.sqrt(rounds)
    assert np.mean(apparent) > curse  # eight points from nothing
    assert -0.015 - slack < np.mean(corrected) < slack
    assert covered / rounds > 0.95 - 2.6 * np.sqrt(0.05 * 0.95 / rounds)


def test_a_variant_far_above_all_others_keeps_its_mean():
    random = np.random.default_rng(4)
    found = best(variants(random, np.array([0.0] * 19 + [2.0])), GROUPS)
    assert found.index == 19
    assert found.corrected.estimate == pytest.approx(found.apparent.estimate, abs=0.01)
    assert found.corrected.low < found.apparent.low < found.apparent.high < found.corrected.high


def test_without_a_choice_there_is_nothing_to_correct():
    values = variants(np.random.default_rng(5), 0.0)[:, :1]
    assert best(values, GROUPS).corrected.estimate == pytest.approx(values.mean(), abs=0.005)


def test_where_nothing_varies_no_certainty_is_claimed():
    found = best(np.ones((40, 3)), np.arange(40))
    assert (found.corrected.estimate, found.corrected.high) == (1.0, 1.0)
    assert found.corrected.low == pytest.approx(0.05 ** (1 / 40))


def test_a_single_cluster_says_almost_nothing():
    found = best(np.array([[0.0, 1.0], [0.0, 1.0]]), ["a", "a"])
    assert found.corrected == found.apparent
    assert found.corrected.high - found.corrected.low > 0.9
