"""Patterns over the models of a study, as in Lu, Luu and Buehler 2025 (arXiv 2409.03444), each with what chance alone would show.

A study has few models, and few points make clusters and correlations easily: two clusters are always found in twenty points, and the
deviation from an expectation correlates with that expectation whatever the scores are, because it holds it with a minus sign. So every
pattern comes with its null: a normal cloud for clusters, permuted scores for correlations. Scores are shares; tables are small arrays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from eutectic.errors import InputError

Floats = NDArray[np.float64]
FEWEST_POINTS = 6  # below this many models clusters are refused
FEWEST_PAIRS = 4  # below this many a correlation says nothing
FEWEST_SIZES = 3
CLOUDS, SHUFFLES, STARTS, ROUNDS = 499, 4999, 10, 50


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
    if len(points) < FEWEST_POINTS:
        raise InputError(f"{len(points)} models are too few for clusters; {FEWEST_POINTS} are needed")
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
    mass = np.cumsum(((clouds - first[:, None]) ** 2).sum(axis=-1), axis=1)
    second = (mass > random.random(count)[:, None] * mass[:, -1:]).argmax(axis=1)
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
class Correlation:
    """Pearson's r of two columns over `n` models; under the null r lies between `low` and `high` in 95 % of permutations, around `centre`.

    `coupled`: both columns hold the same numbers, so that r is not expected to be 0. `p` is two-sided, by distance from the centre.
    """

    x: str
    y: str
    n: int
    r: float
    centre: float
    low: float
    high: float
    p: float
    coupled: bool


def coupled(x: tuple[str, Floats], y: tuple[str, Floats], actual: Floats, *, shared: bool, seed: int = 0) -> Correlation | None:
    """Correlation of `actual - y` with `x` (arrays `[n]`), against permutations of the actual scores over the models.

    Each permutation recomputes the difference, so that whatever x and y share stays shared: r is what is left beyond that. With y = 0
    this is the plain permutation test. None below `FEWEST_PAIRS` models, or where a column has no spread.
    """
    names, against, minus = (x[0], y[0]), x[1], y[1]
    n = len(actual)
    if n < FEWEST_PAIRS:
        return None
    random = np.random.default_rng(seed)
    orders = np.concatenate([np.arange(n)[None], random.random((SHUFFLES, n)).argsort(axis=1)])
    found = _pearson(actual[orders] - minus, against)
    if not np.isfinite(found).all():
        return None
    centre = float(found[1:].mean())
    low, high = np.quantile(found[1:], [0.025, 0.975])
    p = float((np.abs(found - centre) >= abs(found[0] - centre) - 1e-12).sum() / len(found))
    return Correlation(*names, n, float(found[0]), centre, float(low), float(high), p, shared)


def _pearson(rows: Floats, column: Floats) -> Floats:
    """Correlation r of each of `rows` `[k, n]` with `column` `[n]`; NaN where one has no spread."""
    a, b = rows - rows.mean(axis=1, keepdims=True), column - column.mean()
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum())
    return np.asarray(np.where(scale > 1e-12, a @ b / np.where(scale > 1e-12, scale, 1.0), np.nan))


def correlations(columns: Mapping[str, Sequence[float]]) -> tuple[Floats, NDArray[np.int64]]:
    """Pearson's r of every two columns and the number of models each is over, both `[columns, columns]`.

    A value that a model does not have is NaN and leaves it out of that column's pairs. NaN below `FEWEST_PAIRS` models or without spread.
    """
    table = np.array([*columns.values()], float)
    size = len(table)
    r, n = np.full((size, size), np.nan), np.zeros((size, size), np.int64)
    for i, j in itertools.product(range(size), repeat=2):
        known = np.isfinite(table[i]) & np.isfinite(table[j])
        n[i, j] = known.sum()
        if n[i, j] >= FEWEST_PAIRS:
            r[i, j] = _pearson(table[i, known][None], table[j, known])[0]
    return r, n


@dataclass(frozen=True)
class Slope:
    """Gain by a factor of ten in size, as a share, with its 95 % interval, over `sizes` sizes; `level` is the gain at 10^0 parameters."""

    estimate: float
    low: float
    high: float
    level: float
    sizes: int


def slope(parameters: Sequence[float], gains: Sequence[float]) -> Slope:
    """Least squares of the mean gain at each size on log10(parameters), with Student's interval on (sizes - 2) degrees of freedom.

    Models of one size share their start and their data, so that each size is one observation. Raises `InputError` below `FEWEST_SIZES`.
    """
    by_size: dict[float, list[float]] = {}
    for size, gain in zip(parameters, gains, strict=True):
        by_size.setdefault(size, []).append(gain)
    if len(by_size) < FEWEST_SIZES:
        raise InputError(f"{len(by_size)} model sizes are too few for a slope; {FEWEST_SIZES} are needed")
    x, y = np.log10([*by_size]), np.array([np.mean(each) for each in by_size.values()])
    centred = x - x.mean()
    steep = float(centred @ y / (centred @ centred))
    level = float(y.mean() - steep * x.mean())
    left = float(((y - level - steep * x) ** 2).sum()) / (len(x) - 2)
    half = float(student.ppf(0.975, len(x) - 2)) * math.sqrt(left / float(centred @ centred))
    return Slope(steep, steep - half, steep + half, level, len(x))
