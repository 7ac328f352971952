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
from scipy.special import ndtr, ndtri
from scipy.stats import binom

Floats = NDArray[np.float64]
Groups = NDArray[Any] | Sequence[str]
Alternative = Literal["two-sided", "greater", "less"]
Covers = Literal["items", "seeds", "items and seeds"]

LEVEL, DRAWS, FLIPS, POWER = 0.95, 2000, 9999, 0.8
SAME = 1e-12  # means of shares nearer than this are one value
EXACT_CLUSTERS = 13  # up to this many clusters all 2^k sign patterns are counted instead of drawn


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval at `level`, from `n` items in `clusters` clusters.

    `covers` says what was drawn from a larger whole: other items of the kind, other training seeds, or both.
    """

    estimate: float
    low: float
    high: float
    n: int
    clusters: int
    level: float = LEVEL
    covers: Covers = "items"


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
    weights = drawn_clusters(len(sizes), draws, seed)
    return np.asarray((weights @ sums) / (weights @ sizes)[:, None])


def drawn_clusters(clusters: int, draws: int, seed: int) -> Floats:
    """How often each draw with replacement takes each cluster: `[draws, clusters]`."""
    drawn = np.random.default_rng(seed).integers(0, clusters, (draws, clusters)) + clusters * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(float)


def mean_intervals(values: Floats, groups: Groups, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0) -> list[Interval]:
    """BCa cluster-bootstrap intervals of the mean of each column of `values` `[items, columns]` (Efron 1987, JASA 82, 171).

    The bounds are quantiles Phi(z0 + (z0 + z) / (1 - a (z0 + z))) of the replicates: z0 corrects for the median bias of the replicates,
    the acceleration a, a jackknife over clusters, for a spread that changes with the mean.
    Where resampling cannot move the estimate (all right, all wrong, no difference, a single cluster) the bootstrap says nothing and
    would claim certainty; there the interval comes from a binomial bound with one trial a cluster, see `constant_interval`.
    """
    values = np.asarray(values, float)
    sums, sizes = cluster_sums(values, groups)
    replicates = bootstrap_means(values, groups, draws=draws, seed=seed)
    shares = _bca_shares(values.mean(axis=0), replicates, _left_out(sums, sizes), level)
    found = []
    for column, drawn, share in zip(values.T, replicates.T, shares.T, strict=True):
        mean = float(column.mean())
        if drawn.max() - drawn.min() < SAME:
            low, high = constant_interval(mean, len(sizes), level=level)
        else:
            low, high = np.quantile(drawn, share)
        found.append(Interval(mean, float(low), float(high), len(column), len(sizes), level))
    return found


def _left_out(sums: Floats, sizes: Floats) -> Floats:
    """The means without one cluster each: `[clusters, columns]`; of a single cluster, its own mean."""
    rest = sizes.sum() - sizes
    return np.asarray((sums.sum(axis=0) - (sums if len(sizes) > 1 else 0)) / np.where(rest > 0, rest, sizes)[:, None])


def _bca_shares(estimates: Floats, replicates: Floats, left_out: Floats, level: float) -> Floats:
    """Which quantiles of the replicates are the bounds: `[2, columns]`. Replicates equal to the estimate count as half below."""
    draws = len(replicates)
    below = ((replicates < estimates - SAME).mean(axis=0) + (replicates <= estimates + SAME).mean(axis=0)) / 2
    bias = ndtri(np.clip(below, 0.5 / draws, 1 - 0.5 / draws))
    apart = left_out.mean(axis=0) - left_out
    squares = (apart**2).sum(axis=0)
    acceleration = (apart**3).sum(axis=0) / (6 * np.where(squares > SAME**2, squares, 1.0) ** 1.5)
    shifted = bias + ndtri([[(1 - level) / 2], [(1 + level) / 2]])
    return np.asarray(ndtr(bias + shifted / (1 - acceleration * shifted)))


def constant_interval(mean: float, clusters: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a mean that does not vary over clusters: mean +- (1 - (1 - level)^(1/clusters)), kept within [-1, 1].

    The half-width is the exact upper bound of the rate of an event never seen in `clusters` trials (about 3/clusters at 95 %).
    """
    half = 1 - (1 - level) ** (1 / clusters)
    return max(mean - half, -1.0), min(mean + half, 1.0)


def share_intervals(
    scores: Floats, groups: Groups, *, binomial: bool = False, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> list[Interval]:
    """Intervals, within [0, 1], of the mean of each column of `scores` `[items, columns]` that lie in [0, 1].

    By cluster bootstrap; by Wilson's formula where `binomial` says that every score is one right or wrong answer and every item its own
    cluster (`table.Aligned.binomial`).
    """
    if binomial:
        n = len(scores)
        bounds = [wilson(float(column.sum()), n, level=level) for column in scores.T]
        return [Interval(float(column.mean()), *pair, n, n, level) for column, pair in zip(scores.T, bounds, strict=True)]
    found = mean_intervals(scores, groups, level=level, draws=draws, seed=seed)
    return [Interval(one.estimate, max(one.low, 0.0), min(one.high, 1.0), one.n, one.clusters, level) for one in found]


def sign_flip(differences: Floats, groups: Groups, *, alternative: Alternative = "two-sided", flips: int = FLIPS, seed: int = 0) -> float:
    """p-value of mean(differences) = 0 by flipping the signs of whole clusters.

    Under the null a cluster's sum is as likely +s as -s. Exact over all patterns up to `EXACT_CLUSTERS` clusters that differ at all,
    else (1 + hits) / (1 + flips) over random patterns, which never is below its nominal level (Phipson and Smyth 2010, eq. 2).
    """
    sums = cluster_sums(np.asarray(differences, float)[:, None], groups)[0][:, 0]
    sums = sums[np.abs(sums) > 1e-12]
    if len(sums) == 0:
        return 1.0
    patterns, exact = sign_patterns(len(sums), flips=flips, seed=seed)
    # float32 keeps the product in the vector units
    flipped = 2.0 * (patterns.astype(np.float32) @ sums.astype(np.float32)).astype(np.float64) - sums.sum()
    observed, slack = float(sums.sum()), 1e-6 * float(np.abs(sums).sum())  # sums of shares tie up to rounding in float32
    if alternative == "two-sided":
        hits = int((np.abs(flipped) >= abs(observed) - slack).sum())
    elif alternative == "greater":
        hits = int((flipped >= observed - slack).sum())
    else:
        hits = int((flipped <= observed + slack).sum())
    return hits / len(flipped) if exact else (1 + hits) / (1 + flips)


def sign_patterns(clusters: int, *, flips: int = FLIPS, seed: int = 0) -> tuple[NDArray[np.uint8], bool]:
    """Patterns of signs `[patterns, clusters]`, 1 for plus and 0 for minus, and whether they are all 2^clusters there are."""
    if clusters <= EXACT_CLUSTERS:
        return ((np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1).astype(np.uint8), True
    raw = np.random.default_rng(seed).integers(0, 256, (flips, (clusters + 7) // 8), dtype=np.uint8)
    return np.unpackbits(raw, axis=1, count=clusters), False


def mcnemar(a: Floats, b: Floats) -> float:
    """Exact two-sided McNemar p-value of 0/1 scores `[items]`: binomial test on the discordant items (McNemar 1947).

    Holds only where every item is its own cluster.
    """
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
