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
