"""Patterns over the merges of a study, as in Lu, Luu and Buehler 2025 (arXiv 2409.03444), each with what chance alone would show.

A study has few models, and few points make correlations easily: the deviation from an expectation correlates with that expectation
whatever the scores are, because it holds it with a minus sign. So every correlation stands beside those of permuted scores, which share
the same terms. A permutation takes the merges as exchangeable; those of common parents are not quite, so that p is a guide and no claim.
Scores are shares.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from eutectic.analysis.statistics import holm
from eutectic.errors import InputError

Floats = NDArray[np.float64]
FEWEST_MODELS = 4  # below this many a correlation says nothing
FEWEST_SIZES = 3
SHUFFLES = 4999
SCORE, DEVIATION, IMPROVEMENT = "score", "deviation", "improvement"
EXPECTED, DIVERSITY = "expected", "diversity"


@dataclass(frozen=True)
class Merged:
    """A merge in one cell: its score, its parents' scores, and what it was made by (`features`: name -> 1 or 0)."""

    name: str
    score: float
    parents: tuple[float, ...]
    features: Mapping[str, float] = field(default_factory=dict)

    @property
    def expected(self) -> float:
        """Unweighted mean of the parents: the paper's expectation."""
        return float(np.mean(self.parents))

    @property
    def best(self) -> float:
        """The best parent."""
        return max(self.parents)

    @property
    def diversity(self) -> float:
        """|P1 - P2|, the mean over pairs of parents."""
        return float(np.mean([abs(a - b) for a, b in itertools.combinations(self.parents, 2)]))


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of two columns over `n` models; under the null r lies between `low` and `high` in 95 % of permutations, around `centre`.

    `coupled`: both columns hold the same numbers, so that r is not expected to be 0. `p` is two-sided, by distance from the centre;
    `p_adjusted` is Holm's over the correlations it was reported with.
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
    p_adjusted: float = math.nan


def correlations(merges: Sequence[Merged], *, seed: int = 0) -> list[Correlation]:
    """Score, deviation from expected and improvement over the best parent, each with expected score, diversity and features.

    Deviation and improvement hold the parents' scores, and so do expected score and diversity: those four are coupled. Columns without
    spread are left out. Raises `InputError` below `FEWEST_MODELS` merges, and where all have one score.
    """
    if len(merges) < FEWEST_MODELS:
        raise InputError(f"{len(merges)} models are too few for correlations; {FEWEST_MODELS} are needed")
    score, expected, best = (np.array([getattr(each, name) for each in merges]) for name in (SCORE, EXPECTED, "best"))
    if not np.ptp(score):
        raise InputError("all models have the same score: nothing goes with it")
    rows = ((SCORE, np.zeros(len(merges))), (DEVIATION, expected), (IMPROVEMENT, best))
    columns = {EXPECTED: expected, DIVERSITY: np.array([each.diversity for each in merges])}
    columns |= {name: np.array([each.features[name] for each in merges], float) for name in merges[0].features}
    found = [coupled(x, y, score, shared=y[0] != SCORE and x[0] in (EXPECTED, DIVERSITY), seed=seed) for y in rows for x in columns.items()]
    kept = [each for each in found if each is not None]
    return [replace(each, p_adjusted=p) for each, p in zip(kept, holm([each.p for each in kept]), strict=True)]


def coupled(x: tuple[str, Floats], y: tuple[str, Floats], actual: Floats, *, shared: bool, seed: int = 0) -> Correlation | None:
    """Correlation of `actual - y` with `x` (arrays `[n]`), against permutations of the actual scores over the models.

    Each permutation recomputes the difference, so that whatever x and y share stays shared: r is what is left beyond that. With y = 0
    this is the plain permutation test. None below `FEWEST_MODELS` models, or where a column has no spread.
    """
    names, against, minus = (x[0], y[0]), x[1], y[1]
    n = len(actual)
    if n < FEWEST_MODELS:
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
        raise InputError(
            f"{len(by_size)} model size{' is' if len(by_size) == 1 else 's are'} too few for a slope; {FEWEST_SIZES} are needed"
        )
    x, y = np.log10([*by_size]), np.array([np.mean(each) for each in by_size.values()])
    centred = x - x.mean()
    steep = float(centred @ y / (centred @ centred))
    level = float(y.mean() - steep * x.mean())
    left = float(((y - level - steep * x) ** 2).sum()) / (len(x) - 2)
    half = float(student.ppf(0.975, len(x) - 2)) * math.sqrt(left / float(centred @ centred))
    return Slope(steep, steep - half, steep + half, level, len(x))
