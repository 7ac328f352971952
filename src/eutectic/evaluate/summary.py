"""`summary.json` of an Evaluation: accuracy by benchmark, role, split and form, broken formats, baselines that need no model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from eutectic.evaluate import extraction
from eutectic.evaluate.prompts import hashed_order, rotations
from eutectic.evaluate.rows import likeliest
from eutectic.specs.rows import WEIGHED, WEIGHED_FORMS, Item, ItemScore, form_words


def summarise(rows: Sequence[ItemScore], items: Mapping[str, Sequence[Item]] | None = None) -> dict[str, Any]:
    """Accuracies as `cells`, option baselines of `items` (by benchmark) as `baselines`, and rows by precision.

    A cell is {benchmark, role, split, form, n, correct, accuracy} and more by form. Weighed forms: `ties`, items whose best options are
    equal. Letter form: `unbiased`, the accuracy by means over rotations, and `letters`, how often each letter is the likeliest. Written
    answers: `strict`, the accuracy of answers in the form asked for, `format_failures`, `format_failure_rate`; of extraction also `fields`.
    """
    by_cell: dict[tuple[str, str, str, str], list[ItemScore]] = defaultdict(list)
    for row in rows:
        by_cell[row.benchmark, row.role, row.split, row.label].append(row)
    gold = {(name, item.id): item for name, members in (items or {}).items() for item in members}
    cells = [_cell(key, members, gold) for key, members in sorted(by_cell.items())]
    found: dict[str, Any] = {"cells": cells, "precision": dict(sorted(Counter(row.precision for row in rows).items()))}
    if items is not None:
        found["baselines"] = [line for name, members in items.items() for line in baselines(name, members)]
    return found


def _cell(key: tuple[str, str, str, str], rows: Sequence[ItemScore], gold: Mapping[tuple[str, str], Item]) -> dict[str, Any]:
    correct = sum(row.score for row in rows)
    cell = dict(zip(("benchmark", "role", "split", "form"), key, strict=True))
    numbers: dict[str, Any] = {"n": len(rows), "correct": correct, "accuracy": correct / len(rows)}
    if rows[0].form in WEIGHED_FORMS:
        numbers["ties"] = sum(row.margin == 0 for row in rows)
    else:
        failures = sum(row.format_failure for row in rows)
        numbers |= {"format_failures": failures, "format_failure_rate": failures / len(rows)}
        numbers["strict"] = sum(row.score for row in rows if not row.format_failure) / len(rows)
        numbers |= _fields(rows, gold)
    if rows[0].form == "letter":
        numbers |= {"unbiased": sum(row.choice == row.answer for row in rows) / len(rows), "letters": _letters(rows)}
    return {**cell, **numbers}


def _letters(rows: Sequence[ItemScore]) -> dict[str, float]:
    """How often each letter is the likeliest, over all rotations of the items with the most usual number of options."""
    usual = Counter(len(row.log_likelihoods) for row in rows).most_common(1)[0][0]
    counts: Counter[str] = Counter()
    for row in rows:
        if len(row.log_likelihoods) == usual:
            orders = rotations(hashed_order(row.id, usual))
            counts.update(ascii_uppercase[order.index(likeliest(values))] for order, values in zip(orders, row.rotated, strict=False))
    return {letter: counts[letter] / counts.total() for letter in ascii_uppercase[:usual]}


def _fields(rows: Sequence[ItemScore], gold: Mapping[tuple[str, str], Item]) -> dict[str, Any]:
    """Precision, recall and F1 of each field of extracted records, and of all fields together, counted over all items (micro-averaged)."""
    total: dict[str, extraction.Count] = {}
    for row in rows:
        item = gold.get((row.benchmark, row.id))
        if item is not None and item.kind == "extraction":
            for name, count in extraction.counts(item.records, extraction.restored(row.parsed), item.tolerance).items():
                total[name] = total.get(name, extraction.Count()) + count
    if not total:
        return {}
    shares = {**total, "all": sum(total.values(), extraction.Count())}
    return {"fields": {name: {"precision": c.precision, "recall": c.recall, "f1": c.f1} for name, c in shares.items()}}


def baselines(benchmark: str, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Accuracy of always taking the shortest or the longest option (in characters; ties shared), and of chance, by split."""
    lines = []
    for split in ("dev", "test"):
        asked = [item for item in items if item.kind in WEIGHED and item.split == split]
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
    bounds = f" [{cell['low']:.3f}, {cell['high']:.3f}]" if "low" in cell else ""
    notes = [form_words(cell["form"])]
    if "unbiased" in cell:
        notes.append(f"{cell['unbiased']:.3f} without what the model thinks of letters")
        notes.append("likeliest " + " ".join(f"{letter} {share:.0%}" for letter, share in cell["letters"].items()))
    if cell.get("ties"):
        notes.append("1 tie" if cell["ties"] == 1 else f"{cell['ties']} ties")
    if "fields" in cell:
        whole = cell["fields"]["all"]
        notes.append(f"precision {whole['precision']:.3f}, recall {whole['recall']:.3f} of fields")
        notes.append("F1 of " + ", ".join(f"{name} {field['f1']:.3f}" for name, field in cell["fields"].items()))
    if "format_failure_rate" in cell:
        notes.append(f"{cell['format_failure_rate']:.0%} not in the form asked for")
    return f"{name}: {cell['accuracy']:.3f}{bounds} of {cell['n']} items {', '.join(notes)}"
