"""Many claims "above every parent" tested as one family: max-T over sign flips of whole clusters, step-down.

A claim has one column of cluster sums D_c a parent (the merge minus that parent). The studentised sum t = sum D_c / sqrt(sum D_c^2) has
a denominator that no flip changes. The statistic of a claim is the smallest t over its parents: it is large only where the merge is
above every one (intersection-union, Berger 1982).

What it is held against is the largest flipped t over all claims and all parents, not the largest of the flipped minima. A flip centres
every column, so it plays the case in which the merge ties with all its parents; where it ties with one and is far above the others the
minimum is the t of that one alone, and the maximum of flipped minima would be too small. With K the false claims and p(h) a parent that
h does not beat, max over K of min t <= max over K of t_{h,p(h)}, whose flips the maximum over all columns bounds: valid whichever
parents tie, conservative where all do. "Below at least one parent" has the largest -t as statistic and, flips being symmetric, the
same reference. (Westfall and Young 1993; step-down: Romano and Wolf 2005, JASA 100, 94.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from eutectic.analysis.statistics import FLIPS, SAME, Floats, sign_patterns

BLOCK = 1024  # patterns multiplied at a time
SLACK = 5e-5  # a flipped t this little below the observed one ties with it: products are in float32


@dataclass(frozen=True)
class Tested:
    """A claim's statistic, and its two-sided p-values: taken alone, and as one of its family."""

    statistic: float
    p: float
    p_adjusted: float


@dataclass(frozen=True)
class Family:
    """Claims in the order given. `critical` is the t that a claim must reach while none is shown yet (infinite where none could), and
    `level` the two-sided level that a single normal test at that value would have.
    """

    claims: tuple[Tested, ...]
    critical: float

    @property
    def level(self) -> float:
        """Two-sided level of a single test at the critical value."""
        return float(2 * ndtr(-self.critical))


def max_t(sums: Sequence[Floats], *, flips: int = FLIPS, alpha: float = 0.05, seed: int = 0) -> Family:
    """Test claims with cluster sums `[clusters, parents of the claim]`, all over the same clusters (zero where a claim has none of one).

    Two-sided p = min(1, 2 min(p_gain, p_loss)). The same flips serve all claims, so what they share is accounted for and a claim made
    twice costs nothing.
    """
    if not sums:
        return Family((), 0.0)
    table = np.concatenate([np.asarray(each, float) for each in sums], axis=1)
    starts = np.cumsum([0, *(each.shape[1] for each in sums[:-1])], dtype=np.int64)
    norms = np.sqrt((table**2).sum(axis=0))
    units = table / np.where(norms > SAME, norms, 1.0)
    units = np.where(norms > SAME, units, 0.0)
    units = units[np.abs(units).max(axis=1) > 0]
    gains, losses, exact = _maxima(units, starts, flips, seed)
    observed = units.sum(axis=0)
    gain = np.minimum.reduceat(observed, starts)
    loss = np.maximum.reduceat(-observed, starts)
    alone, adjusted = (np.minimum(1.0, 2 * np.minimum(p(gain, gains, exact), p(loss, losses, exact))) for p in (_alone, _step_down))
    claims = tuple(Tested(float(t), float(p), float(q)) for t, p, q in zip(gain, alone, np.maximum(alone, adjusted), strict=True))
    return Family(claims, _critical(gains.max(axis=1), alpha / 2, exact))


def _maxima(units: Floats, starts: NDArray[np.int64], flips: int, seed: int) -> tuple[Floats, Floats, bool]:
    """The largest flipped t and -t of each claim: two of `[patterns, claims]`."""
    patterns, exact = sign_patterns(len(units), flips=flips, seed=seed)
    narrow, total = units.astype(np.float32), units.sum(axis=0).astype(np.float32)
    gains, losses = [], []
    for start in range(0, len(patterns), BLOCK):
        flipped = 2 * (patterns[start : start + BLOCK].astype(np.float32) @ narrow) - total
        gains.append(np.maximum.reduceat(flipped, starts, axis=1))
        losses.append(-np.minimum.reduceat(flipped, starts, axis=1))
    return np.concatenate(gains), np.concatenate(losses), exact


def _share(hits: Floats, patterns: int, exact: bool) -> Floats:
    """p-values of so many patterns as extreme; random ones count the observed one too (Phipson and Smyth 2010, eq. 2)."""
    return np.asarray(hits / patterns if exact else (1 + hits) / (1 + patterns))


def _alone(observed: Floats, maxima: Floats, exact: bool) -> Floats:
    """One-sided p of each claim against its own parents only."""
    return _share((maxima >= observed - SLACK).sum(axis=0), len(maxima), exact)


def _step_down(observed: Floats, maxima: Floats, exact: bool) -> Floats:
    """One-sided p of each claim against the claims not yet shown, largest statistic first."""
    order = np.argsort(-observed, kind="stable")
    remaining = np.maximum.accumulate(maxima[:, order[::-1]], axis=1)[:, ::-1]
    p = _share((remaining >= observed[order] - SLACK).sum(axis=0), len(maxima), exact)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(p)
    return adjusted


def _critical(maxima: Floats, alpha: float, exact: bool) -> float:
    """The value a statistic must exceed for p <= alpha, one-sided; infinite where there are too few patterns for that."""
    allowed = int(alpha * len(maxima) + 1e-9) if exact else int(alpha * (1 + len(maxima)) + 1e-9) - 1
    if allowed < (1 if exact else 0):
        return float("inf")
    return float(np.sort(maxima)[::-1][allowed])
