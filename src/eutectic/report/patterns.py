"""Patterns over all models of a study: the figures of Lu, Luu and Buehler 2025 (arXiv 2409.03444), each beside what chance would show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from eutectic.analysis import clusters, patterns
from eutectic.analysis.clusters import Clusters
from eutectic.analysis.compare import ALPHA
from eutectic.analysis.patterns import Correlation, Merged
from eutectic.analysis.statistics import holm
from eutectic.analysis.table import Cell
from eutectic.errors import InputError
from eutectic.report import charts, figures, merged
from eutectic.report.accuracy import cell_title
from eutectic.report.blocks import Block, Figure, Figures, Section, Table, Text, Value, headed
from eutectic.report.results import Results
from eutectic.report.view import StudyView

T = TypeVar("T")
TITLE = "Patterns over all models"
MOST_CELLS = 6
ORDERED = (
    "All models in the order of their scores, test split, with 95 % intervals over items. Dark grey: start models; blue: trained; red: "
    "merges; pale: controls, those equal to their merge left out."
)
GAINED = (
    "Each merge minus the unweighted mean of its parents, the paper's expectation (pale), and minus the best of them (dark). Above the "
    "mean a merge that only equals its better parent passes easily: only the dark bar speaks of a gain, tested under the merges."
)
CLUSTERED = (
    "Score against expected score of all merges, in two clusters (K-means on z-scores; crosses: centroids), and the tree of the same "
    "points. Dashed: as expected; numbers: places in the tree. Two clusters are always found: see the silhouette beside that of one cloud. "
    "Merges of the same parents share their expected score, which alone can make a cluster."
)
CORRELATED = (
    "Pearson's r over merges; below it the range of r in 95 % of permutations of the scores, which keep what two columns share; bold: "
    "outside it. Asterisk: both columns hold the parents' scores, which alone makes r differ from 0. Merges of common parents are not "
    "independent, so this describes the study and claims nothing."
)
EPOCHS = (
    "Scores of the checkpoints that were kept after each epoch, and of the merges of them, test split; intervals stand in the table of "
    "accuracies."
)
NO_MERGES = "Clusters, correlations and gains not drawn: no merge was measured together with two parents."
NO_EPOCHS = "Scores against epochs not drawn: no chain was measured after two epochs (`keep: epochs`, and evaluate ADDRESS@*)."
SIZES = (
    "Improvement over the best parent against model size, with the least-squares line through the means of the sizes. Sizes of different "
    "families, data or recipes differ by more than size."
)


def section(view: StudyView, results: Results) -> Section:
    """One block of panels an analysis, a panel a cell; what has too few models is said and not drawn."""
    if len(results.scores) < 2:
        return Section("patterns", TITLE)
    cells = list(results.accuracies)[:MOST_CELLS]
    drawn = {cell: merges for cell in cells if (merges := merged.merges(view, results, cell))}
    blocks: list[Block] = [Figures([_ordered(results, cell, place) for place, cell in enumerate(cells, 1)], ORDERED)]
    if drawn:
        blocks.append(Figures([_gained(merges, cell, place) for place, (cell, merges) in enumerate(drawn.items(), 1)], GAINED))
        blocks += [*_clusters(drawn, view.seed), *_correlations(drawn, view.seed), *_sizes(view, drawn)]
    else:
        blocks.append(Text(NO_MERGES, "note"))
    blocks += _epochs(view, results, cells)
    if left := list(results.accuracies)[MOST_CELLS:]:
        blocks.append(Text(f"Drawn for {MOST_CELLS} cells; not for {'; '.join(map(cell_title, left))}.", "note"))
    return Section("patterns", TITLE, blocks)


def title(cell: Cell, models: int) -> str:
    """Every figure says how many models it is over."""
    return f"{cell_title(cell)} (n = {models} models)"


def _ordered(results: Results, cell: Cell, place: int) -> Figure:
    rows = [
        figures.Dot(each.model, each.interval.estimate, each.interval.low, each.interval.high, each.family)
        for each in sorted(results.accuracies[cell], key=lambda each: -each.interval.estimate)
        if not results.scores[each.model].equal_to
    ]
    return charts.bars(f"ordered-{place}", title(cell, len(rows)), rows, unit="accuracy, %")


def _gained(merges: Sequence[Merged], cell: Cell, place: int) -> Figure:
    ordered = sorted(merges, key=lambda each: each.best - each.score)
    return charts.gains(f"gained-{place}", title(cell, len(merges)), ordered)


def each_cell(drawn: dict[Cell, list[Merged]], analyse: Callable[[list[Merged]], T], what: str) -> tuple[dict[Cell, T], list[Block]]:
    """An analysis of every cell, and a note on those that it refuses, by reason."""
    found: dict[Cell, T] = {}
    refused: dict[str, list[str]] = {}
    for cell, merges in drawn.items():
        try:
            found[cell] = analyse(merges)
        except InputError as error:
            refused.setdefault(error.found, []).append(cell_title(cell))
    told = [Text(f"{what} not drawn, {reason}: {'; '.join(where)}.", "note") for reason, where in refused.items()]
    return found, [*told]


def _clusters(drawn: dict[Cell, list[Merged]], seed: int) -> list[Block]:
    def analyse(merges: list[Merged]) -> tuple[Clusters, clusters.Tree]:
        points = np.array([(each.expected, each.score) for each in merges])
        return clusters.clusters(points, seed=seed), clusters.tree(points)

    found, notes = each_cell(drawn, analyse, "Clusters")
    panels = []
    for place, (cell, (groups, tree)) in enumerate(found.items(), 1):
        merges, heading = drawn[cell], title(cell, len(drawn[cell]))
        panels.append(charts.clusters(f"clusters-{place}", heading, merges, groups, tree.leaves))
        panels.append(charts.tree(f"tree-{place}", heading, merges, tree))
    if not panels:
        return notes
    adjusted = holm([groups.p for groups, _ in found.values()])
    split = [cell_title(cell) for cell, p in zip(found, adjusted, strict=True) if p <= ALPHA]
    told = f"told from one cloud in {'; '.join(split)}" if split else "in no cell told from one cloud"
    table = _cluster_table({cell: (groups, len(drawn[cell])) for cell, (groups, _) in found.items()}, adjusted)
    return [
        Figures(panels, CLUSTERED),
        Text(f"Two clusters are {told} (silhouette, Holm over {len(found)} {'cell' if len(found) == 1 else 'cells'})."),
        table,
        *notes,
    ]


def _cluster_table(found: dict[Cell, tuple[Clusters, int]], adjusted: Sequence[float]) -> Table:
    parts = ("models|count", "expected, %|percent", "score, %|percent", "density|number")
    columns = headed(
        *("part", "scored by", "models|count", "silhouette|number", "of one cloud|number", "p|p", "p (Holm)|p"),
        *(f"{which} {what}" for which in ("lower", "upper") for what in parts),
    )
    rows: list[tuple[Value, ...]] = []
    for (cell, (each, n)), p in zip(found.items(), adjusted, strict=True):
        halves = [(int((each.labels == which).sum()), *map(float, each.centroids[which]), float(each.density[which])) for which in (0, 1)]
        rows.append((*cell, n, each.silhouette, each.null, each.p, p, *halves[0], *halves[1]))
    caption = (
        "The two clusters of every cell: silhouette, its mean and p in normal clouds, centroids, density of the points at the centroids."
    )
    return Table("clusters", caption, columns, rows, folded=True)


def _correlations(drawn: dict[Cell, list[Merged]], seed: int) -> list[Block]:
    found, notes = each_cell(drawn, lambda merges: patterns.correlations(merges, seed=seed), "Correlations")
    panels = [
        charts.correlations(f"correlations-{place}", title(cell, len(drawn[cell])), each)
        for place, (cell, each) in enumerate(found.items(), 1)
    ]
    return [Figures(panels, CORRELATED), _correlation_table(found), *notes] if panels else notes


def _correlation_table(found: dict[Cell, list[Correlation]]) -> Table:
    columns = headed(
        "part", "scored by", "of", "with", "models|count", "r|number", "centre|number", "low|number", "high|number", "p|p", "p (Holm)|p",
        "shares a term|yes",
    )  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (*cell, each.y, each.x, each.n, each.r, each.centre, each.low, each.high, each.p, each.p_adjusted, each.coupled)
        for cell, all_of_it in found.items()
        for each in all_of_it
    ]
    caption = (
        "Correlations over merges: centre, low and high are those of permuted scores; p by distance from the centre, Holm within a cell."
    )
    return Table("correlations", caption, columns, rows, folded=True)


def _epochs(view: StudyView, results: Results, cells: Sequence[Cell]) -> list[Block]:
    panels: list[Figure] = []
    for cell in cells:
        if series := merged.epochs(view, results, cell):
            percent = {name: (epochs, [100 * share for share in shares]) for name, (epochs, shares) in series.items()}
            models = sum(len(epochs) for epochs, _ in series.values())
            panels.append(figures.lines(f"epochs-{len(panels) + 1}", title(cell, models), percent, labels=("epoch", "accuracy, %")))
    return [Figures(panels, EPOCHS) if panels else Text(NO_EPOCHS, "note")]


def _sizes(view: StudyView, drawn: dict[Cell, list[Merged]]) -> list[Block]:
    known = {merge: int(summary["parameters"]) for merge, summary in merged.geometries(view).items()}
    sized = {cell: [each for each in merges if each.name in known] for cell, merges in drawn.items()}

    def columns(merges: Sequence[Merged]) -> tuple[list[float], list[float]]:
        return [float(known[each.name]) for each in merges], [each.score - each.best for each in merges]

    found, notes = each_cell(sized, lambda merges: patterns.slope(*columns(merges)), "Gain against model size")
    panels = [
        charts.sizes(f"sizes-{place}", title(cell, len(sized[cell])), *columns(sized[cell]), line)
        for place, (cell, line) in enumerate(found.items(), 1)
    ]
    return [*([Figures(panels, SIZES)] if panels else []), *notes]
