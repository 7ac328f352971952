"""`summary.json` of an Evaluation: accuracy by benchmark, role, split and form, broken formats, baselines that need no model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from eutectic.specs.rows import Item, ItemScore, form_words


def summarise(rows: Sequence[ItemScore], items: Mapping[str, Sequence[Item]] | None = None) -> dict[str, Any]:
    """Accuracies as `cells`, option baselines of `items` (by benchmark) as `baselines`, and rows by precision.

    A cell is {benchmark, role, split, form, n, correct, accuracy} and for greedy answers `format_failures`, `format_failure_rate`.
    """
    by_cell: dict[tuple[str, str, str, str], list[ItemScore]] = defaultdict(list)
    for row in rows:
        by_cell[row.benchmark, row.role, row.split, row.label].append(row)
    cells = [_cell(key, members) for key, members in sorted(by_cell.items())]
    found: dict[str, Any] = {"cells": cells, "precision": dict(sorted(Counter(row.precision for row in rows).items()))}
    if items is not None:
        found["baselines"] = [line for name, members in items.items() for line in baselines(name, members)]
    return found


def _cell(key: tuple[str, str, str, str], rows: Sequence[ItemScore]) -> dict[str, Any]:
    correct = sum(row.score for row in rows)
    cell = dict(zip(("benchmark", "role", "split", "form"), key, strict=True))
    numbers: dict[str, Any] = {"n": len(rows), "correct": correct, "accuracy": correct / len(rows)}
    if not key[3].startswith(("cloze", "letter")):
        failures = sum(row.format_failure for row in rows)
        numbers |= {"format_failures": failures, "format_failure_rate": failures / len(rows)}
    return {**cell, **numbers}


def baselines(benchmark: str, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Accuracy of always taking the shortest or the longest option (in characters; ties shared), and of chance, by split."""
    lines = []
    for split in ("dev", "test"):
        asked = [item for item in items if item.kind == "choice" and item.split == split]
        if asked:
            n = len(asked)
            shares = {name: sum(_extreme(item, sign) for item in asked) / n for name, sign in (("shortest", 1), ("longest", -1))}
            lines.append(
                {"benchmark": benchmark, "split": split, "n": n, **shares, "chance": sum(1 / len(item.options) for item in asked) / n}
            )
    return lines


def _extreme(item: Item, sign: int) -> float:
    """Probability that a random one of the shortest (sign 1) or longest (-1) options is right."""
    lengths = [sign * len(option) for option in item.options]
    ties = [i for i, length in enumerate(lengths) if length == min(lengths)]
    return (item.answer in ties) / len(ties)


def lines(summary: Mapping[str, Any]) -> list[str]:
    """A line for each cell, for a terminal."""
    return [_line(cell) for cell in summary["cells"]]


def _line(cell: Mapping[str, Any]) -> str:
    name = " ".join(part for part in (cell["benchmark"], cell["role"] if cell["role"] != cell["benchmark"] else "", cell["split"]) if part)
    form = form_words(cell["form"])
    if "format_failure_rate" in cell:
        form += f", {cell['format_failure_rate']:.0%} not in the form asked for"
    return f"{name}: {cell['accuracy']:.3f} of {cell['n']} items {form}"
