"""Typeset rows as blocks: headings, paragraphs, captions and tables, with hyphenation mended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from eutectic.data.papers import pdf
from eutectic.data.papers.block import CAPTION, NUMBERED, Block, Kind, Paper
from eutectic.data.papers.layout import Row, Style, rows
from eutectic.errors import InputError

LONGEST_HEADING = 120  # characters
KNOWN = re.compile(
    r"(?:abstract|summary|introduction|background|(?:materials and |experimental )?methods?|experimental(?: section)?|theory|"
    r"results?(?: and discussion)?|discussion|conclusions?(?: and outlook)?|concluding remarks|outlook|references|bibliography|"
    r"literature(?: cited)?|acknowledge?ments?|appendix|supplementary (?:material|information)|author contributions|"
    r"competing interests|data availability|keywords)",
    re.IGNORECASE,
)
EMPHASISED = re.compile(r"bold|black|heavy|demi|medi|bx|cmb|cmcsc|caps|ital|obli|slant|cmti|cmsl|sfti|sfsl|-it", re.IGNORECASE)
FIXED_WIDTH = re.compile(r"tt|mono|courier|typewriter|consol", re.IGNORECASE)
LEADERS = re.compile(r"(?:\. ?){5,}")  # of a table of contents
SENTENCE_END = re.compile(r"[.!?:;][\"')\]”’]*$")
HEADING_ROWS = 3  # a heading has so many at most
LARGER = 0.6  # points above the body's size that make another size
DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>]+[^\s\"<>.,;)\]]")
SCANNED = 40  # characters a page, on average, below which its pages are pictures


def read(file: Path) -> Paper:
    """The blocks of a PDF. Raises `InputError` for one that is damaged or encrypted, or whose pages are pictures."""
    pages = list(pdf.pages(file))
    characters = sum(len(line.text) for page in pages for line in page.lines)
    if characters < SCANNED * len(pages):
        raise InputError(
            f"its {len(pages)} pages hold {characters} characters of text: they are pictures",
            file=file,
            remedy=f"It needs OCR (text recognition) first, for example `ocrmypdf {file.name} read.pdf`.",
        )
    found = DOI.search(" ".join(line.text for page in pages[:1] for line in page.lines))
    return Paper(tuple(blocks(rows(pages))), {"title": pdf.metadata(file).get("Title", ""), "doi": found[0] if found else ""})


def blocks(rows: Sequence[Row]) -> list[Block]:
    """The blocks of a document's rows, in their order."""
    if not rows:
        return []
    body = _body(rows)
    kinds = _kinds(rows, body)
    words = _vocabulary(rows)
    runs: list[tuple[Kind, list[Row]]] = []
    for row, kind in zip(rows, kinds, strict=True):
        if runs and kind == runs[-1][0] and not _begins(runs[-1][1][-1], row, kind, body):
            runs[-1][1].append(row)
        else:
            runs.append((kind, [row]))
    return [_block(run, kind, words) for kind, run in runs if not LEADERS.search(run[0].text)]


def _body(rows: Sequence[Row]) -> Style:
    """The style of most letters."""
    letters: Counter[Style] = Counter()
    for row in rows:
        letters[row.style] += len(row.text)
    return letters.most_common(1)[0][0]


# --- what a row is


def _kinds(rows: Sequence[Row], body: Style) -> list[Kind]:
    styles = _heading_styles(rows, body)
    title = _title(rows, body)
    found: list[Kind] = []
    for number, row in enumerate(rows):
        if number in title:
            found.append("title")
        elif _heading(rows, number, styles, body) or (found and found[-1] == "heading" and _goes_on(rows[number - 1], row, styles)):
            found.append("heading")
        elif CAPTION.match(row.text) or (found and found[-1] == "caption" and row.gap < 1.6 and not _ended(rows[number - 1])):
            found.append("caption")
        elif row.pieces > 2 or (row.pieces > 1 and found and found[-1] == "table"):
            found.append("table")
        else:
            found.append("text")
    return found


def _heading(rows: Sequence[Row], number: int, styles: set[Style], body: Style) -> bool:
    row = rows[number]
    if not _short(row) or rows[_last(rows, number)].text.rstrip()[-1] in ",;=":
        return False
    if _stands_out(row, body) and _named(row.text):
        return True
    if row.gap > 1.5 and row.text[:1].isupper() and KNOWN.fullmatch(row.text.rstrip(".:")):
        return True
    return row.style in styles and (_alone(rows, number) or row.style[1] >= body[1] + LARGER)


def _named(text: str) -> bool:
    """Whether the words are those of a heading, numbered or known."""
    return bool(NUMBERED.match(text) or KNOWN.fullmatch(NUMBERED.sub("", text).strip().rstrip(".:")))


def _short(row: Row) -> bool:
    """Few words, mostly of letters."""
    written = [c for c in NUMBERED.sub("", row.text) if not c.isspace()]
    letters = sum(c.isalpha() for c in written)
    return row.pieces == 1 and letters >= max(2, 0.7 * len(written)) and len(written) <= LONGEST_HEADING


def _stands_out(row: Row, body: Style) -> bool:
    """Larger than the body, or in a font that emphasises, or in capitals. Code and formulas do not."""
    font, size = row.style
    if FIXED_WIDTH.search(font):
        return False
    heavier = font != body[0] and size >= body[1] - LARGER and bool(EMPHASISED.search(font))
    return size >= body[1] + LARGER or heavier or (row.text.isupper() and len(row.text) > 3)


def _heading_styles(rows: Sequence[Row], body: Style) -> set[Style]:
    """Styles in which headings stand: something has a heading's words, or two things stand alone; and few rows are of another kind."""
    found: dict[Style, list[bool]] = {}
    sure: Counter[Style] = Counter()
    for number, row in enumerate(rows):
        if row.style != body and _stands_out(row, body):
            alone = _short(row) and _alone(rows, number)
            found.setdefault(row.style, []).append(alone)
            sure[row.style] += 2 * (_short(row) and _named(row.text)) + alone
    return {style for style, alone in found.items() if sure[style] >= 2 and sum(alone) >= 0.6 * len(alone)}


def _alone(rows: Sequence[Row], number: int) -> bool:
    """Whether a row, with those of its style right below, has room above it and another style follows."""
    last = _last(rows, number)
    return (
        rows[number].gap > 1.35
        and not SENTENCE_END.search(rows[last].text)
        and last + 1 < len(rows)
        and rows[last + 1].style != rows[number].style
    )


def _last(rows: Sequence[Row], number: int) -> int:
    """The last of the rows of one style that begin here, a heading's number of them at most."""
    last = number
    while last + 1 < len(rows) and last + 1 - number < HEADING_ROWS and _below(rows[last], rows[last + 1]):
        last += 1
    return last


def _below(above: Row, row: Row) -> bool:
    """Whether a row goes on in the style of the one above it, as near as lines of a paragraph."""
    return row.style == above.style and row.page == above.page and row.gap < 1.6


def _goes_on(above: Row, row: Row, styles: set[Style]) -> bool:
    """Whether a heading runs on into a row: its style is used for headings only."""
    return row.style in styles and _below(above, row) and _short(row) and not NUMBERED.match(row.text)


def _title(rows: Sequence[Row], body: Style) -> set[int]:
    """The rows of the largest size on the first page, where they come before anything of the body."""
    first = [(number, row) for number, row in enumerate(rows) if row.page == rows[0].page]
    largest = max(row.style[1] for _, row in first)
    if largest < body[1] + LARGER:
        return set()
    numbers = [number for number, row in first if row.style[1] == largest]
    together = [number for place, number in enumerate(numbers) if number == numbers[0] + place]
    return set(together) if len(together) <= 5 and not _named(rows[together[0]].text) else set()


# --- rows to text


def _begins(before: Row, row: Row, kind: Kind, body: Style) -> bool:
    """Whether a row begins a block of its own although the one before it is of the same kind."""
    if kind in ("title", "table"):
        return False
    if kind == "heading":
        return row.style != before.style or row.gap > 2.2 or bool(NUMBERED.match(row.text))
    if kind == "caption" and CAPTION.match(row.text):
        return True
    if row.page != before.page or row.gap > 90:  # another page or column: a sentence may go on there
        return _ended(before) and not row.text[:1].islower()
    indented = row.left - row.column[0] > 0.8 * body[1] and before.left - before.column[0] < 0.8 * body[1]
    short = before.right < before.column[1] - 0.15 * (before.column[1] - before.column[0])
    return row.gap > 1.75 or (indented and _ended(before)) or (short and _ended(before) and row.text[:1].isupper())


def _ended(row: Row) -> bool:
    return bool(SENTENCE_END.search(row.text)) and not row.broken


def _block(run: Sequence[Row], kind: Kind, words: Counter[str]) -> Block:
    text = "\n".join(row.text for row in run) if kind == "table" else flowing(run, words)
    return Block(kind, text, (run[0].page, run[-1].page))


def flowing(run: Sequence[Row], words: Counter[str]) -> str:
    """Rows as one text; words broken at the end of a row are put together."""
    text = run[0].text
    for before, row in pairwise(run):
        text = _mended(text, row.text, words) if before.broken or re.search(r"\w[-\u2010\u00ad]$", text) else f"{text} {row.text}"
    return text


def _mended(text: str, following: str, words: Counter[str]) -> str:
    """`text` with what follows its last hyphen: one word, unless the document writes it with the hyphen elsewhere."""
    bare = text.rstrip("-\u2010\u00ad")
    first, second = re.search(r"[\w'’]*$", bare), re.match(r"[\w'’]*", following)
    assert first is not None
    assert second is not None
    whole, hyphened = f"{first[0]}{second[0]}".casefold(), f"{first[0]}-{second[0]}".casefold()
    keep = second[0][:1].isupper() or second[0][:1].isdigit() or first[0][-1:].isdigit()
    if whole in words:
        keep = False
    elif hyphened in words:
        keep = True
    return f"{bare}-{following}" if keep else bare + following


def _vocabulary(rows: Sequence[Row]) -> Counter[str]:
    """Words, and words with hyphens, that stand inside a row."""
    found: Counter[str] = Counter()
    for row in rows:
        inside = row.text.casefold().split()
        found.update(word.strip(".,;:!?()[]\"'") for word in (inside[:-1] if row.broken or row.text.endswith("-") else inside))
    return found
