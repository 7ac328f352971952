"""Statistics of item scores: pure functions on numpy arrays, deterministic with a seed.

The unit is the item, the cluster is what was written together (`Item.group`: a source document or a parent class): items of one
cluster are not independent (Miller 2024, arXiv 2411.00640, section 2.2), so resampling and sign flips act on whole clusters.
Differences and accuracies are shares (0.05 is 5 points); callers turn them into points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import binom

Floats = NDArray[np.float64]
Groups = NDArray[Any] | Sequence[str]
Alternative = Literal["two-sided", "greater", "less"]

LEVEL, DRAWS, FLIPS, POWER = 0.95, 2000, 9999, 0.8
EXACT_CLUSTERS = 13  # up to this many clusters all 2^k sign patterns are counted instead of drawn


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval at `level`, from `n` items in `clusters` clusters."""

    estimate: float
    low: float
    high: float
    n: int
    clusters: int
    level: float = LEVEL


def cluster_sums(values: Floats, groups: Groups) -> tuple[Floats, Floats]:
    """Sums over clusters `[clusters, columns]` of `values` `[items, columns]`, and the cluster sizes `[clusters]`."""
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, codes, values)
    return sums, np.bincount(codes, minlength=len(names)).astype(float)


def bootstrap_means(values: Floats, groups: Groups, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Cluster bootstrap of the item mean of each column: `[draws, columns]`.

    Clusters are drawn with replacement, and the mean is the ratio (sum of drawn scores) / (drawn items), so unequal clusters weigh by
    their items. Columns share the draws: differences between columns are paired (Cameron, Gelbach, Miller 2008, section 2).
    """
    sums, sizes = cluster_sums(values, groups)
    clusters = len(sizes)
    drawn = np.random.default_rng(seed).integers(0, clusters, (draws, clusters)) + clusters * np.arange(draws)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(float)
    return np.asarray((weights @ sums) / (weights @ sizes)[:, None])


def mean_intervals(values: Floats, groups: Groups, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0) -> list[Interval]:
    """Percentile cluster-bootstrap intervals of the mean of each column of `values` `[items, columns]`.

    Where resampling cannot move the estimate (all right, all wrong, no difference, a single cluster) the bootstrap says nothing and
    would claim certainty; there the interval comes from a binomial bound with one trial a cluster, see `constant_interval`.
    """
    clusters = len(np.unique(np.asarray(groups)))
    replicates = bootstrap_means(values, groups, draws=draws, seed=seed)
    lows, highs = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
    found = []
    for column, low, high in zip(values.T, lows, highs, strict=True):
        mean = float(column.mean())
        if high - low < 1e-12:
            low, high = constant_interval(mean, clusters, level=level)  # noqa: PLW2901
        found.append(Interval(mean, float(low), float(high), len(column), clusters, level))
    return found


def constant_interval(mean: float, clusters: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a mean that does not vary over clusters: mean +- (1 - (1 - level)^(1/clusters)), kept within [-1, 1].

    The half-width is the exact upper bound of the rate of an event never seen in `clusters` trials (about 3/clusters at 95 %).
    """
    half = 1 - (1 - level) ** (1 / clusters)
    return max(mean - half, -1.0), min(mean + half, 1.0)


def accuracy(correct: Floats, groups: Groups, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Accuracy of 0/1 scores `[items]` with its cluster-bootstrap interval, within [0, 1]."""
    found = mean_intervals(np.asarray(correct, float)[:, None], groups, level=level, draws=draws, seed=seed)[0]
    return Interval(found.estimate, max(found.low, 0.0), min(found.high, 1.0), found.n, found.clusters, level)


def paired_difference(a: Floats, b: Floats, groups: Groups, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Mean of a - b over items `[items]` with its cluster-bootstrap interval."""
    return mean_intervals((np.asarray(a, float) - np.asarray(b, float))[:, None], groups, level=level, draws=draws, seed=seed)[0]


def sign_flip(differences: Floats, groups: Groups, *, alternative: Alternative = "two-sided", flips: int = FLIPS, seed: int = 0) -> float:
    """p-value of mean(differences) = 0 by flipping the signs of whole clusters.

    Under the null a cluster's sum is as likely +s as -s. Exact over all patterns up to `EXACT_CLUSTERS` clusters that differ at all,
    else (1 + hits) / (1 + flips) over random patterns, which never is below its nominal level (Phipson and Smyth 2010, eq. 2).
    """
    sums = cluster_sums(np.asarray(differences, float)[:, None], groups)[0][:, 0]
    sums = sums[np.abs(sums) > 1e-12]
    if len(sums) == 0:
        return 1.0
    exact = len(sums) <= EXACT_CLUSTERS
    flipped = _every_flip(sums) if exact else _random_flips(sums, flips, seed)
    observed, slack = float(sums.sum()), 1e-6 * float(np.abs(sums).sum())  # sums of shares tie up to rounding in float32
    if alternative == "two-sided":
        hits = int((np.abs(flipped) >= abs(observed) - slack).sum())
    elif alternative == "greater":
        hits = int((flipped >= observed - slack).sum())
    else:
        hits = int((flipped <= observed + slack).sum())
    return hits / len(flipped) if exact else (1 + hits) / (1 + flips)


def _every_flip(sums: Floats) -> Floats:
    """The total under each of the 2^k sign patterns: `[2^k]`."""
    patterns = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1
    return np.asarray(2.0 * (patterns @ sums) - sums.sum())


def _random_flips(sums: Floats, flips: int, seed: int) -> Floats:
    """The total under random sign patterns: `[flips]`. One random bit a sign; float32 keeps the product in the vector units."""
    raw = np.random.default_rng(seed).integers(0, 256, (flips, (len(sums) + 7) // 8), dtype=np.uint8)
    patterns = np.unpackbits(raw, axis=1, count=len(sums)).astype(np.float32)
    return np.asarray(2.0 * (patterns @ sums.astype(np.float32)).astype(np.float64) - sums.sum())


def mcnemar(a: Floats, b: Floats) -> float:
    """Exact two-sided McNemar p-value of 0/1 scores `[items]`: binomial test on the discordant items. Ignores clusters: for reference."""
    only_a, only_b = int(((a > 0.5) & (b < 0.5)).sum()), int(((a < 0.5) & (b > 0.5)).sum())
    return min(1.0, 2 * float(binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))) if only_a + only_b else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979): strong control of the family-wise error."""
    order = np.argsort(p_values, kind="stable")
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def wilson(successes: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a binomial share: for binary scores with one item a cluster (Wilson 1927)."""
    if n <= 0:
        return 0.0, 1.0
    z, share = float(ndtri((1 + level) / 2)), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def design_effect(differences: Floats, groups: Groups) -> float:
    """How many times the clustering inflates the variance of the mean, at least 1 (Kish 1965): cluster-robust / independent."""
    values = np.asarray(differences, float)
    centred = values - values.mean()
    independent = float((centred**2).sum())
    if independent < 1e-12:
        return 1.0
    return max(1.0, float((cluster_sums(centred[:, None], groups)[0] ** 2).sum()) / independent)


def detectable(discordance: float, n: int, *, alpha: float = 0.05, power: float = POWER, inflation: float = 1.0) -> float:
    """Smallest paired difference seen with probability `power` at two-sided level `alpha`, as a share.

    (z_{1-alpha/2} + z_power) sqrt(discordance * inflation / n), where `discordance` is the mean squared item difference (for 0/1 scores
    the share of items on which the two differ); it is taken as at least 1/n, since none seen does not mean none possible.
    """
    if n == 0:
        return 1.0
    spread = max(discordance, 1 / n) * inflation / n
    return min(1.0, (float(ndtri(1 - alpha / 2)) + float(ndtri(power))) * math.sqrt(spread))


def ensemble(log_likelihoods: Sequence[Sequence[Sequence[float]]], tokens: Sequence[Sequence[Sequence[int]]]) -> NDArray[np.int64]:
    """Choice `[items]` of the probability ensemble of models: argmax over options of the models' mean option probability.

    Inputs are `[model][item][option]`, in nats and tokens. A model's option probabilities are the softmax over options of its mean
    log-likelihood a token, the quantity each model alone is ranked by, so the ensemble of one model is that model. Ties: first option.
    """
    total: Floats | float = 0.0
    for rows, counts in zip(log_likelihoods, tokens, strict=True):
        scores = _padded(rows) / np.maximum(_padded(counts, fill=1.0), 1.0)
        scores -= scores.max(axis=1, keepdims=True)
        odds = np.exp(scores)
        total = total + odds / odds.sum(axis=1, keepdims=True)
    return np.asarray(np.argmax(total, axis=1), np.int64)


def _padded(rows: Sequence[Sequence[float]], fill: float = -np.inf) -> Floats:
    """Rows of unequal length as one array `[rows, longest]`."""
    table = np.full((len(rows), max(map(len, rows), default=1)), fill)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table
