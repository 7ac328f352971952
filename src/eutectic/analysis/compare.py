"""Paired comparisons of Evaluations, cell by cell: difference, interval, p-value, and what could have been seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from eutectic.analysis.max_t import max_t
from eutectic.analysis.statistics import (
    LEVEL,
    Covers,
    Floats,
    Groups,
    cluster_sums,
    design_effect,
    detectable,
    holm,
    mcnemar,
    mean_intervals,
    sign_flip,
)
from eutectic.analysis.table import Measure, Scores, align, cells_of
from eutectic.specs.rows import form_of

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """One model against one thing in one cell. Accuracies, `difference` and `detectable` are shares; `p` is two-sided.

    `reference` is the accuracy compared with. `p_adjusted` is `p` within the family it was reported in (Holm, or max-T), `detectable` the
    smallest difference seen with 80 % power at the level that family leaves, `discordance` the mean squared difference of an item.
    `equal` names a control that is the same model within rounding: nothing is tested. Not `claimed`: described only, since it is outside
    the study's family of claims. `covers` says what interval and test reach: other items, not other training runs, unless it says so.
    """

    part: str
    form: str
    against: str
    names: tuple[str, ...]
    n: int
    clusters: int
    accuracy: float
    reference: float
    difference: float
    low: float
    high: float
    discordance: float
    p: float
    p_adjusted: float = 1.0
    detectable: float = 1.0
    mcnemar: float | None = None
    inflation: float = 1.0
    equal: str = ""
    claimed: bool = True
    covers: Covers = "items"

    @property
    def tested(self) -> bool:
        """Whether this belongs to the family of tests."""
        return self.claimed and not self.equal

    @property
    def outcome(self) -> str:
        """`gain`, `loss`, `none` (not shown), `equal` (the same model) or `described` (no claim)."""
        if not self.tested:
            return "equal" if self.equal else "described"
        if self.p_adjusted > ALPHA or self.difference == 0:
            return "none"
        return "gain" if self.difference > 0 else "loss"

    def row(self) -> dict[str, Any]:
        """Plain JSON form, read back by `from_row`."""
        return {**asdict(self), "names": list(self.names), "outcome": self.outcome}


def from_row(row: dict[str, Any]) -> Comparison:
    """The comparison a JSON row describes."""
    fields = {key: value for key, value in row.items() if key != "outcome"}
    return Comparison(**{**fields, "names": tuple(row["names"])})


def paired(
    a: Floats,
    b: Floats,
    groups: Groups,
    *,
    cell: tuple[str, str],
    against: str,
    names: Sequence[str],
    binomial: bool = False,
    seed: int = 0,
) -> Comparison:
    """Compare item scores `a` with `b` (both `[items]`, shares): cluster bootstrap and cluster sign flips.

    McNemar's test stands beside them where the scores are `binomial` (see `table.Aligned`) and those of `b` right or wrong too.
    """
    differences = a - b
    found = mean_intervals(differences[:, None], groups, level=LEVEL, seed=seed)[0]
    binary = binomial and bool(np.isin(b, (0.0, 1.0)).all())
    return Comparison(
        *cell,
        against=against,
        names=tuple(names),
        n=found.n,
        clusters=found.clusters,
        accuracy=float(a.mean()),
        reference=float(b.mean()),
        difference=found.estimate,
        low=found.low,
        high=found.high,
        discordance=float((differences**2).mean()),
        p=sign_flip(differences, groups, seed=seed),
        mcnemar=mcnemar(a, b) if binary else None,
        inflation=design_effect(differences, groups),
    )


def best_of(
    a: Floats, others: Floats, groups: Groups, *, cell: tuple[str, str], names: Sequence[str], binomial: bool = False, seed: int = 0
) -> Comparison:
    """Compare `a` `[items]` with the best of `others` `[items, k]` without picking one: intersection-union (Berger 1982).

    `p` is that of the claim taken alone, see `max_t`. The difference is the minimum over the others, its interval runs from the lowest
    lower bound to the lowest upper bound at the level the k comparisons leave; `discordance` is the largest over the others.
    """
    differences = a[:, None] - others
    plain = mean_intervals(differences, groups, level=LEVEL, seed=seed)
    wide = mean_intervals(differences, groups, level=1 - (1 - LEVEL) / differences.shape[1], seed=seed)
    best = int(np.argmax(others.mean(axis=0)))
    return Comparison(
        *cell,
        against="best parent",
        names=(names[best],),
        n=plain[0].n,
        clusters=plain[0].clusters,
        accuracy=float(a.mean()),
        reference=float(others[:, best].mean()),
        difference=plain[best].estimate,
        low=min(one.low for one in plain),
        high=min(one.high for one in wide),
        discordance=float((differences**2).mean(axis=0).max()),
        p=max_t([cluster_sums(differences, groups)[0]], seed=seed).claims[0].p,
        mcnemar=mcnemar(a, others[:, best]) if binomial else None,
        inflation=max(design_effect(column, groups) for column in differences.T),
    )


def adjust(comparisons: Sequence[Comparison], alpha: float = ALPHA) -> list[Comparison]:
    """The comparisons as one family: Holm-adjusted p-values and the detectable effect at alpha / (tests in the family)."""
    tested = [index for index, one in enumerate(comparisons) if one.tested]
    adjusted = dict(zip(tested, holm([comparisons[index].p for index in tested]), strict=True))
    level = alpha / max(1, len(tested))
    return [
        replace(one, p_adjusted=adjusted[index], detectable=detectable(one.discordance, one.n, alpha=level, inflation=one.inflation))
        if index in adjusted
        else one
        for index, one in enumerate(comparisons)
    ]


def compare(a: Scores, b: Scores, measure: Measure = "score", *, seed: int = 0) -> list[Comparison]:
    """Every cell both models have on the test split, `a` minus `b`, as one Holm family: what a training stage changed, for instance.

    With `format_failure` the shares are broken answers instead of right ones, in the greedy form only.
    """
    found = []
    for cell in (each for each in cells_of([a, b]) if measure == "score" or form_of(each[1]) == "greedy"):
        table = align([a, b], cell, measure)
        own, other = table.scores.T
        found.append(paired(own, other, table.groups, cell=cell, against=b.name, names=(b.name,), binomial=table.binomial, seed=seed))
    return adjust(found)
