"""What every reader of papers makes of a file: a run of blocks, and what the file says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["title", "heading", "text", "caption", "table"]

NUMBERED = re.compile(r"(?:(?:\d{1,2}(?:\.\d{1,2}){0,3}\.?|[IVX]{1,4}\.|[A-H]\.(?:\d{1,2}\.?)*|Appendix [A-Z]\b[.:]?)\s+)(?=\S)")
CAPTION = re.compile(r"(?:Fig(?:ure|\.)?|Table|Tab\.|Scheme|Algorithm|Listing)\s*\.?\s*[A-Z]?\d+(?:\.\d+)*\s*[.:|–—]")


@dataclass(frozen=True)
class Block:
    """A run of text of one kind; `pages` are the first and the last it stands on, 0 where the format has no pages."""

    kind: Kind
    text: str
    pages: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Paper:
    """The blocks of a file in reading order; `metadata` may hold `title`, `doi`, `year` and `licence`."""

    blocks: tuple[Block, ...]
    metadata: dict[str, str] = field(default_factory=dict)


def paragraph(text: str) -> str:
    """Text on one line."""
    return " ".join(text.split())
