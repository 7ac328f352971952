"""The best of several variants, where picking and reporting share the items: what it is worth once the picking is paid for.

The better way is to pick on dev and report on test, which the split by source keeps apart; then nothing needs correcting. Without dev
items the mean of the best variant is the mean of a maximum: it is too high by what the items happened to favour (the winner's curse).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eutectic.analysis.statistics import DRAWS, LEVEL, SAME, Floats, Groups, Interval, cluster_sums, drawn_clusters, mean_intervals


@dataclass(frozen=True)
class Picked:
    """The variant with the highest mean; that mean as it looks, and corrected for having been the highest."""

    index: int
    apparent: Interval
    corrected: Interval


def best(values: Floats, groups: Groups, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0) -> Picked:
    """Pick the best column of `values` `[items, variants]` and correct its mean for having been picked.

    Bootstrap bias correction (Tsamardinos, Greasidou and Borboudakis 2018, Machine Learning 107, 1895): every draw of clusters picks its
    own best variant, which is scored on the clusters that were not drawn; the estimate is the mean over draws, the interval their
    quantiles. A draw holds 63 % of the clusters, so it is corrected rather too much than too little, and the interval, from the other
    37 %, is wider than it need be. A single cluster leaves nothing to score on, and where nothing varies
    nothing is to correct: there the interval of the mean stands.
    """
    values = np.asarray(values, float)
    index = int(np.argmax(values.mean(axis=0)))
    (apparent,) = mean_intervals(values[:, [index]], groups, level=level, draws=draws, seed=seed)
    sums, sizes = cluster_sums(values, groups)
    weights = drawn_clusters(len(sizes), draws, seed)
    weights = weights[(weights == 0).any(axis=1)]
    picked = np.argmax((weights @ sums) / (weights @ sizes)[:, None], axis=1)
    outside = (weights == 0).astype(float)
    found = (outside @ sums)[np.arange(len(picked)), picked] / (outside @ sizes)
    if not len(found) or found.max() - found.min() < SAME:
        return Picked(index, apparent, apparent)
    low, high = map(float, np.quantile(found, [(1 - level) / 2, (1 + level) / 2]))
    return Picked(index, apparent, replace(apparent, estimate=float(found.mean()), low=low, high=high))
