"""Blocks of a paper, whatever format they were read from, as a Document: what is not text is cut, sections and pages are kept as ranges."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import ftfy

from eutectic.data.papers.block import NUMBERED, Block, Paper
from eutectic.specs.rows import Document, Mark, Section, Span
from eutectic.specs.study import Cut

CUTS: dict[Cut, re.Pattern[str]] = {
    "references": re.compile(r"references(?: and notes| cited)?|bibliography|literature(?: cited)?|works cited", re.IGNORECASE),
    "acknowledgements": re.compile(
        r"acknowledge?ments?|funding(?: information)?|(?:authors?[’']? )?contributions?(?: of authors)?|author contributions?|"
        r"(?:declaration of )?competing (?:financial )?interests?|conflicts? of interests?|affiliations?",
        re.IGNORECASE,
    ),
}


def document(paper: Paper, source: str, cut: Sequence[Cut]) -> Document:
    """The document of a paper; its id is the digest of its text.

    Encoding is mended by ftfy: letters read in a wrong code page, ligatures, quotes. Blocks are parted by an empty line.
    """
    text, sections, marks, pages = "", list[Section](), list[Mark](), dict[int, list[int]]()
    blocks, metadata = paper.blocks, paper.metadata
    title = next((block.text for block in blocks if block.kind == "title"), metadata.get("title", ""))
    for block in without(blocks, cut):
        mended = mend(block.text)
        if block.kind == "title" or not mended.strip():
            continue
        start = len(text) + 2 if text else 0
        text = f"{text}\n\n{mended}" if text else mended
        if block.kind == "heading":
            sections = [*_closed(sections, start), Section(title=mended, start=len(text), end=len(text))]
        elif block.kind in ("caption", "table"):
            marks.append(Mark(kind=block.kind, start=start, end=len(text)))
        for number in range(block.pages[0], block.pages[1] + 1):
            pages.setdefault(number, [start, len(text)])[1] = len(text)
    identity = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Document(
        id=identity,
        group=identity,
        title=mend(title) or source,
        text=text,
        source=source,
        sections=_closed(sections, len(text)),
        spans=tuple(Span(page=number, start=first, end=last) for number, (first, last) in sorted(pages.items()) if number > 0),
        marks=tuple(marks),
        licence=metadata.get("licence", ""),
        doi=metadata.get("doi", ""),
        year=int(metadata["year"]) if metadata.get("year", "").isdigit() else None,
    )


def _closed(sections: Sequence[Section], end: int) -> tuple[Section, ...]:
    """The sections, the last of which ends where the next begins."""
    return (*sections[:-1], sections[-1].model_copy(update={"end": end})) if sections else ()


def mend(text: str) -> str:
    """Text with its encoding mended."""
    return ftfy.fix_text(text, uncurl_quotes=False, explain=False) if text else text


def without(blocks: Sequence[Block], cut: Sequence[Cut]) -> Iterator[Block]:
    """The blocks without the sections named in `cut` and, with `authors`, what stands between title and first heading on the first page.

    A section ends at the next heading.
    """
    skipping, opened = False, False
    headed = any(block.kind == "heading" and block.pages[0] == blocks[0].pages[0] for block in blocks)
    for block in blocks:
        if block.kind == "heading":
            name = NUMBERED.sub("", block.text).strip().rstrip(".:")
            skipping = any(CUTS[each].fullmatch(name) for each in cut if each in CUTS)
            opened = True
        before = headed and not opened and block.pages[0] == blocks[0].pages[0] and block.kind != "title"
        if not skipping and not (before and "authors" in cut):
            yield block
