"""What a section is made of: paragraphs, tables, figures, conversations, cards, folded texts. One template draws each of them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

Value = str | int | float | bool | None
DASH = "–"
MINUS = "−"


def number(value: float, digits: int = 1, sign: bool = False) -> str:
    """A number with thin grouping and a true minus sign."""
    return f"{value:{'+' if sign else ''}z,.{digits}f}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds in the unit a person would use."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def probability(value: float) -> str:
    """A p-value: three decimals, and nothing below what a permutation test can tell."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def interval(estimate: float, low: float, high: float, sign: bool = False) -> str:
    """Shares as points with their interval: `52.3 [49.2, 55.4]`."""
    return f"{number(100 * estimate, 1, sign)} [{number(100 * low, 1, sign)}, {number(100 * high, 1, sign)}]"


def power_of_ten(value: float) -> str:
    """A large number as `3.14 × 10¹²`."""
    digits, _, exponent = f"{value:.2e}".partition("e")
    return f"{digits} × 10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


FORMS: dict[str, Callable[[float], str]] = {
    "count": lambda value: f"{value:,.0f}",
    "percent": lambda value: number(100 * value),
    "points": lambda value: number(100 * value, sign=True),
    "seconds": duration,
    "memory": lambda value: f"{value / 1e9:.2f} GB",
    "p": probability,
    "flops": power_of_ten,
    "sci": lambda value: f"{value:.2g}",
    "yes": lambda value: "yes" if value else "no",
    "number": lambda value: number(value, 0 if isinstance(value, int) else 3 if abs(value) < 10 else 1),
}


def show(value: Value, form: str) -> str:
    """A table value in the form of its column, one of `FORMS` for numbers; a `key` is cut to 12 digits."""
    if value is None or value == "":
        return DASH
    if isinstance(value, str):
        return value[:12] if form == "key" else value
    return FORMS.get(form, str)(value)


@dataclass(frozen=True)
class Column:
    """A column: its heading and how its values are shown. An `address` never wraps; a `span` is text set like a number; `lines` is text
    of several lines, which in a `block` never wrap.
    """

    title: str
    form: str = "text"

    @property
    def numeric(self) -> bool:
        """Numbers are set to the right in figures of one width."""
        return self.form not in ("text", "address", "key", "full", "yes", "lines", "block")


def headed(*titles: str) -> list[Column]:
    """Columns from `title` or `title|form`."""
    return [Column(*title.split("|")) for title in titles]


@dataclass(frozen=True)
class Text:
    """A paragraph. `tone` marks a note or a warning."""

    text: str
    tone: str = ""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Table:
    """A table of raw values; `tables/NAME.csv` holds them unrounded. `depths` indents rows, `marks` gives rows a CSS class.

    `hidden` columns (by title) go into the CSV file only; a `folded` table opens on a click.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    depths: Sequence[int] = ()
    marks: Sequence[str] = ()
    hidden: frozenset[str] = frozenset()
    folded: bool = False
    kind: ClassVar[str] = "table"

    @property
    def shown(self) -> list[Column]:
        """Columns of the page."""
        return [column for column in self.columns if column.title not in self.hidden]

    @property
    def body(self) -> list[dict[str, object]]:
        """Rows of the page: cells as text, indentation, mark."""
        kept = [index for index, column in enumerate(self.columns) if column.title not in self.hidden]
        return [
            {
                "cells": [show(row[index], self.columns[index].form) for index in kept],
                "depth": self.depths[place] if self.depths else 0,
                "mark": self.marks[place] if self.marks else "",
            }
            for place, row in enumerate(self.rows)
        ]

    def write(self, folder: Path) -> None:
        """Write the raw values as CSV."""
        with (folder / f"{self.name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow([column.title for column in self.columns])
            writer.writerows([["" if value is None else value for value in row] for row in self.rows])


@dataclass(frozen=True)
class Figure:
    """An SVG picture with what it shows in words; also `figures/NAME.svg`."""

    name: str
    svg: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Figures:
    """Pictures side by side where the page is wide enough, with one caption for all."""

    pictures: Sequence[Figure]
    caption: str = ""
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Reply:
    """One model's answer in a conversation, or a note where there is none."""

    model: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class Exchange:
    """One user turn and every model's answer to it."""

    user: str
    replies: Sequence[Reply]


@dataclass(frozen=True)
class Talk:
    """One conversation held with several models."""

    title: str
    system: str
    exchanges: Sequence[Exchange]
    kind: ClassVar[str] = "talk"


@dataclass(frozen=True)
class Card:
    """A titled text with facts about it and folded parts."""

    title: str
    text: str
    note: str = ""
    folded: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Cards:
    """Cards under one heading, in columns."""

    title: str
    cards: Sequence[Card]
    kind: ClassVar[str] = "cards"


@dataclass(frozen=True)
class Folded:
    """A long text behind its title: the study file, for instance."""

    title: str
    text: str
    kind: ClassVar[str] = "folded"


Block = Text | Table | Figures | Talk | Cards | Folded


@dataclass(frozen=True)
class Section:
    """A section of the page. Without blocks it says that it has not been run yet."""

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    missing: str = "Not run yet."
