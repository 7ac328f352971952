"""Markdown and plain text as blocks: what docling, marker and pandoc write, and notes of one's own; markdown-it does the parsing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eutectic.data.papers.block import CAPTION, Block, Kind, Paper, paragraph


def read(file: Path) -> Paper:
    """The blocks of a Markdown file; a single first-level heading at its beginning is its title."""
    found = tuple(blocks(file.read_text(encoding="utf-8-sig")))
    return Paper(_titled(found))


def read_plain(file: Path) -> Paper:
    """Paragraphs of a text file, parted by empty lines."""
    parts = re.split(r"\n\s*\n", file.read_text(encoding="utf-8-sig"))
    return Paper(tuple(Block("text", part.strip("\n")) for part in parts if part.strip()), {"title": file.stem})


def blocks(text: str) -> Iterator[Block]:
    """Blocks of a Markdown text; emphasis and links lose their marks, formulas keep theirs, pictures and comments are left out."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    rows: list[list[str]] = []
    for place, token in enumerate(tokens):
        if token.type == "inline":
            said, within = paragraph("".join(_inline(token.children or ()))), tokens[place - 1].type
            if within in ("td_open", "th_open"):
                rows[-1].append(said)
            elif said:
                yield Block(_kind(within, said), said)
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "table_close":
            yield Block("table", "\n".join("\t".join(cells) for cells in rows))
            rows = []
        elif token.type in ("fence", "code_block"):
            yield Block("text", token.content.rstrip("\n"))


def _kind(within: str, said: str) -> Kind:
    if within == "heading_open":
        return "heading"
    return "caption" if CAPTION.match(said) else "text"


def _inline(tokens: Sequence[Any]) -> Iterator[str]:
    for token in tokens:
        if token.type in ("text", "code_inline", "text_special"):
            yield token.content
        elif token.type in ("softbreak", "hardbreak"):
            yield " "


def _titled(found: tuple[Block, ...]) -> tuple[Block, ...]:
    """A heading that begins the file and comes before another one is the title."""
    headings = [block for block in found if block.kind == "heading"]
    if len(headings) > 1 and found[0] is headings[0]:
        return (Block("title", found[0].text), *found[1:])
    return found
