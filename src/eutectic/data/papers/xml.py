"""Papers in XML: JATS, as publishers and PubMed Central give them, and TEI, as GROBID writes it; lxml does the parsing.

Files from outside are not trusted: entities are not expanded, nothing is fetched, and a file that declares entities is refused.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eutectic.data.papers.block import Block, Paper, paragraph
from eutectic.errors import InputError

YEAR = re.compile(r"\b(?:1[89]|20)\d\d\b")
# Notes and contributors' data are not read as text; mathematics written twice (MathML and TeX) is read once.
JATS_SKIPPED = {"front", "front-stub", "fn", "alternatives", "tex-math", "sub-article", "response", "object-id", "label"}
TEI_SKIPPED = {"note", "teiHeader", "graphic", "label"}


def read(file: Path) -> Paper:
    """The blocks of a JATS or TEI file. Raises `InputError` for XML that is broken, unsafe or of another kind."""
    root = parse(file)
    kind = name_of(root)
    if kind == "article" or root.find(".//{*}article-meta") is not None:
        return Paper(tuple(_jats(root)), _jats_metadata(root))
    if kind in ("TEI", "teiCorpus"):
        return Paper(tuple(_tei(root)), _tei_metadata(root))
    raise InputError(f"is XML of a kind that is not read (`{kind}`)", file=file, remedy="JATS (`article`) and TEI (`TEI`) are read.")


def parse(file: Path) -> Any:
    """The root element. Raises `InputError` for broken XML and for declared entities (they can fill the memory or read files)."""
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        tree = etree.parse(file, parser)
    except etree.XMLSyntaxError as error:
        line = error.lineno or None
        raise InputError(f"is not XML ({error.msg})", file=file, line=line, remedy="Fetch the file again, or leave it out.") from error
    declared = tree.docinfo.internalDTD
    if declared is not None and next(declared.iterentities(), None) is not None:
        raise InputError("declares XML entities, which are not expanded", file=file, remedy="Save it without a DOCTYPE, or leave it out.")
    return tree.getroot()


def name_of(node: Any) -> str:
    """The local name of an element; empty for an entity."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def text_of(node: Any, skipped: frozenset[str] | set[str] = frozenset()) -> str:
    """All text in an element on one line."""
    return paragraph("".join(_texts(node, skipped)))


def _texts(node: Any, skipped: frozenset[str] | set[str]) -> Iterator[str]:
    yield html.unescape(node.text or "")
    for child in node:
        if name_of(child) not in skipped:
            yield from _texts(child, skipped)
        yield child.tail or ""


def _table(node: Any) -> str:
    """Rows of a table, cells parted by tabs."""
    rows = [[text_of(cell) for cell in row] for row in node.iter("{*}tr", "{*}row")]
    return "\n".join("\t".join(cells) for cells in rows if any(cells))


# --- JATS


def _jats(root: Any) -> Iterator[Block]:
    title = root.find(".//{*}article-meta//{*}article-title")
    if title is not None:
        yield Block("title", text_of(title, {"xref", "fn"}))
    for abstract in root.iterfind(".//{*}article-meta/{*}abstract"):
        if abstract.get("abstract-type") not in ("graphical", "toc"):
            if abstract.find("{*}title") is None:
                yield Block("heading", "Abstract")
            yield from _jats_blocks(abstract)
    for part in ("body", "back"):
        for node in root.iterfind(f"./{{*}}{part}"):
            yield from _jats_blocks(node)


def _jats_blocks(node: Any) -> Iterator[Block]:
    for child in node:
        name = name_of(child)
        if name == "title":
            yield Block("heading", text_of(child))
        elif name in ("p", "disp-formula", "disp-quote", "preformat", "verse-group"):
            yield from _jats_paragraph(child)
        elif name == "caption":
            yield Block("caption", _labelled(node, child))
        elif name in ("table", "oasis:table"):
            yield Block("table", _table(child))
        elif name == "ref-list":
            yield Block("heading", "References")
            yield from (Block("text", text_of(reference)) for reference in child.iter("{*}ref"))
        elif name == "ack":
            yield Block("heading", "Acknowledgements")
            yield from (block for block in _jats_blocks(child) if block.kind != "heading")
        elif name not in JATS_SKIPPED:
            yield from _jats_blocks(child)


def _jats_paragraph(node: Any) -> Iterator[Block]:
    """A paragraph, and behind it the figures, tables and lists that stand inside it."""
    inside = {"fig", "fig-group", "table-wrap", "list", "def-list", "boxed-text"}
    yield Block("text", text_of(node, inside | JATS_SKIPPED - {"alternatives"} | {"xref"} if _only_figures(node) else inside | {"fn"}))
    for child in node.iter(*(f"{{*}}{name}" for name in inside)):
        yield from _jats_blocks(child)


def _only_figures(node: Any) -> bool:
    return all(name_of(child) in ("fig", "fig-group", "table-wrap") for child in node) and not (node.text or "").strip()


def _labelled(figure: Any, caption: Any) -> str:
    label = figure.find("{*}label")
    parts = ["" if label is None else text_of(label).rstrip(".") + ".", *(text_of(child) for child in caption)]
    return " ".join(part for part in parts if part)


def _jats_metadata(root: Any) -> dict[str, str]:
    meta = root.find(".//{*}article-meta")
    if meta is None:
        return {}
    doi = next((text_of(each) for each in meta.iterfind("{*}article-id") if each.get("pub-id-type") == "doi"), "")
    years = sorted(text_of(year) for year in meta.iterfind("{*}pub-date/{*}year"))
    licence = meta.find(".//{*}license")
    return {"doi": doi, "year": years[0] if years else "", "licence": "" if licence is None else _licence(licence)}


def _licence(node: Any) -> str:
    """The licence's address where it has one, else its words."""
    links = [node.get("{http://www.w3.org/1999/xlink}href"), *(text_of(each) for each in node.iterfind(".//{*}license_ref"))]
    return next((link for link in links if link), None) or text_of(node)[:200]


# --- TEI


def _tei(root: Any) -> Iterator[Block]:
    title = root.find(".//{*}titleStmt/{*}title")
    if title is not None and text_of(title):
        yield Block("title", text_of(title))
    abstract = root.find(".//{*}profileDesc/{*}abstract")
    if abstract is not None and text_of(abstract):
        yield Block("heading", "Abstract")
        yield from _tei_blocks(abstract)
    for part in ("body", "back"):
        node = root.find(f"./{{*}}text/{{*}}{part}")
        if node is not None:
            yield from _tei_blocks(node)


def _tei_blocks(node: Any) -> Iterator[Block]:
    for child in node:
        name = name_of(child)
        if name == "head":
            number = child.get("n")
            yield Block("heading", f"{number} {text_of(child)}" if number else text_of(child))
        elif name in ("p", "formula", "item", "ab"):
            yield Block("text", text_of(child, {"note"}))
        elif name == "figure":
            yield from _tei_figure(child)
        elif name == "listBibl":
            yield Block("heading", "References")
            yield from (Block("text", text_of(each)) for each in child.iterfind("{*}biblStruct"))
        elif name == "div" and child.get("type") in ("acknowledgement", "funding") and child.find(".//{*}head") is None:
            yield Block("heading", "Acknowledgements")
            yield from _tei_blocks(child)
        elif name not in TEI_SKIPPED:
            yield from _tei_blocks(child)


def _tei_figure(node: Any) -> Iterator[Block]:
    parts = (node.find("{*}head"), node.find("{*}figDesc"))
    caption = " ".join(text_of(part) for part in parts if part is not None and text_of(part))
    if caption:
        yield Block("caption", caption)
    yield from (Block("table", _table(table)) for table in node.iterfind("{*}table"))


def _tei_metadata(root: Any) -> dict[str, str]:
    doi = next((text_of(each) for each in root.iterfind(".//{*}sourceDesc//{*}idno") if each.get("type") == "DOI"), "")
    dates = [node.get("when") or text_of(node) for node in root.iterfind(".//{*}publicationStmt/{*}date")]
    year = next((found[0] for date in dates if (found := YEAR.search(date))), "")
    licence = root.find(".//{*}availability/{*}licence")
    return {"doi": doi, "year": year, "licence": "" if licence is None else licence.get("target") or text_of(licence)[:200]}
