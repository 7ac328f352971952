"""Two-column papers typeset from known text, so that what is read back can be compared with it letter by letter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import BaseDocTemplate, Frame, FrameBreak, NextPageTemplate, PageTemplate, Paragraph, Table

DOCS = Path(__file__).parents[2] / "docs"
HEAD = "Journal of Tested Readers, Vol. 7"


@dataclass(frozen=True)
class Known:
    """What stands in a typeset paper: `sections` of (heading, paragraphs)."""

    title: str
    sections: list[tuple[str, list[str]]]

    @property
    def headings(self) -> list[str]:
        return [heading for heading, _ in self.sections]

    @property
    def text(self) -> str:
        return "\n\n".join(part for heading, paragraphs in self.sections for part in (heading, *paragraphs))


def known(pages: int = 1) -> Known:
    """Headings and running text of our own documentation."""
    sections: list[tuple[str, list[str]]] = []
    for file in sorted((DOCS / "decisions").glob("*.md")):
        for part in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            plain = re.sub(r"[`*_|#<>]|\[([^]]*)\]\([^)]*\)", r"\1", " ".join(part.split()))
            if part.startswith("#"):
                sections.append((re.sub(r"^\d+ ", "", plain.strip().splitlines()[0])[:60], []))
            elif sections and len(plain.split()) > 25 and not part.lstrip().startswith(("|", "-", "```")) and plain.isascii():
                sections[-1][1].append(plain)
    whole = [
        (f"{number}. {heading.strip()}", paragraphs) for number, (heading, paragraphs) in enumerate(((h, p) for h, p in sections if p), 1)
    ]
    return Known("A Paper on the Making of Papers", whole * pages)


def two_columns(file: Path, paper: Known, hyphens: bool = True, **options) -> Path:
    """Write `paper` in two columns with running heads, page numbers, a table with its caption, and an author block."""
    body = ParagraphStyle(
        "body",
        fontName="Times-Roman",
        fontSize=9.5,
        leading=11.5,
        alignment=TA_JUSTIFY,
        firstLineIndent=10,
        hyphenationLang="en_US" if hyphens else "",
    )
    heading = ParagraphStyle("heading", fontName="Times-Bold", fontSize=11, leading=14, spaceBefore=8, spaceAfter=3)
    title = ParagraphStyle("title", fontName="Times-Bold", fontSize=18, leading=22)
    authors = ParagraphStyle("authors", fontName="Times-Italic", fontSize=10, leading=13)
    width, height = A4
    column = (width - 40 * mm - 8 * mm) / 2
    low, high = 20 * mm, height - 25 * mm
    columns = [Frame(20 * mm + side * (column + 8 * mm), low, column, high - low, 0, 0, 0, 0, id=f"c{side}") for side in (0, 1)]
    top = 32 * mm
    first = [Frame(20 * mm, high - top, width - 40 * mm, top, 0, 0, 0, 0, id="top")] + [
        Frame(20 * mm + side * (column + 8 * mm), low, column, high - low - top, 0, 0, 0, 0, id=f"f{side}") for side in (0, 1)
    ]

    def furniture(canvas, document):
        canvas.saveState()
        canvas.setFont("Times-Roman", 8)
        canvas.drawString(20 * mm, height - 15 * mm, HEAD)
        canvas.drawRightString(width - 20 * mm, height - 15 * mm, "A. Reader and B. Writer")
        canvas.drawCentredString(width / 2, 10 * mm, str(document.page))
        canvas.restoreState()

    made = BaseDocTemplate(str(file), pagesize=A4, title=paper.title, **options)
    made.addPageTemplates([PageTemplate("first", first, onPage=furniture), PageTemplate("later", columns, onPage=furniture)])
    story = [
        Paragraph(paper.title, title),
        Paragraph("Ada Reader, Ben Writer<br/>Institute of Letters, 1 Press Street", authors),
        NextPageTemplate("later"),
        FrameBreak(),
    ]
    for number, (name, paragraphs) in enumerate(paper.sections):
        story += [Paragraph(name, heading), *(Paragraph(text, body) for text in paragraphs)]
        if number == 1:
            cells = [["fibre", "strength (GPa)", "strain (%)"], ["silk", "1.1", "27"], ["collagen", "0.1", "12"]]
            story += [Paragraph("Table 1: Two fibres and what they bear.", body), Table(cells)]
    story += [Paragraph("References", heading), *(Paragraph(f"[{n}] Reader A. On letters. J. Lett. {n}, 2020.", body) for n in range(1, 9))]
    made.build(story)
    return file
