"""What a merge brings beyond accuracy: new functionality against chance, knowledge or format, and how different its parents were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eutectic.analysis import effects, functionality
from eutectic.analysis.compare import ALPHA
from eutectic.analysis.effects import KIND_WORDS, KINDS, Split
from eutectic.analysis.functionality import Novelty
from eutectic.analysis.statistics import holm
from eutectic.analysis.strategy import SEED
from eutectic.analysis.synergy import cell_name
from eutectic.report import merged
from eutectic.report.blocks import Block, Section, Table, Text, Value, headed, interval, number
from eutectic.report.results import Results
from eutectic.report.view import StudyView

TITLE = "New functionality, knowledge or format, diversity"
NEW = (
    "New functionality: items that a merge reliably has right and every parent reliably wrong: in every order of the options or, in one "
    f"order, by more than {functionality.SURE_MARGIN:g} nats. By chance: the most that a parent has in the merge's place; other seeds: the "
    "most that a model of a parent's recipe from another training seed has. More than chance: in items, with 95 % interval over items; "
    "one-sided sign flips of whole groups, Holm over this table, which is a family apart from the claims above. The CSV file names the "
    "items."
)
SPLIT = (
    "Knowledge or format: the change in words from the best parent to the merge, in points with 95 % intervals over items, by what "
    "changed on it. "
    + "; ".join(f"{kind}: {words.removeprefix(f'{kind}: ')}" for kind, words in KIND_WORDS.items())
    + ". The four add up to the whole change. Described, not tested."
)
DIVERSITY = (
    "How different the parents of each merge are (means over pairs). In weights: median angle and distance over tensors, see the geometry. "
    "In outputs: items that one has right and another wrong; Yule's Q and Cohen's kappa are 1 where they err on the same items, 0 where "
    "their errors are independent. In score: |P1 − P2|."
)


def section(view: StudyView, results: Results) -> Section:
    """Three tables over all merges and cells, and what the first one shows in a sentence."""
    found = [(each, row) for each in results.counted() for row in each.get("functionality", ())]
    splits = [(str(each["merge"]), effects.from_row(row)) for each in results.counted() for row in each.get("formats", ())]
    diverse = [(str(each["merge"]), row) for each in results.counted() for row in each.get("diversity", ())]
    blocks: list[Block] = []
    if found:
        news = [(str(each["merge"]), functionality.from_row(row), _reseeded(each, row, results, view.seed)) for each, row in found]
        adjusted = holm([new.p for _, new, _ in news])
        blocks += [Text(sentence([(merge, new) for merge, new, _ in news], adjusted)), _news(news, adjusted)]
    elif results.synergies:
        blocks.append(Text("No item was scored in a form that tells how reliably it is known, so nothing is said of new functionality."))
    if splits:
        blocks.append(_splits(splits))
    if diverse:
        blocks.append(_diversity(view, diverse))
    return Section("functionality", TITLE, blocks)


def _reseeded(summary: Mapping[str, Any], row: Mapping[str, Any], results: Results, seed: int) -> Novelty | None:
    """The count against models of the parents' recipes from other training seeds, where the study has them."""
    cell = (row["part"], row["form"])
    merge, parents = results.scores.get(summary["merge"]), [results.scores.get(name) for name in summary["parents"]]
    recipes = {SEED.sub("", name) for name in summary["parents"] if SEED.search(name)}
    others = [
        each
        for name, each in results.scores.items()
        if SEED.search(name) and SEED.sub("", name) in recipes and name not in summary["parents"] and cell in each.cells
    ]
    known = [each for each in parents if each is not None]
    if merge is None or len(known) < len(parents) or not others:
        return None
    return functionality.reseeded(merge, known, others, cell, seed=seed)


def sentence(news: Sequence[tuple[str, Novelty]], adjusted: Sequence[float]) -> str:
    """Which merges are shown to have new functionality, as far as the adjusted tests show it."""
    told = [
        f"{merge} on {cell_name(new.part, new.form)} ({new.count} items, {new.expected} by chance, adjusted p = {p:.2g})"
        for (merge, new), p in zip(news, adjusted, strict=True)
        if p <= ALPHA and new.excess > 0
    ]
    whom = f"{len({merge for merge, _ in news})} merges in {len(news)} cells tested (Holm)"
    if not told:
        return f"No merge is shown to have new functionality: of {whom}, none has more new items than chance would explain."
    return f"More new items than chance would explain, of {whom}: this checkpoint of {'; of '.join(told)}; nothing else is shown."


def _news(news: Sequence[tuple[str, Novelty, Novelty | None]], adjusted: Sequence[float]) -> Table:
    columns = headed(
        "merge",
        "part",
        "scored by",
        "items|count",
        "groups|count",
        "new|count",
        "by chance|count",
        "of",
        "more than chance, items [95 %]|span",
        "difference|number",
        "low|number",
        "high|number",
        "p|p",
        "p (Holm)|p",
        "other seeds|count",
        "p, other seeds|p",
        "which",
    )
    rows: list[tuple[Value, ...]] = [
        (
            merge,
            new.part,
            new.form,
            new.n,
            new.clusters,
            new.count,
            new.expected,
            ", ".join(f"{name} {count}" for name, count in new.parents.items()),
            f"{number(new.excess, 0, True)} [{number(new.low, 1, True)}, {number(new.high, 1, True)}]",
            new.excess,
            new.low,
            new.high,
            new.p,
            p,
            seeds.expected if seeds else None,
            seeds.p if seeds else None,
            "; ".join("/".join(key) for key in new.items),
        )
        for (merge, new, seeds), p in zip(news, adjusted, strict=True)
    ]
    marks = ["gain" if p <= ALPHA and new.excess > 0 else "" for (_, new, _), p in zip(news, adjusted, strict=True)]
    hidden = {"groups", "of", "difference", "low", "high", "which"}
    if not any(seeds for *_, seeds in news):
        hidden |= {"other seeds", "p, other seeds"}
    return Table("functionality", NEW, columns, rows, marks=marks, hidden=frozenset(hidden))


def _splits(splits: Sequence[tuple[str, Split]]) -> Table:
    own = ("items", "gained", "lost", "change", "low", "high")
    columns = headed(
        "merge",
        "part",
        "scored by",
        "weighed by",
        "best parent|address",
        "items|count",
        "parent, %|percent",
        "merge, %|percent",
        "change|points",
        *(f"{kind} [95 %]|span" for kind in KINDS),
        *(f"{kind}: {name}" for kind in KINDS for name in own),
    )
    rows: list[tuple[Value, ...]] = [
        (
            merge,
            each.part,
            each.form,
            each.weighed,
            each.parent,
            each.n,
            each.parent_score,
            each.merge_score,
            each.change,
            *(interval(share.change, share.low, share.high, sign=True) for share in each.shares),
            *(getattr(share, name) for share in each.shares for name in own),
        )
        for merge, each in splits
    ]
    hidden = frozenset({"weighed by", *(f"{kind}: {name}" for kind in KINDS for name in own)})
    return Table("formats", SPLIT, columns, rows, hidden=hidden)


def _diversity(view: StudyView, diverse: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    columns = headed(
        "merge",
        "part",
        "scored by",
        "items|count",
        "angle, degrees|number",
        "distance / norm|sci",
        "disagree on, %|percent",
        "Q|number",
        "kappa|number",
        "score, points|percent",
    )
    angles = {
        merge: (math.degrees(each["angle_median"]), each["relative_distance_median"]) for merge, each in merged.geometries(view).items()
    }
    rows: list[tuple[Value, ...]] = [
        (
            merge,
            *(row[name] for name in ("part", "form", "n")),
            *angles.get(merge, (None, None)),
            *(row[name] for name in ("disagreement", "q", "kappa", "score")),
        )
        for merge, row in diverse
    ]
    return Table("diversity", DIVERSITY, columns, rows, folded=True)
