"""The family of claims of a study: "this merge beats every one of its parents", for every merge and cell that was declared.

Who tries many merges and shows the best must pay for having tried. The family is fixed before anything is scored, all its claims are
tested together (`max_t`), and every Synergy takes the adjusted p of its claims from here. Merges that are one model within two output
ulps are one claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eutectic.analysis.compare import ALPHA
from eutectic.analysis.max_t import max_t
from eutectic.analysis.statistics import POWER, Floats, cluster_sums, design_effect, detectable
from eutectic.analysis.table import Aligned, Cell, Scores, align, cells_of, read_scores
from eutectic.artifacts import SUMMARY, Artifact, Parents, read_json, write_json
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.specs.steps import FamilyStep

METHOD = "max-T over sign flips of clusters, step-down"


@dataclass(frozen=True)
class Claim:
    """One row of `summary.json`: a merge in one cell. `key` is that of its Evaluation, which outlives a change of name.

    `statistic` is the smallest studentised cluster sum over the parents, `p` the two-sided p of the claim alone, `p_adjusted` that in the
    family. `discordance` (mean squared item difference) and `detectable` are those of the parent hardest to tell from.
    """

    key: str
    merge: str
    part: str
    form: str
    n: int
    clusters: int
    statistic: float
    p: float
    p_adjusted: float
    discordance: float
    detectable: float


@dataclass(frozen=True)
class Member:
    """A merge that counts, with its parents."""

    key: str
    merge: Scores
    parents: tuple[Scores, ...]


def check(spec: FamilyStep, parents: Parents) -> None:
    """Refuse a merge without parents, or parents that are not there."""
    if len(spec.of) != len(parents.get("merges", ())):
        raise InputError(f"the parents of {len(spec.of)} merges were given for {len(parents.get('merges', ()))} merges")
    known = len(parents.get("parents", ()))
    for merge, indices in zip(parents["merges"], spec.of, strict=True):
        if not indices or not all(0 <= index < known for index in indices):
            raise InputError(
                f"{merge.address} is compared with its parents, but not all of them are evaluated",
                remedy="Evaluate them on the same benchmarks.",
            )


def build(spec: FamilyStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Test all claims as one family; writes `summary.json` and returns its short form."""
    check(spec, parents)
    sources = [read_scores(each.path, each.address) for each in parents["parents"]]
    merges = [read_scores(each.path, each.address) for each in parents["merges"]]
    members, equal = _counted(parents["merges"], merges, [tuple(sources[index] for index in indices) for indices in spec.of])
    cells = [(member, cell) for member in members for cell in _cells(member, spec.forms)]
    if not cells:
        wanted = f" in the forms {', '.join(spec.forms)}" if spec.forms else ""
        raise InputError(f"merges and parents share no test items{wanted}", remedy="Evaluate them on the same benchmarks and forms.")
    context.progress.start("testing", 1, "families")
    claims, critical, level = claim(cells, spec.seed)
    context.progress.advance(1)
    write_json(
        out / SUMMARY,
        {
            "method": METHOD,
            "alpha": ALPHA,
            "merges": len(members),
            "size": len(claims),
            "critical": critical if np.isfinite(critical) else None,
            "level": level,
            "equal": equal,
            "rows": [asdict(each) for each in claims],
        },
    )
    return {"tests": len(claims), "merges": len(members), "shown": sum(each.p_adjusted <= ALPHA for each in claims)}


def _counted(
    artifacts: Sequence[Artifact], merges: Sequence[Scores], of: Sequence[tuple[Scores, ...]]
) -> tuple[list[Member], dict[str, str]]:
    """The merges that count, and the key of each left out -> key of the merge it equals within two output ulps."""
    keys = {merge.name: artifact.key for artifact, merge in zip(artifacts, merges, strict=True)}
    equal: dict[str, str] = {}
    for merge in merges:  # a merge may equal one that itself equals an earlier one
        if merge.equal_to in keys:
            twin = keys[merge.equal_to]
            equal[keys[merge.name]] = equal.get(twin, twin)
    members = [Member(keys[merge.name], merge, parents) for merge, parents in zip(merges, of, strict=True)]
    return [each for each in members if each.key not in equal], equal


def _cells(member: Member, forms: Sequence[str]) -> list[Cell]:
    """Cells of a merge that are claims."""
    return [cell for cell in cells_of([member.merge, *member.parents]) if not forms or cell[1] in forms]


def claim(cells: Sequence[tuple[Member, Cell]], seed: int) -> tuple[list[Claim], float, float]:
    """The claims in the order given, the critical value of the statistic, and the level it leaves a single test."""
    tables = [align([member.merge, *member.parents], cell) for member, cell in cells]
    place = {group: row for row, group in enumerate(sorted({str(group) for table in tables for group in table.groups}))}
    family = max_t([_sums(table, place) for table in tables], alpha=ALPHA, seed=seed)
    claims = []
    for (member, cell), table, tested in zip(cells, tables, family.claims, strict=True):
        n, clusters, found = len(table.keys), len(set(table.groups)), (tested.statistic, tested.p, tested.p_adjusted)
        claims.append(Claim(member.key, member.merge.name, *cell, n, clusters, *found, *_escaping(table, family.level)))
    return claims, family.critical, family.level


def _sums(table: Aligned, place: Mapping[str, int]) -> Floats:
    """Cluster sums of the merge minus each parent `[all clusters of the family, parents]`."""
    sums, _ = cluster_sums(table.scores[:, :1] - table.scores[:, 1:], table.groups)
    found = np.zeros((len(place), sums.shape[1]))
    found[[place[str(group)] for group in np.unique(table.groups)]] = sums
    return found


def _escaping(table: Aligned, level: float) -> tuple[float, float]:
    """The largest discordance, and the smallest gain over every parent seen with 80 % power at `level`.

    Each of k parents is told apart with power 1 - 0.2 / k, so that all of them are with 0.8 (Bonferroni).
    """
    differences = table.scores[:, :1] - table.scores[:, 1:]
    power = 1 - (1 - POWER) / differences.shape[1]
    discordance = (differences**2).mean(axis=0)
    sizes = [
        detectable(float(spread), len(column), alpha=level, power=power, inflation=design_effect(column, table.groups))
        for spread, column in zip(discordance, differences.T, strict=True)
    ]
    return float(discordance.max()), max(sizes)


def read(artifact: Artifact, evaluation: Artifact) -> tuple[dict[Cell, Claim], int]:
    """The claims of one merge in a Family by cell, and the number of all. A merge outside has none, one equal to another that one's."""
    summary = read_json(artifact.path / SUMMARY)
    key = summary["equal"].get(evaluation.key, evaluation.key)
    return {(row["part"], row["form"]): Claim(**row) for row in summary["rows"] if row["key"] == key}, int(summary["size"])
