"""The table of paired tests of two models on the same items, as several sections show it."""

from __future__ import annotations

from collections.abc import Sequence

from eutectic.analysis.compare import Comparison
from eutectic.report.blocks import Table, Value, headed, interval

HIDDEN = ("low", "high", "groups")


def table(
    name: str,
    caption: str,
    leading: Sequence[str],
    tests: Sequence[tuple[tuple[Value, ...], Comparison]],
    words: tuple[str, str, str],
    *,
    marked: bool = True,
    folded: bool = False,
) -> Table:
    """A row for each test: its `leading` cells, then part, numbers, both shares, their difference with its interval, and p-values.

    `words` name the share of the model compared against, the model's own, and their difference, whose bounds stand in the CSV alone.
    """
    before, after, change = words
    covers = " or ".join(sorted({each.covers for _, each in tests}))
    columns = headed(
        *leading,
        "part",
        "scored by",
        "items|count",
        "groups|count",
        f"{before}, %|percent",
        f"{after}, %|percent",
        f"{change}, points [95 % over {covers}]|span",
        f"{change}|points",
        "low|points",
        "high|points",
        "squared difference, %|percent",
        "p|p",
        "p (Holm)|p",
        "seen from, points|percent",
    )
    rows: list[tuple[Value, ...]] = [
        (
            *cells,
            each.part,
            each.form,
            each.n,
            each.clusters,
            each.reference,
            each.accuracy,
            interval(each.difference, each.low, each.high, sign=True),
            each.difference,
            each.low,
            each.high,
            each.discordance,
            each.p,
            each.p_adjusted,
            each.detectable,
        )
        for cells, each in tests
    ]
    marks = [each.outcome if marked else "" for _, each in tests]
    return Table(name, caption, columns, rows, marks=marks, hidden=frozenset({*HIDDEN, change}), folded=folded)
