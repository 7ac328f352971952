"""Numeric questions with units, from documents that carry measured quantities."""

from __future__ import annotations

from collections.abc import Sequence

from eutectic.data.readers import number_text
from eutectic.specs.rows import Document, Item, Quantity, Role, Split

TOLERANCE = 0.05
STEM = "What is the {quantity} of {title}{unit}?"


def question(document: Document, quantity: Quantity) -> str:
    """The question for one quantity; it names the unit to answer in."""
    unit = f" in {quantity.unit}" if quantity.unit else ""
    return STEM.format(quantity=quantity.name, title=document.title, unit=unit)


def items(documents: Sequence[Document], role: Role, split: dict[str, Split]) -> list[Item]:
    """One item a quantity. The value is the rounded one that the text states; `TOLERANCE` is relative."""
    return [
        Item(
            id=f"{document.id}/{quantity.name.replace(' ', '-')}",
            group=document.group,
            kind="numeric",
            role=role,
            split=split[document.group],
            question=question(document, quantity),
            value=float(number_text(quantity.value)),
            unit=quantity.unit,
            tolerance=TOLERANCE,
            source_ids=(document.id,),
            topic=quantity.name,
        )
        for document in documents
        for quantity in document.quantities
    ]
