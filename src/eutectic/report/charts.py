"""Figures over all models of a study, in the style of `report.figures`: bars, clusters, trees, correlations, sizes.

Numbers and words stand beside every colour. Shares are drawn in percent, differences of shares in points.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from eutectic.analysis.clusters import Clusters, Tree
from eutectic.analysis.patterns import Correlation, Merged, Slope
from eutectic.report.blocks import Figure, number
from eutectic.report.figures import COLOURS, GRID, INK, LINES, SOFT, STYLE, Dot, finish, panel, plain, room

BAR = 0.235  # inches a row
PALE = "#e9c3b1"
GROUPS = ((LINES[0], "o"), (LINES[1], "D"))  # of the lower and the upper cluster


def bars(name: str, title: str, rows: Sequence[Dot], *, unit: str) -> Figure:
    """Shares as bars from zero in the order given, with their intervals, coloured by what a model is."""
    with mpl.rc_context(STYLE):
        canvas, axes = _rows(title, [row.label for row in rows])
        for place, row in enumerate(rows):
            axes.barh(place, 100 * row.estimate, height=0.62, color=COLOURS[row.family], alpha=0.75)
            axes.plot([100 * row.low, 100 * row.high], [place, place], color=INK, linewidth=0.9)
            axes.text(100 * row.high, place, f"  {100 * row.estimate:.1f}", fontsize=7.5, color=SOFT, va="center")
        axes.set_xlim(0, 112 * max((row.high for row in rows), default=1.0))
        axes.set_xlabel(unit)
        told = "; ".join(f"{row.label} {100 * row.estimate:.1f}" for row in rows)
        return finish(name, canvas, f"{title}, {unit}, in order: {told}.")


def gains(name: str, title: str, merges: Sequence[Merged]) -> Figure:
    """Score minus the mean of the parents (pale) and minus the best of them (dark, never more), in the order given."""
    with mpl.rc_context(STYLE):
        canvas, axes = _rows(title, [each.name for each in merges])
        for place, each in enumerate(merges):
            axes.barh(place, 100 * (each.score - each.expected), height=0.7, color=PALE)
            axes.barh(place, 100 * (each.score - each.best), height=0.3, color=COLOURS["merge"])
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.margins(x=0.08)
        axes.set_xlabel("points above mean (pale), best (dark)")
        told = "; ".join(
            f"{each.name} {number(100 * (each.score - each.expected), sign=True)} and {number(100 * (each.score - each.best), sign=True)}"
            for each in merges
        )
        return finish(name, canvas, f"{title}, points above the mean and above the best of the parents: {told}.")


def clusters(name: str, title: str, merges: Sequence[Merged], found: Clusters, order: Sequence[int]) -> Figure:
    """Score against expected score; merges are numbered as in the tree, whose `order` is given; crosses are the centroids."""
    points = 100 * np.array([(each.expected, each.score) for each in merges])
    with mpl.rc_context(STYLE):
        canvas, axes = panel(title, 3.1)
        for which, (colour, marker) in enumerate(GROUPS):
            x, y = points[found.labels == which].T
            axes.plot(x, y, marker, color=colour, markersize=5, markeredgewidth=0, zorder=3)
            axes.plot(*100 * found.centroids[which], "x", color=colour, markersize=8, zorder=2)
        for text, spot in _labels(points, order):
            axes.annotate(text, spot, xytext=(4, 4), textcoords="offset points", fontsize=7.5, color=SOFT)
        axes.margins(0.12)
        axes.autoscale_view()  # as far as the points reach; the line of equality does not widen it
        axes.autoscale(enable=False)
        axes.axline((points.mean(), points.mean()), slope=1, color="#8b949c", linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        plain(axes, ("expected: mean of the parents, %", "score, %"))
        lower, upper = (", ".join(merges[index].name for index in order if found.labels[index] == which) for which in range(len(GROUPS)))
        return finish(name, canvas, f"{title}: two clusters in score against expected score. Lower: {lower}. Upper: {upper}.")


def _labels(points: np.ndarray, order: Sequence[int]) -> list[tuple[str, tuple[float, float]]]:
    """The numbers of points and where they stand; points that lie on each other, to a 25th of the picture, share one label."""
    reach = np.ptp(points, axis=0)
    boxes: dict[tuple[int, ...], list[int]] = {}
    for place, index in enumerate(order, 1):
        box = tuple(np.round(25 * points[index] / np.where(reach > 0, reach, 1.0)).astype(int).tolist())
        boxes.setdefault(box, []).append(place)
    return [(", ".join(map(str, places)), tuple(points[order[places[0] - 1]])) for places in boxes.values()]


def tree(name: str, title: str, merges: Sequence[Merged], found: Tree) -> Figure:
    """Dendrogram with the leaves at the left, numbered from the top."""
    labels = [f"{merges[index].name}  {place}" for place, index in enumerate(found.leaves, 1)]
    with mpl.rc_context(STYLE):
        canvas, axes = _rows(title, labels)
        for heights, places in zip(found.heights, found.places, strict=True):
            axes.plot(heights, places, color=COLOURS["trained"], linewidth=1.2)
        axes.set_xlim(left=0)
        axes.set_xlabel("distance (Ward), z-scores")
        last = found.heights.max()
        return finish(name, canvas, f"{title}: merges from top to bottom {'; '.join(labels)}; joined in one at distance {last:.2f}.")


def correlations(name: str, title: str, found: Sequence[Correlation]) -> Figure:
    """Pearson's r as a heat map with its numbers, below them the range of 95 % of permutations; an asterisk marks shared terms."""
    rows, columns = (list(dict.fromkeys(getattr(each, side) for each in found)) for side in ("x", "y"))
    values = np.full((len(rows), len(columns)), np.nan)
    with mpl.rc_context(STYLE):
        canvas, axes = panel(title, 0.75 + 0.42 * len(rows), left=room(rows), bottom=0.3)
        for each in found:
            row, column = rows.index(each.x), columns.index(each.y)
            values[row, column] = each.r
            beyond = not each.low <= each.r <= each.high
            colour = "white" if abs(each.r) > 0.6 else INK
            written = (column + 0.5, row + 0.36, f"{number(each.r, 2)}{'*' if each.coupled else ''}")
            axes.text(*written, ha="center", va="center", color=colour, fontweight="bold" if beyond else "normal")
            null = f"{number(each.low, 2)} to {number(each.high, 2)}"
            axes.text(column + 0.5, row + 0.72, null, ha="center", va="center", color=colour, fontsize=7.5)
        axes.pcolormesh(values, cmap="RdBu_r", vmin=-1, vmax=1, edgecolors="white", linewidth=1.5, zorder=0)
        axes.invert_yaxis()
        axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
        axes.tick_params(length=0, labelcolor=INK)
        axes.spines["bottom"].set_visible(False)
        told = "; ".join(
            f"{each.y} and {each.x}{' (shared term)' if each.coupled else ''} {number(each.r, 2)}, "
            f"under permuted scores {number(each.low, 2)} to {number(each.high, 2)}"
            for each in found
        )
        return finish(name, canvas, f"{title}, Pearson's r: {told}.")


def sizes(name: str, title: str, parameters: Sequence[float], gained: Sequence[float], found: Slope) -> Figure:
    """Improvement over the best parent against parameters on a logarithmic axis, with the least-squares line through the sizes' means."""
    ends = np.array([min(parameters), max(parameters)])
    with mpl.rc_context(STYLE):
        canvas, axes = panel(title, 2.7)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.plot(ends / 1e6, 100 * (found.level + found.estimate * np.log10(ends)), color="#8b949c", linewidth=1.2)
        axes.plot(np.array(parameters) / 1e6, 100 * np.array(gained), "D", color=COLOURS["merge"], markersize=4.6, linestyle="none")
        axes.set_xscale("log")
        axes.minorticks_off()
        ticks = sorted(set(parameters))
        axes.set_xticks([tick / 1e6 for tick in ticks], [f"{tick / 1e6:,.0f}" for tick in ticks])
        axes.margins(0.1, 0.15)
        plain(axes, ("million parameters", "points above the best parent"))
        bounds = f"{number(100 * found.estimate, sign=True)} [{number(100 * found.low, sign=True)}, {number(100 * found.high, sign=True)}]"
        return finish(name, canvas, f"{title}: {bounds} points for ten times the parameters, over {found.sizes} sizes.")


def _rows(title: str, labels: Sequence[str]) -> tuple[Canvas, Axes]:
    """A panel with one labelled row for each label, the first on top."""
    canvas, axes = panel(title, BAR * len(labels) + 0.95, left=room(labels), bottom=0.55)
    axes.set_yticks(range(len(labels)), list(labels))
    axes.tick_params(length=0)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    return canvas, axes
