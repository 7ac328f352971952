"""Strategies: what a way of training or merging gains whatever the training seed, from checkpoints paired by seed.

Two checkpoints of one seed each differ by their seeds too, so a test over items speaks of these checkpoints only. With at least three
seeds, the same on both sides, seeds are a sample as items are, and the interval covers both. With fewer nothing is said of a strategy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from eutectic.analysis.compare import ALPHA, Comparison
from eutectic.analysis.statistics import LEVEL, POWER, SAME, Floats, Groups, cluster_sums, constant_interval, holm
from eutectic.analysis.table import Cell, Scores, align, cells_of

SEEDS = 3  # fewer say nothing of other seeds
SEED = re.compile(r"#\d+")  # the seed in the address of a model


@dataclass(frozen=True)
class Strategy:
    """A strategy and what it is compared with: `models` `[seeds]`, `others` `[seeds][k]`, of the same seeds in the same order."""

    name: str
    against: tuple[str, ...]
    seeds: tuple[str, ...]
    models: tuple[Scores, ...]
    others: tuple[tuple[Scores, ...], ...]


@dataclass(frozen=True)
class Spread:
    """A mean difference over items and seeds, its standard error and the degrees of freedom that go with it."""

    mean: float
    error: float
    freedom: int
    clusters: int

    def bounds(self, level: float = LEVEL) -> tuple[float, float]:
        """The t interval; where neither items nor seeds differ, `constant_interval`."""
        if self.error < SAME:
            return constant_interval(self.mean, self.clusters, level=level)
        half = float(student.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.mean - half, self.mean + half

    def above(self) -> float:
        """One-sided p-value of no gain; that of no loss is the rest to 1."""
        return float(student.sf(self.mean / self.error, self.freedom)) if self.error >= SAME else 0.5


def spread(differences: Floats, groups: Groups) -> Spread:
    """Mean of `differences` `[items, seeds]` with items and seeds both taken as drawn from more.

    error^2 = (variance of the seed means) / seeds + cluster-robust variance of the item means. The residual is in both terms, so this is
    rather too large (Cameron, Gelbach and Miller 2011, J. Bus. Econ. Stat. 29, 238, would subtract it once); seeds - 1 degrees of freedom
    are the fewest either term has. Both err on the safe side at three seeds, where estimated degrees of freedom do not.
    """
    items, seeds = differences.shape
    mean = float(differences.mean())
    sums, sizes = cluster_sums((differences.mean(axis=1) - mean)[:, None], groups)
    clusters = len(sizes)
    of_items = float((sums**2).sum()) / items**2 * clusters / max(1, clusters - 1)
    of_seeds = float(differences.mean(axis=0).var(ddof=1)) / seeds
    return Spread(mean, float(np.sqrt(of_items + of_seeds)), seeds - 1, clusters)


def compare(strategies: Sequence[Strategy], alpha: float = ALPHA) -> list[tuple[Strategy, Comparison]]:
    """Strategies of at least `SEEDS` seeds against the best of what they are compared with, in every cell: one Holm family."""
    ready = [each for each in strategies if len(each.seeds) >= SEEDS]
    found = [(each, *_in_cell(each, cell)) for each in ready for cell in cells_of([*each.models, *_flat(each)])]
    level = alpha / max(1, len(found))
    adjusted = holm([one.p for _, one, _ in found])
    return [
        (each, replace(one, p_adjusted=p, detectable=_detectable(widest, level, len(each.against))))
        for (each, one, widest), p in zip(found, adjusted, strict=True)
    ]


def _in_cell(strategy: Strategy, cell: Cell) -> tuple[Comparison, Spread]:
    """One strategy in one cell, unadjusted, and the spread of the comparison that is hardest to tell.

    A gain is one over each of the others: its p is the largest (intersection-union); a loss is one to at least one (Bonferroni).
    """
    table = align([*strategy.models, *_flat(strategy)], cell)
    seeds, k = len(strategy.seeds), len(strategy.against)
    own = table.scores[:, :seeds]
    others = table.scores[:, seeds:].reshape(-1, seeds, k)
    spreads = [spread(own - others[:, :, other], table.groups) for other in range(k)]
    best = int(np.argmax(others.mean(axis=(0, 1))))
    gain, loss = max(each.above() for each in spreads), k * min(1 - each.above() for each in spreads)
    comparison = Comparison(
        *cell,
        against="best parent",
        names=(strategy.against[best],),
        n=len(table.keys),
        clusters=spreads[0].clusters,
        accuracy=float(own.mean()),
        reference=float(others[:, :, best].mean()),
        difference=spreads[best].mean,
        low=min(each.bounds()[0] for each in spreads),
        high=min(each.bounds(1 - (1 - LEVEL) / k)[1] for each in spreads),
        discordance=float(((own[:, :, None] - others) ** 2).mean(axis=(0, 1)).max()),
        p=min(1.0, 2 * min(gain, loss)),
        covers="items and seeds",
    )
    return comparison, max(spreads, key=lambda each: each.error)


def _detectable(widest: Spread, level: float, others: int) -> float:
    """The smallest difference seen with 80 % power: (t_{1 - level/2} + t_{power}) standard errors, each of the others told apart."""
    power = 1 - (1 - POWER) / others
    return min(1.0, float(student.ppf(1 - level / 2, widest.freedom) + student.ppf(power, widest.freedom)) * widest.error)


def _flat(strategy: Strategy) -> list[Scores]:
    """What the strategy is compared with, all of the first seed first."""
    return [each for of_seed in strategy.others for each in of_seed]
