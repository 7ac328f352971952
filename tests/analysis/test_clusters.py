"""Clusters against one normal cloud; the tree of the same points."""

import itertools

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from eutectic.analysis import clusters
from eutectic.errors import InputError


def cloud(n=20, seed=0, apart=0.0):
    random = np.random.default_rng(seed)
    points = random.normal(0.5, 0.02, (n, 2))
    points[n // 2 :] += apart
    return points


def test_two_clouds_are_told_from_one():
    two, one = clusters.clusters(cloud(apart=0.3)), clusters.clusters(cloud())
    assert two.p == 1 / (1 + clusters.CLOUDS)
    assert two.labels.tolist() == [0] * 10 + [1] * 10
    assert two.centroids == pytest.approx(np.array([[0.5, 0.5], [0.8, 0.8]]), abs=0.02)
    assert two.silhouette > 0.8 > one.silhouette
    assert one.p > 0.05


def test_one_cloud_is_seldom_called_two(monkeypatch):
    monkeypatch.setattr(clusters, "CLOUDS", 39)
    random = np.random.default_rng(4)
    stretched = random.multivariate_normal([0.5, 0.6], [[1e-3, 8e-4], [8e-4, 1e-3]], (60, 12))
    assert np.mean([clusters.clusters(points, seed=run).p <= 0.05 for run, points in enumerate(stretched)]) <= 0.1


def test_scores_of_few_items_fall_on_few_values_and_are_not_called_two(monkeypatch):
    monkeypatch.setattr(clusters, "CLOUDS", 39)
    random = np.random.default_rng(9)
    coarse = np.round(random.normal(0.5, 0.12, (80, 10, 2)) * 8) / 8
    assert np.mean([clusters.clusters(points, seed=run).p <= 0.05 for run, points in enumerate(coarse)]) <= 0.1


def test_two_means_finds_the_best_of_all_divisions():
    random = np.random.default_rng(2)
    points = random.normal(size=(9, 2))

    def spread(labels):
        return sum(((points[labels == k] - points[labels == k].mean(axis=0)) ** 2).sum() for k in (0, 1) if (labels == k).any())

    best = min(spread(np.array(labels)) for labels in itertools.product((0, 1), repeat=9))
    assert spread(clusters.two_means(points[None], random)[0]) == pytest.approx(best)


def test_silhouette_by_hand():
    points = np.array([[0.0, 0], [1, 0], [10, 0]])
    assert clusters.silhouette(points, np.array([0, 0, 1])) == pytest.approx(((10 - 1) / 10 + (9 - 1) / 9 + 0) / 3)
    assert clusters.silhouette(points, np.array([0, 0, 0])) == 0


def test_density_is_scipys_where_the_spread_is_round():
    points = clusters.standardised(np.random.default_rng(1).normal(size=(4000, 2)))
    places = np.array([[0.0, 0.0], [1.0, -0.5]])
    assert clusters.density(points, places) == pytest.approx(gaussian_kde(points.T)(places.T), rel=0.03)


def test_few_or_equal_models_are_refused():
    with pytest.raises(InputError, match="5 models are too few for clusters; 6 are needed"):
        clusters.clusters(cloud(5))
    with pytest.raises(InputError, match="same score"):
        clusters.clusters(np.full((8, 2), 0.5))
    assert clusters.clusters(np.array([[0.1, 0.2]] * 7 + [[0.5, 0.6]])).labels.tolist() == [0] * 7 + [1]


def test_the_tree_joins_the_nearest_first_and_the_two_clouds_last():
    points = cloud(8, apart=0.3)
    found = clusters.tree(points)
    assert sorted(found.leaves) == list(range(8))
    assert {frozenset(found.leaves[:4]), frozenset(found.leaves[4:])} == {frozenset(range(4)), frozenset(range(4, 8))}
    z = clusters.standardised(points)
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(z, 2))
    assert found.heights.max(axis=1).min() == pytest.approx(nearest)
    assert (found.places.min(), found.places.max()) == (0, 7)
    with pytest.raises(InputError, match="too few"):
        clusters.tree(points[:5])
