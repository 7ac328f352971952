"""Scores of models in memory, item by item."""

from eutectic.analysis.table import Scores
from eutectic.specs.rows import ItemScore


def row(key, score, *, form="cloze", margin=1.0, rotated=(), choice=None, broken=False, group=None):
    return ItemScore(
        id=str(key), benchmark="b", group=group or str(key), role="", split="test", form=form, score=float(score), margin=margin,
        rotated=rotated, choice=choice, format_failure=broken,
    )  # fmt: skip


def scores(name, *rows):
    cells = {}
    for each in rows:
        cells.setdefault(("b", each.label), {})["b", each.id] = each
    return Scores(name, cells, {})


def answers(name, right, *, groups=None, **keys):
    """Cloze scores of items 0, 1, ... that are right (1) or wrong (0)."""
    return scores(name, *(row(i, each, group=str(groups[i]) if groups is not None else None, **keys) for i, each in enumerate(right)))
