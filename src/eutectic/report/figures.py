"""The figures: small SVG panels, each readable alone on a phone and side by side on a desk.

Text stays text (selectable, in the fonts of the page); ids are made unique so that many panels can stand in one page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from eutectic.report.blocks import Figure

WIDTH = 4.8  # inches
INK, SOFT, GRID = "#1d2328", "#5b6670", "#e4e7ea"
COLOURS = {"start": "#5b6670", "trained": "#1b6c8c", "merge": "#b4491f", "control": "#a3abb2"}
MARKERS = {"start": "s", "trained": "o", "merge": "D", "control": "o"}
# Nine colours at least 14 CIEDE2000 units apart, also as seen without red, green or blue cones (tests/report/test_figures.py).
LINES = ("#186090", "#c04818", "#18a878", "#601848", "#c078a8", "#303000", "#9060f0", "#0000a8", "#606060")
POINTS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES: tuple[Any, ...] = ("solid", (0, (4, 1.5)), (0, (1.2, 1.2)))
LOGARITHMIC = 5.0  # largest to smallest value from which an axis is logarithmic where it may be
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "eutectic", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5, "text.parse_math": False, "text.color": INK, "axes.labelcolor": SOFT, "axes.edgecolor": "#b9c0c6",
    "axes.linewidth": 0.7, "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.labelsize": 8.5,
    "axes.unicode_minus": True, "legend.frameon": False, "legend.fontsize": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Dot:
    """A row of a dot plot: an estimate with its interval, all shares."""

    label: str
    estimate: float
    low: float
    high: float
    family: str = "merge"
    reach: float | None = None  # what could not have been seen, drawn as a band round zero
    filled: bool = True


def dots(
    name: str,
    title: str,
    rows: Sequence[Dot],
    *,
    unit: str,
    limits: tuple[float, float] | None = None,
    lines: Mapping[str, float] | None = None,
    zero: bool = False,
) -> Figure:
    """Estimates with intervals, one row each, shares drawn in points; `lines` are baselines; `zero` is for differences."""
    height = 0.235 * len(rows) + (1.07 if lines else 0.95)
    with mpl.rc_context(STYLE):
        canvas, axes = panel(title, height, left=room([row.label for row in rows]), bottom=0.55, top=0.46 if lines else 0.34)
        for place, row in enumerate(rows):
            colour = COLOURS[row.family]
            if zero and row.reach is not None:
                axes.plot(
                    [-100 * row.reach, 100 * row.reach], [place, place], color="#edf0f2", linewidth=9, solid_capstyle="butt", zorder=1
                )
            axes.plot([100 * row.low, 100 * row.high], [place, place], color=colour, linewidth=1.5, zorder=3)
            face = colour if row.filled else "white"
            axes.plot(100 * row.estimate, place, MARKERS[row.family], color=colour, markerfacecolor=face, markersize=4.6, zorder=4)
        for label, value in (lines or {}).items():
            axes.axvline(100 * value, color="#8b949c", linewidth=0.9, linestyle=(0, (3, 2)), zorder=2)
            axes.text(100 * value, -0.75, label, fontsize=7.5, color=SOFT, ha="center", va="bottom")
        if zero:
            axes.axvline(0, color=INK, linewidth=0.8, zorder=2)
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        if limits is not None:
            axes.set_xlim(100 * limits[0], 100 * limits[1])
        axes.set_ylim(len(rows) - 0.4, -0.85)
        axes.grid(axis="x", color=GRID, linewidth=0.7)
        axes.set_xlabel(unit)
        axes.set_axisbelow(True)
        told = "; ".join(f"{row.label} {100 * row.estimate:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})" for row in rows)
        return finish(name, canvas, f"{title}, {unit}: {told}.")


def curve(name: str, title: str, x: Sequence[float], y: Sequence[float], *, labels: tuple[str, str]) -> Figure:
    """A noisy curve as it was (thin) and smoothed (bold); at most 300 points are drawn."""
    xs, ys = _binned(np.asarray(x, float), np.asarray(y, float))
    smooth = _smoothed(ys)
    with mpl.rc_context(STYLE):
        canvas, axes = panel(title, 2.5)
        axes.plot(xs, ys, color="#9cc3d2", linewidth=0.8)
        axes.plot(xs, smooth, color=COLOURS["trained"], linewidth=1.8)
        plain(axes, labels)
        return finish(name, canvas, f"{title}: {labels[1]} against {labels[0]}, from {smooth[0]:.3g} to {smooth[-1]:.3g}.")


def lines(
    name: str,
    title: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    labels: tuple[str, str],
    logs: bool = False,
) -> Figure:
    """Several curves named in a legend, told apart by colour and by marker; `logs` allows a logarithmic axis where values differ much."""
    shown = -(-len(series) // 3) if len(series) > 1 else 0  # rows of the legend
    with mpl.rc_context(STYLE):
        canvas, axes = panel(title, 2.5 + 0.2 * shown, top=0.34 + 0.17 * shown)
        for place, (label, (x, y)) in enumerate(series.items()):
            axes.plot(
                x, y, color=LINES[place % len(LINES)], linestyle=DASHES[place // len(LINES) % len(DASHES)], linewidth=1.4,
                marker=POINTS[place % len(POINTS)], markersize=3.6, markeredgewidth=0, markevery=_every(len(x), place), label=label,
            )  # fmt: skip
        plain(axes, labels)
        if all(isinstance(place, int) for x, _ in series.values() for place in x):
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))  # there is no epoch 1.5
        values = [value for _, y in series.values() for value in y]
        if logs and min(values, default=0) > 0 and max(values) / min(values) > LOGARITHMIC:
            _logarithmic(axes, min(values), max(values))
        if shown:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.02, 1.0),
                ncols=min(3, len(series)),
                columnspacing=1.0,
                handlelength=1.6,
                borderaxespad=0.1,
            )
        told = "; ".join(f"{label} from {y[0]:.3g} to {y[-1]:.3g}" for label, (_, y) in series.items() if len(y))
        return finish(name, canvas, f"{title}: {labels[1]} against {labels[0]}: {told}.")


def heat(name: str, title: str, rows: Sequence[str], columns: Sequence[int], values: np.ndarray, *, labels: tuple[str, str]) -> Figure:
    """`values` `[rows, columns]` as colours, NaN left white, with a scale at the side that is logarithmic where they differ much."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    scale = LogNorm(low, high) if low > 0 and high / low > LOGARITHMIC else Normalize(low, high if high > low else low + 1e-12)
    with mpl.rc_context(STYLE):
        left = min(2.2, 0.2 + 0.064 * max(map(len, rows), default=8))
        height = 0.9 + 0.2 * len(rows)
        canvas, axes = panel(title, height, left=left)
        box = axes.get_position()
        axes.set_position((box.x0, box.y0, box.width - 0.62 / WIDTH, box.height))
        drawn = axes.pcolormesh(np.arange(len(columns) + 1), np.arange(len(rows) + 1), values, cmap="viridis", norm=scale)
        axes.invert_yaxis()
        axes.set_yticks(np.arange(len(rows)) + 0.5, list(rows))
        step = -(-len(columns) // 8)
        axes.set_xticks(np.arange(0, len(columns), step) + 0.5, [str(column) for column in columns[::step]])
        axes.tick_params(length=0)
        axes.set_xlabel(labels[0])
        axes.spines["bottom"].set_visible(False)
        bar = canvas.add_axes((box.x1 - 0.5 / WIDTH, box.y0, 0.09 / WIDTH, box.height))
        ticks = np.geomspace(low, high, 5) if isinstance(scale, LogNorm) else np.linspace(scale.vmin or 0.0, scale.vmax or 0.0, 5)
        shown = canvas.colorbar(drawn, cax=bar)
        shown.outline.set_visible(False)
        bar.minorticks_off()
        bar.set_yticks(ticks, [f"{tick:.3g}" for tick in ticks])  # matplotlib's own logarithmic labels are math text, shown here as it is
        bar.tick_params(length=0, labelsize=7)
        told = f"from {low:.3g} to {high:.3g}, largest in {rows[int(np.nanargmax(np.nanmax(values, 1)))]}" if known.size else "nothing"
        return finish(name, canvas, f"{title}: {labels[1]} by {labels[0]} and module, {told}.")


def sweep(name: str, title: str, rows: Sequence[tuple[float, Dot]], *, labels: tuple[str, str]) -> Figure:
    """Accuracy along one merge coefficient with its interval as a band; the ends are the parents."""
    t = [value for value, _ in rows]
    middle, low, high = ([100 * getattr(row, part) for _, row in rows] for part in ("estimate", "low", "high"))
    with mpl.rc_context(STYLE):
        canvas, axes = panel(title, 2.7)
        axes.fill_between(t, low, high, color="#f3dfd6", linewidth=0)
        axes.plot(t, middle, color=COLOURS["merge"], linewidth=1.6)
        for value, row in rows:
            axes.plot(value, 100 * row.estimate, MARKERS[row.family], color=COLOURS[row.family], markersize=5)
            if row.family != "merge":
                axes.annotate(
                    row.label, (value, 100 * row.estimate), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=7.5, color=SOFT
                )
        axes.margins(x=0.12, y=0.22)
        plain(axes, labels)
        told = "; ".join(f"t = {value:g}: {100 * row.estimate:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})" for value, row in rows)
        return finish(name, canvas, f"{title}: {labels[1]}: {told}.")


def panel(title: str, height: float, *, left: float = 0.62, bottom: float = 0.5, top: float = 0.34) -> tuple[Canvas, Axes]:
    """A canvas with one axes at margins in inches and its title at the left."""
    canvas = Canvas(figsize=(WIDTH, height))
    axes = canvas.add_axes((left / WIDTH, bottom / height, (WIDTH - left - 0.15) / WIDTH, (height - bottom - top) / height))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    canvas.text(0.0, 1 - 0.16 / height, title, fontsize=9.5, fontweight="bold", ha="left", va="center", color=INK)
    return canvas, axes


def plain(axes: Axes, labels: tuple[str, str]) -> None:
    """Name both axes; a quiet grid across."""
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)


def _every(points: int, place: int) -> slice:
    """Which points of the curve at `place` bear a marker: about six, not those of its neighbours."""
    step = max(1, points // 6)
    return slice(place % step, None, step)


def _logarithmic(axes: Axes, low: float, high: float) -> None:
    """A logarithmic axis with ticks that people read: 10, 20, 50, 100."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    axes.set_yscale("log")
    axes.minorticks_off()
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5) if 0.8 * low <= digit * 10.0**power <= 1.25 * high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def room(labels: Sequence[str]) -> float:
    """Inches that labels at the left need."""
    return min(2.7, 0.25 + 0.068 * max(map(len, labels), default=10))


def _binned(x: np.ndarray, y: np.ndarray, most: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Neighbouring points averaged until at most `most` are left."""
    if len(x) <= most:
        return x, y
    parts = np.array_split(np.arange(len(x)), most)
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])


def _smoothed(y: np.ndarray) -> np.ndarray:
    """Running mean over about a twelfth of the curve, narrower at its ends."""
    half = max(1, len(y) // 24)
    total = np.concatenate([[0.0], np.cumsum(y)])
    low = np.maximum(np.arange(len(y)) - half, 0)
    high = np.minimum(np.arange(len(y)) + half + 1, len(y))
    return np.asarray((total[high] - total[low]) / (high - low))


def finish(name: str, canvas: Canvas, alt: str) -> Figure:
    """The canvas as an SVG element: no prolog, no metadata, ids prefixed by the figure's name."""
    stream = io.StringIO()
    canvas.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    return Figure(name, text, alt)
