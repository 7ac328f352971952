"""Synergy of a merge: is it better than every parent, than their mean, than simpler merges, than the parents' ensemble?

Above the mean of its parents a merge that only equals its better parent passes easily, so that comparison is shown but never called a
gain. The claim is tested against the best parent, on the test split only, among all claims of the study (`analysis.family`); roles and
forms are never pooled; the comparisons with mean, controls and ensemble are one Holm list. A cell outside the family is described only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eutectic.analysis import beyond, family
from eutectic.analysis.compare import ALPHA, Comparison, adjust, best_of, paired
from eutectic.analysis.ensemble import ensemble
from eutectic.analysis.family import Claim
from eutectic.analysis.statistics import Floats, share_intervals
from eutectic.analysis.table import Aligned, Cell, Scores, align, cells_of, read_scores
from eutectic.artifacts import SUMMARY, Artifact, Parents, one, write_json
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.specs.rows import WEIGHED_FORMS, form_of, form_words
from eutectic.specs.steps import SynergyStep

BEST, MEAN, WEIGHTED, ENSEMBLE = "best parent", "mean of parents", "t-weighted mean of parents", "ensemble"
CONTROL_NAMES = {"linear_schedule": "linear, same schedule", "linear": "linear, one t", ENSEMBLE: "ensemble of parents"}


def check(spec: SynergyStep, parents: Parents) -> None:
    """Refuse a comparison without parents, or controls that are not named one by one."""
    if not parents.get("parents"):
        raise InputError(
            "a merge is compared with its parents, but none of them is evaluated", remedy="Evaluate them on the same benchmarks."
        )
    if len(spec.controls) != len(parents.get("controls", ())):
        raise InputError(f"{len(spec.controls)} names were given for {len(parents.get('controls', ()))} controls")
    if spec.weights and len(spec.weights) != len(parents["parents"]):
        raise InputError(f"{len(spec.weights)} weights were given for {len(parents['parents'])} parents")


def build(spec: SynergyStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Compare a merge with its parents and controls; writes `summary.json` and returns its short form."""
    check(spec, parents)
    merge, sources, controls = read(one(parents, "merge")), [*map(read, parents["parents"])], [*map(read, parents.get("controls", ()))]
    cells = cells_of([merge, *sources])
    if not cells:
        raise InputError(f"{merge.name} and its parents share no test items", remedy="Evaluate them on the same benchmarks.")
    context.progress.start("comparing", len(cells), "cells")
    comparisons: list[Comparison] = []
    scores: list[dict[str, Any]] = []
    for cell in cells:
        found, rows = in_cell(cell, merge, sources, dict(zip(spec.controls, controls, strict=True)), spec)
        comparisons += found
        scores += rows
        context.progress.advance(1)
    claims, size = family.read(one(parents, "family"), one(parents, "merge"))
    comparisons = settled(comparisons, claims)
    tests = sum(each.tested for each in comparisons)
    sentence, outcome = verdict(comparisons, len(sources))
    write_json(
        out / SUMMARY,
        {
            "merge": merge.name,
            "parents": [each.name for each in sources],
            "controls": [
                {"kind": kind, "name": each.name, "equal_to": each.equal_to} for kind, each in zip(spec.controls, controls, strict=True)
            ],
            "equal_to": merge.equal_to,
            "alpha": ALPHA,
            "tests": tests,
            "family": size,
            "scores": scores,
            "comparisons": [each.row() for each in comparisons],
            **beyond.accuracy(merge, sources, cells, seed=spec.seed),
            "outcome": outcome,
            "verdict": sentence,
        },
    )
    return {"tests": tests, "outcome": outcome, "verdict": sentence}


def read(evaluation: Artifact) -> Scores:
    """The scores of an Evaluation parent under its address."""
    return read_scores(evaluation.path, evaluation.address)


def in_cell(
    cell: Cell, merge: Scores, sources: Sequence[Scores], controls: Mapping[str, Scores], spec: SynergyStep
) -> tuple[list[Comparison], list[dict[str, Any]]]:
    """All comparisons of one cell, unadjusted, and the accuracy of everyone in it."""
    table = align([merge, *sources], cell)
    own, beside, names = table.scores[:, 0], table.scores[:, 1:], [each.name for each in sources]

    def against(b: Floats, what: str, names: Sequence[str], on: Aligned = table) -> Comparison:
        binomial = on.binomial
        return paired(on.scores[:, 0], b, on.groups, cell=cell, against=what, names=names, binomial=binomial, seed=spec.seed)

    found = [best_of(own, beside, table.groups, cell=cell, names=names, binomial=table.binomial, seed=spec.seed)]
    rows = [score(each.name, cell, table, column) for column, each in enumerate([merge, *sources])]
    if len(sources) > 1:
        found.append(against(beside.mean(axis=1), MEAN, names))
    if spec.weights:
        found.append(against(beside @ np.array(spec.weights), WEIGHTED, names))
    measured = {kind: control for kind, control in controls.items() if cell in control.cells}
    for kind, control in measured.items():
        if control.equal_to == merge.name:
            continue
        pair = align([merge, control], cell)
        found.append(against(pair.scores[:, 1], kind, [control.name], pair))
        rows.append(score(control.name, cell, pair, 1))
    found += [same(cell, kind, control, found[0]) for kind, control in measured.items() if control.equal_to == merge.name]
    if spec.ensemble and len(sources) > 1 and form_of(cell[1]) in WEIGHED_FORMS:
        blended = ensemble([[each.cells[cell][key] for key in table.keys] for each in sources])
        found.append(against(blended, ENSEMBLE, names))
        rows.append(interval_row(ENSEMBLE, cell, blended, table))
    return found, rows


def settled(comparisons: Sequence[Comparison], claims: Mapping[Cell, Claim]) -> list[Comparison]:
    """Against the best parent with the p-values of the study's family, described only where it has no such claim; the rest by Holm."""
    rest = iter(adjust([each for each in comparisons if each.against != BEST]))
    return [_claimed(each, claims.get((each.part, each.form))) if each.against == BEST else next(rest) for each in comparisons]


def _claimed(best: Comparison, claim: Claim | None) -> Comparison:
    if claim is None:
        return replace(best, claimed=False)
    return replace(best, p=claim.p, p_adjusted=claim.p_adjusted, discordance=claim.discordance, detectable=claim.detectable)


def same(cell: Cell, kind: str, control: Scores, sample: Comparison) -> Comparison:
    """A control that is the merge itself within two output ulps: reported, counted once, not tested."""
    return Comparison(
        *cell, kind, (control.name,), sample.n, sample.clusters, sample.accuracy, sample.accuracy, 0, 0, 0, 0, 1, equal=control.equal_to
    )


def score(name: str, cell: Cell, table: Aligned, column: int) -> dict[str, Any]:
    """Accuracy of one model in one cell with its interval, as a JSON row."""
    return interval_row(name, cell, table.scores[:, column], table)


def interval_row(name: str, cell: Cell, correct: Floats, table: Aligned) -> dict[str, Any]:
    """Mean score with its interval, as a JSON row."""
    found = share_intervals(correct[:, None], table.groups, binomial=table.binomial)[0]
    return {
        "name": name, "part": cell[0], "form": cell[1], "n": found.n, "clusters": found.clusters,
        "accuracy": found.estimate, "low": found.low, "high": found.high, "covers": found.covers,
    }  # fmt: skip


def cell_name(part: str, form: str) -> str:
    """A cell in words: `acquired facts by likelihood`."""
    return f"{part} {'facts ' if part in ('acquired', 'unseen') else ''}{form_words(form)}"


def points(share: float, sign: bool = False) -> str:
    """A share in points with one decimal: 0.0512 is `5.1`."""
    return f"{100 * share:{'+' if sign else ''}.1f}".replace("-", "−")


def verdict(comparisons: Sequence[Comparison], parents: int) -> tuple[str, str]:
    """One sentence about a merge against its best parent, and its outcome: `gain`, `loss`, `mixed`, `none` or `described`.

    A gain or loss is named only where its adjusted test shows it; where none is shown the sentence says how small a gain would have
    escaped, and of cells outside the family it says nothing. It speaks of this checkpoint only: one training run says nothing about a
    strategy (`analysis.strategy`).
    """
    best = [each for each in comparisons if each.against == BEST]
    whom = "each of its parents" if parents > 1 else "its parent"
    gains, losses, silent, told = ([each for each in best if each.outcome == kind] for kind in ("gain", "loss", "none", "described"))
    parts = []
    if gains:
        parts.append(f"this checkpoint beats {whom} on {_listed(gains)}")
    if losses:
        parts.append(f"this checkpoint is below {'at least one of its parents' if parents > 1 else whom} on {_listed(losses)}")
    if silent:
        parts.append(f"{'no gain is shown elsewhere' if parts else f'no gain of this checkpoint over {whom} is shown'}; {escaped(silent)}")
    if told:
        cells = ", ".join(cell_name(each.part, each.form) for each in told)
        parts.append(f"nothing is claimed of this checkpoint on {cells}, outside the study's family of claims")
    outcome = "mixed" if gains and losses else "gain" if gains else "loss" if losses else "none" if silent else "described"
    sentence = "; ".join(parts)
    return sentence[:1].upper() + sentence[1:] + ".", outcome


def escaped(found: Sequence[Comparison]) -> str:
    """How small a gain could not have been seen, by form and part: `a gain of less than 4.0 points (acquired) by likelihood ...`."""
    forms = []
    for form in dict.fromkeys(each.form for each in found):
        sizes = [f"{points(each.detectable)} points ({each.part})" for each in found if each.form == form]
        forms.append(f"{' or '.join(sizes)} {form_words(form)}")
    return f"a gain of less than {', '.join(forms)} could not have been seen reliably"


def _listed(found: Sequence[Comparison]) -> str:
    """Cells with difference in points and adjusted p: `unseen facts by likelihood (+3.1 points, p = 0.004)`."""
    return ", ".join(
        f"{cell_name(each.part, each.form)} ({points(each.difference, sign=True)} points, adjusted p = {each.p_adjusted:.2g})"
        for each in found
    )
