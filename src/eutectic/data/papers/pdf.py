"""PDF files as pages of text lines with their place, size and font, by pypdfium2 (Apache-2.0/BSD; 4 ms a page).

PDFium gives characters in the order in which the file draws them and ends a line where the next one begins elsewhere; where it
believes that a word was broken over two lines it writes U+FFFE for the hyphen. Everything else (columns, headings, running heads) is
worked out from the lines by `eutectic.data.layout`.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eutectic.errors import InputError

BROKEN_WORD = "\ufffe"
LINE = re.compile(r"[^ \t\r\n\xa0\ufffe](?:[^\r\n\ufffe]*[^ \t\r\n\xa0\ufffe])?")
# Of a letter's width in units of its size; only wider lines are looked through for gaps, which are at least this wide.
USUAL_WIDTH, GAP = 0.5, 1.0
NUMBER = re.compile(r"(?:[\dA-Z]{1,3}|[ivx]+)(?:\.\d+)*[.)]?|[•–*-]")  # of a heading or an item: more room may follow it
# Ligatures of TeX's fonts where the file does not say which letters they are.
LIGATURES = str.maketrans({0x1B: "ff", 0x1C: "fi", 0x1D: "fl", 0x1E: "ffi", 0x1F: "ffl"})


@dataclass(frozen=True)
class Line:
    """Text that stands on one line of a page, in points from the lower left corner. `broken`: its last word goes on in the next line."""

    text: str
    left: float
    right: float
    bottom: float
    top: float
    size: float
    font: str
    broken: bool = False

    @property
    def middle(self) -> float:
        """Height of its middle."""
        return (self.bottom + self.top) / 2


@dataclass(frozen=True)
class Page:
    """A page (numbered from 1) and its lines in the file's order."""

    number: int
    width: float
    height: float
    lines: tuple[Line, ...]


def pages(file: Path) -> Iterator[Page]:
    """The pages of a PDF one by one, so that memory does not grow with the file.

    Raises `InputError` for a file that is no PDF, is damaged or encrypted.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        raise _refusal(file, str(error)) from error
    try:
        for index in range(len(document)):
            page = document[index]
            text = page.get_textpage()
            try:
                width, height = page.get_size()
                yield Page(index + 1, width, height, tuple(_lines(text)))
            finally:
                text.close()
                page.close()
    except pypdfium2.PdfiumError as error:
        raise _refusal(file, str(error)) from error
    finally:
        document.close()


def metadata(file: Path) -> dict[str, str]:
    """What the file says of itself (`Title`, `Author`, `CreationDate`, ...), where it says anything."""
    import pypdfium2

    document = pypdfium2.PdfDocument(file)
    try:
        return {key: value for key, value in document.get_metadata_dict().items() if value}
    finally:
        document.close()


def _refusal(file: Path, reason: str) -> InputError:
    if "assword" in reason:
        return InputError("is encrypted and asks for a password", file=file, remedy="Save a copy without a password (qpdf --decrypt).")
    return InputError(
        f"is no whole PDF ({reason.rstrip('.')})",
        file=file,
        remedy="It is damaged or was not fully copied: fetch it again, or leave it out.",
    )


def _lines(page: Any) -> Iterator[Line]:
    """The lines of a page. Characters are counted in UTF-16 units, as PDFium does."""
    import pypdfium2.raw as pdfium

    count = page.count_chars()
    buffer = (ctypes.c_ushort * (count + 1))()
    units = "".join(map(chr, buffer[: max(0, pdfium.FPDFText_GetText(page, 0, count, buffer) - 1)]))
    for found in LINE.finditer(units):
        broken = units[found.end() : found.end() + 1] == BROKEN_WORD
        start = found.start()
        for stop in (*_leaps(page, *found.span()), found.end()):
            if units[start:stop].strip():
                line = _line(page, units[start:stop].rstrip(), start, broken=broken and stop == found.end())
                yield from _cells(page, line, units[start:stop].rstrip(), start)
            start = stop


def _cells(page: Any, line: Line, units: str, start: int) -> Iterator[Line]:
    """A line in pieces where it has wide gaps, as rows of a table have; PDFium puts one space for each."""
    if line.right - line.left < USUAL_WIDTH * line.size * len(units):
        yield line
        return
    begun = 0
    for space in (place for place, unit in enumerate(units) if unit == " "):
        apart = _box(page, start + space + 1)[0] - _box(page, start + space - 1)[1] > GAP * line.size
        if apart and not NUMBER.fullmatch(units[:space]):
            yield _line(page, units[begun:space], start + begun, broken=False)
            begun = space + 1
    yield line if begun == 0 else _line(page, units[begun:], start + begun, broken=line.broken)


def _leaps(page: Any, start: int, stop: int) -> Iterator[int]:
    """Where a line goes on elsewhere on the page: PDFium joins a running head and the turned label of an axis, for instance."""
    here, there = _box(page, start), _box(page, stop - 1)
    if here[2] <= there[3] and there[2] <= here[3]:
        return
    for place in range(start + 1, stop):
        box = _box(page, place)
        if (box[2] > here[3] or box[3] < here[2]) and box[3] > box[2]:
            yield place
            return


def _line(page: Any, units: str, start: int, *, broken: bool) -> Line:
    """The line of some UTF-16 units, the first of which is number `start` of the page."""
    import pypdfium2.raw as pdfium

    stop = start + len(units)
    text = units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").translate(LIGATURES)
    first, last = _box(page, start), _box(page, stop - 1)
    middle = _box(page, (start + stop) // 2)  # a line of low letters may begin and end with a tall one
    flags, name = ctypes.c_int(), ctypes.create_string_buffer(64)
    pdfium.FPDFText_GetFontInfo(page, (start + stop) // 2, name, 64, flags)
    return Line(
        text,
        min(first[0], last[0]),
        max(first[1], last[1]),
        min(first[2], middle[2], last[2]),
        max(first[3], middle[3], last[3]),
        round(pdfium.FPDFText_GetFontSize(page, (start + stop) // 2), 1),
        name.value.decode("latin-1").partition("+")[2] or name.value.decode("latin-1"),
        broken,
    )


def _box(page: Any, index: int) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a character."""
    import pypdfium2.raw as pdfium

    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    pdfium.FPDFText_GetCharBox(page, index, left, right, bottom, top)
    return left.value, right.value, bottom.value, top.value
