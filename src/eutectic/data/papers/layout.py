"""Reading order of typeset pages: columns, running heads, and lines put together from their pieces.

Works on whole documents, since only repetition over pages tells a running head from text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from eutectic.data.papers.pdf import GAP, Line, Page

MARGIN = 0.16  # share of the height at the top and the bottom where running heads stand
COLUMN_LINES = 8  # lines a side that make two columns
CROSSING = 0.45  # most lines across the gutter for each beside it: title, abstract and wide figures take part of a page
SAME_HEIGHT = 3.0  # points
PAGE_NUMBER = re.compile(r"[\W_]*(?:page\s+)?(?:\d{1,5}|[ivxl]{1,7})(?:\s*(?:of|/)\s*\d{1,5})?[\W_]*", re.IGNORECASE)
Style = tuple[str, float]  # font and size


@dataclass(frozen=True)
class Row:
    """A line of a column: its pieces joined. `gap` is the distance from the row above it in units of its size, large at a column's top."""

    text: str
    page: int
    left: float
    right: float
    middle: float
    style: Style
    column: tuple[float, float]
    gap: float
    pieces: int
    broken: bool


def rows(pages: Sequence[Page]) -> list[Row]:
    """All rows of a document in reading order, without running heads and page numbers."""
    bare = without_running_heads(pages)
    return [row for page in bare for row in _page_rows(page)]


# --- running heads


def without_running_heads(pages: Sequence[Page]) -> list[Page]:
    """The pages without what is not of the text: lines that come again at one height, page numbers, and what stands beside them.

    A line at the edge of a page goes if the same words (whatever the digits) stand at the same height on another page, if it begins or ends
    with a number that counts the pages, or if at its height such lines stand on at least half of the pages.
    """
    edges = {page.number: _edges(page) for page in pages}
    repeated = Counter(
        (words, _height(lines[0]))
        for found in edges.values()
        for text, lines in found
        for words in {_words(text), *(_words(line.text) for line in lines)}
    )
    offset = _page_offset(edges)
    gone: dict[int, list[Line]] = {number: [] for number in edges}
    heights: Counter[int] = Counter()
    for number, found in edges.items():
        for text, lines in [*found, *((line.text, [line]) for _, pieces in found if len(pieces) > 1 for line in pieces)]:
            again = sum(repeated[_words(text), _height(lines[0]) + step] for step in (-1, 0, 1)) > 1
            counts = offset is not None and number + offset in _outer_numbers(text)
            outermost = lines[0] in (*found[0][1], *found[-1][1])
            if again or counts or (outermost and PAGE_NUMBER.fullmatch(text)):
                gone[number] += lines
                heights.update({_height(line) for line in lines})
    usual = {height for height, count in heights.items() if 2 * count >= len(pages) > 2}
    for number, found in edges.items():
        gone[number] += [line for _, lines in found for line in lines if {_height(line) + step for step in (-1, 0, 1)} & usual]
    return [
        Page(
            page.number, page.width, page.height, tuple(line for line in page.lines if not any(line is each for each in gone[page.number]))
        )
        for page in pages
    ]


def _edges(page: Page) -> list[tuple[str, list[Line]]]:
    """The lines of one height near the top or bottom edge, as text and pieces."""
    found: list[list[Line]] = []
    edge = MARGIN * page.height
    for line in sorted((line for line in page.lines if not edge <= line.middle <= page.height - edge), key=lambda line: -line.middle):
        if found and abs(found[-1][0].middle - line.middle) < SAME_HEIGHT:
            found[-1].append(line)
        else:
            found.append([line])
    return [(" ".join(line.text for line in sorted(lines, key=lambda line: line.left)), lines) for lines in found]


def _words(text: str) -> str:
    return re.sub(r"\d+", "#", " ".join(text.split())).casefold()


def _height(line: Line) -> int:
    return round(line.middle / SAME_HEIGHT)


def _outer_numbers(text: str) -> set[int]:
    """The numbers a line begins and ends with."""
    return {int(number) for number in re.findall(r"^\d{1,5}\b|\b\d{1,5}$", text.strip())}


def _page_offset(edges: dict[int, list[tuple[str, list[Line]]]]) -> int | None:
    """What the printed page numbers are ahead of the count, where at least half of the pages (and three) agree."""
    found = Counter(
        printed - number for number, lines in edges.items() for printed in {n for text, _ in lines for n in _outer_numbers(text)}
    )
    offset, count = found.most_common(1)[0] if found else (0, 0)
    return offset if count >= max(3, len(edges) / 2) else None


# --- columns and rows


def _page_rows(page: Page) -> Iterator[Row]:
    for lines, column in _columns(page):
        above: Row | None = None
        for pieces in _level(lines):
            row = _joined(pieces, page.number, column, above)
            yield row
            above = row


def gutter(page: Page) -> float | None:
    """Where the page's two columns are parted, None where it has one."""
    if not page.lines:
        return None
    left, right = min(line.left for line in page.lines), max(line.right for line in page.lines)
    best: tuple[int, float] | None = None
    for step in range(-8, 9):
        x = (left + right) / 2 + step * (right - left) / 80
        before = [line for line in page.lines if line.right <= x]
        behind = [line for line in page.lines if line.left >= x]
        across = len(page.lines) - len(before) - len(behind)
        sides = min(len(_level(before)), len(_level(behind)))
        if sides >= COLUMN_LINES and across <= CROSSING * len(page.lines) and _side_by_side(before, behind):
            best = min(best, (across, x)) if best else (across, x)
    return None if best is None else best[1]


def _side_by_side(before: Sequence[Line], behind: Sequence[Line]) -> bool:
    """Whether both sides hold running text: lines that mostly fill their column's width."""
    for side in (before, behind):
        width = max(line.right for line in side) - min(line.left for line in side)
        full = sum(line.right - line.left > 0.7 * width for line in side)
        if full < COLUMN_LINES / 2 or width <= 0:
            return False
    return True


def _columns(page: Page) -> Iterator[tuple[list[Line], tuple[float, float]]]:
    """Runs of lines that are read from top to bottom, with the edges of their column."""
    x = gutter(page)
    if x is None:
        if page.lines:
            yield list(page.lines), _extent(page.lines)
        return
    left = _extent([line for line in page.lines if line.right <= x])
    right = _extent([line for line in page.lines if line.left >= x])
    sides: tuple[list[Line], list[Line]] = ([], [])
    for pieces in _level(page.lines):
        across = [line for line in pieces if line.left < x < line.right]
        if across:
            yield from ((side, edges) for side, edges in zip(sides, (left, right), strict=True) if side)
            sides = ([], [])
            yield pieces, (left[0], right[1])
        else:
            sides[0].extend(line for line in pieces if line.right <= x)
            sides[1].extend(line for line in pieces if line.left >= x)
    yield from ((side, edges) for side, edges in zip(sides, (left, right), strict=True) if side)


def _extent(lines: Sequence[Line]) -> tuple[float, float]:
    """Left and right edge of most lines."""
    lefts, rights = sorted(line.left for line in lines), sorted(line.right for line in lines)
    return lefts[len(lefts) // 10], rights[-1 - len(rights) // 10]


def _level(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines that stand at one height together (a formula comes in pieces), from top to bottom, each from left to right."""
    found: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: -line.middle):
        if found:
            whole = max(found[-1], key=lambda piece: piece.size)
            if abs(whole.middle - line.middle) < 0.55 * max(whole.size, line.size):
                found[-1].append(line)
                continue
        found.append([line])
    return [sorted(pieces, key=lambda piece: piece.left) for pieces in found]


def _joined(pieces: Sequence[Line], page: int, column: tuple[float, float], above: Row | None) -> Row:
    """One row of its pieces: a space where they stand apart."""
    text = pieces[0].text
    for before, piece in pairwise(pieces):
        apart = piece.left - before.right > 0.12 * max(before.size, piece.size)
        text += (" " if apart else "") + piece.text
    main = max(pieces, key=lambda piece: len(piece.text))
    middle = median(piece.middle for piece in pieces)
    gap = (above.middle - middle) / max(main.size, 1.0) if above is not None else 99.0
    wide = sum(piece.left - before.right > GAP * main.size for before, piece in pairwise(pieces))
    return Row(
        text,
        page,
        pieces[0].left,
        max(piece.right for piece in pieces),
        middle,
        (main.font, main.size),
        column,
        gap,
        1 + wide,
        pieces[-1].broken,
    )
