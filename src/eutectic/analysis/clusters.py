"""Clusters of the models of a study by expected and actual score (Lu, Luu and Buehler 2025, arXiv 2409.03444), against one normal cloud.

Two clusters are always found, also in points of one cloud; so the silhouette stands beside what the same procedure finds in clouds with
one mode. The tree of the same points says which models are near each other and claims nothing. Points are `[n, 2]`, shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage

from eutectic.errors import InputError

Floats = NDArray[np.float64]
FEWEST_POINTS = 6  # below this many models clusters are refused
CLOUDS, STARTS, ROUNDS = 499, 10, 50


@dataclass(frozen=True)
class Clusters:
    """Two clusters of points: `labels` `[n]` in {0, 1} (1 is the one with the higher actual score), `centroids` `[2, 2]` in the units of
    the points, `density` of the points at each centroid (per unit of z-score squared), mean `silhouette` and its `p`.
    """

    labels: NDArray[np.int64]
    centroids: Floats
    density: Floats
    silhouette: float
    null: float  # mean silhouette of the normal clouds
    p: float


def standardised(points: Floats) -> Floats:
    """z-scores of each column of `points` `[..., n, columns]`; a column without spread is 0."""
    spread = points.std(axis=-2, keepdims=True)
    return np.asarray((points - points.mean(axis=-2, keepdims=True)) / np.where(spread > 1e-12, spread, 1.0))


def clusters(points: Floats, *, seed: int = 0) -> Clusters:
    """K-means with two clusters on the z-scores of `points` `[n, 2]` (expected, actual).

    The silhouette (Rousseeuw 1987) is compared with those of the same procedure on `CLOUDS` normal clouds of n points with the mean and
    covariance of the points, which have one mode: p is the share of clouds, the points counted in, that fall apart as well or better.
    Raises `InputError` below `FEWEST_POINTS` points, and where all have one score.
    """
    refuse_few(points)
    random = np.random.default_rng(seed)
    z = standardised(points)
    if not z.any():
        raise InputError("all models have the same score: there are no clusters")
    labels = two_means(z[None], random)[0]
    if points[labels == 0, 1].mean() > points[labels == 1, 1].mean():
        labels = 1 - labels
    found = silhouette(z, labels)
    # An eigenvalue that rounding leaves below zero is no reason to warn: the cloud is then a line.
    clouds = standardised(random.multivariate_normal(np.zeros(2), np.cov(z.T), (CLOUDS, len(z)), check_valid="ignore"))
    null = np.array([silhouette(*each) for each in zip(clouds, two_means(clouds, random), strict=True)])
    middles = np.array([z[labels == which].mean(axis=0) for which in (0, 1)])
    return Clusters(
        labels,
        np.array([points[labels == which].mean(axis=0) for which in (0, 1)]),
        density(z, middles),
        found,
        float(null.mean()),
        float((1 + (null >= found - 1e-12).sum()) / (1 + CLOUDS)),
    )


def two_means(clouds: Floats, random: np.random.Generator) -> NDArray[np.int64]:
    """Labels `[clouds, n]` of the best of `STARTS` runs of Lloyd's algorithm on each of `clouds` `[clouds, n, columns]`.

    A run starts from two points, the second drawn by its squared distance from the first (k-means++, Arthur and Vassilvitskii 2007), so
    that they differ. All clouds are run at once.
    """
    count, n, _ = clouds.shape
    best, labels = np.full(count, np.inf), np.zeros((count, n), np.int64)
    for _ in range(STARTS):
        middles = _start(clouds, random)
        for _ in range(ROUNDS):
            near = _nearest(clouds, middles)
            moved = np.stack([_middle(clouds, near == which, middles[:, which]) for which in (0, 1)], axis=1)
            if np.array_equal(moved, middles):
                break
            middles = moved
        near = _nearest(clouds, middles)
        spread = np.take_along_axis(_squares(clouds, middles), near[:, :, None], axis=2)[:, :, 0].sum(axis=1)
        better = spread < best - 1e-12
        best, labels = np.where(better, spread, best), np.where(better[:, None], near, labels)
    return labels


def _start(clouds: Floats, random: np.random.Generator) -> Floats:
    """Two points of each cloud `[clouds, 2, columns]`."""
    count, n, _ = clouds.shape
    first = clouds[np.arange(count), random.integers(0, n, count)]
    mass = np.cumsum(np.sum((clouds - first[:, None]) ** 2, axis=-1), axis=1)
    second = (mass > random.random((count, 1)) * mass[:, -1:]).argmax(axis=1)
    return np.stack([first, clouds[np.arange(count), second]], axis=1)


def _squares(clouds: Floats, middles: Floats) -> Floats:
    """Squared distances `[clouds, n, 2]` of points to both middles `[clouds, 2, columns]`."""
    return np.asarray(((clouds[:, :, None] - middles[:, None]) ** 2).sum(axis=-1))


def _nearest(clouds: Floats, middles: Floats) -> NDArray[np.int64]:
    return np.asarray(_squares(clouds, middles).argmin(axis=2), np.int64)


def _middle(clouds: Floats, mask: NDArray[np.bool_], before: Floats) -> Floats:
    """Mean of the masked points of each cloud; where there are none the middle stays."""
    counts = mask.sum(axis=1)[:, None]
    return np.asarray(np.where(counts > 0, (clouds * mask[:, :, None]).sum(axis=1) / np.maximum(counts, 1), before))


def silhouette(points: Floats, labels: NDArray[np.int64]) -> float:
    """Mean of (b - a) / max(a, b) over points `[n, columns]` in two clusters (Rousseeuw 1987).

    a and b are a point's mean distances to the others of its cluster and to the other cluster; 0 for a point alone in its cluster.
    """
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1))
    same = labels[:, None] == labels[None]
    own, other = same.sum(axis=1) - 1, (~same).sum(axis=1)
    if not other.all():
        return 0.0
    a = (distances * same).sum(axis=1) / np.maximum(own, 1)
    b = (distances * ~same).sum(axis=1) / other
    widest = np.maximum(a, b)
    return float(np.where((own > 0) & (widest > 0), (b - a) / np.where(widest > 0, widest, 1.0), 0.0).mean())


def density(points: Floats, at: Floats) -> Floats:
    """Gaussian kernel density of `points` `[n, 2]` (z-scores) at the places `at` `[m, 2]`; bandwidth n^(-1/6) (Scott 1992, eq. 6.42)."""
    width = len(points) ** (-1 / 6)
    squares = ((at[:, None] - points[None]) ** 2).sum(axis=-1)
    return np.asarray(np.exp(-squares / (2 * width**2)).mean(axis=1) / (2 * math.pi * width**2))


@dataclass(frozen=True)
class Tree:
    """A dendrogram of n points: their order along the axis, and its n - 1 brackets. Point k of `leaves` stands at place k; a bracket is
    four corners, `places` `[n - 1, 4]` along the axis and `heights` `[n - 1, 4]` in Ward's distance.
    """

    leaves: tuple[int, ...]
    places: Floats
    heights: Floats


def tree(points: Floats) -> Tree:
    """Ward's agglomeration (Ward 1963) of the z-scores of `points` `[n, 2]`; raises `InputError` below `FEWEST_POINTS`."""
    refuse_few(points)
    joined = linkage(standardised(points), "ward")
    drawn = dendrogram(joined, no_plot=True)
    places = (np.array(drawn["icoord"]) - 5) / 10  # scipy sets leaves at 5, 15, 25, ...
    return Tree(tuple(map(int, leaves_list(joined))), places, np.array(drawn["dcoord"]))


def refuse_few(points: Floats) -> None:
    """Raise `InputError` where there are too few points to speak of groups."""
    if len(points) < FEWEST_POINTS:
        raise InputError(f"{len(points)} models are too few for clusters; {FEWEST_POINTS} are needed")
