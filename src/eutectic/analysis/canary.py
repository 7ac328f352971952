"""What canaries say: whether a model prefers right options without questions, and the published order of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eutectic.analysis.statistics import FLIPS, Interval, mean_intervals
from eutectic.specs.rows import Canary


@dataclass(frozen=True)
class Order:
    """`gain`: nats by which a run of items is likelier as published than in another order; `p` one-sided, of no gain."""

    runs: int
    gain: float
    p: float


def options_only(rows: Sequence[Canary]) -> Interval:
    """Share of items whose right option is ranked first without its question, above guessing, with its interval by groups."""
    above = [float(np.argmax(row.log_likelihoods) == row.right) - 1 / len(row.log_likelihoods) for row in rows]
    return mean_intervals(np.array(above)[:, None], np.array([row.group for row in rows]))[0]


def order(rows: Sequence[Canary], start: Sequence[Canary] = (), *, seed: int = 0) -> Order:
    """Permutation test of the published order (Oren et al. 2023, arXiv 2310.17623, algorithm 2, with permutations instead of a t-test).

    Under the null a run's published order is any of those it was read in, so the gain is compared with what it would be had another one
    been published; p is (1 + hits) / (1 + draws). With the rows of `start`, the model it was trained from, the gain is what training
    added: where a file is sorted by topic its own order is likelier for every model, and the difference is not.
    """
    earlier = {row.id: row.log_likelihoods for row in start}
    values = np.array([row.log_likelihoods for row in rows if not start or row.id in earlier])
    if start:
        values = values - np.array([earlier[row.id] for row in rows if row.id in earlier])
    runs, orders = values.shape
    gains = (values - values.mean(axis=1, keepdims=True)) * orders / (orders - 1)  # of each order over the mean of the others
    drawn = np.random.default_rng(seed).integers(0, orders, (FLIPS, runs))
    null = gains[np.arange(runs), drawn].mean(axis=1)
    found = float(gains[:, 0].mean())
    return Order(runs, found, float((1 + (null >= found - 1e-9).sum()) / (1 + FLIPS)))
