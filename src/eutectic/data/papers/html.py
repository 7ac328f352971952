"""Papers as web pages: headings, paragraphs, lists, captions and tables of the article; menus, scripts and forms are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eutectic.data.papers.block import Block, Paper, paragraph
from eutectic.data.papers.xml import YEAR
from eutectic.errors import InputError

SKIPPED = {
    "script",
    "style",
    "nav",
    "header",
    "footer",
    "aside",
    "form",
    "noscript",
    "button",
    "svg",
    "template",
    "iframe",
    "select",
    "head",
}
HEADINGS = re.compile(r"h[1-6]")
TEXTS = {"p", "li", "dd", "dt", "pre", "blockquote", "math"}
NESTED = TEXTS | {"ul", "ol", "table", "figure"}
CAPTIONS = {"figcaption", "caption"}
INLINE = {"a", "b", "i", "em", "strong", "span", "sub", "sup", "code", "abbr", "cite", "q", "small", "u", "var", "mark", "time"}


def read(file: Path) -> Paper:
    """The blocks of an HTML file, and what its `citation_*` tags say."""
    from lxml import etree, html

    raw = file.read_bytes()
    try:
        root = html.document_fromstring(raw, parser=html.HTMLParser(encoding=_encoding(raw), no_network=True, remove_comments=True))
    except (etree.ParserError, ValueError) as error:
        raise InputError(f"is no HTML ({error})", file=file, remedy="Fetch the page again, or leave it out.") from error
    return Paper(tuple(blocks(_article(root))), _metadata(root))


def blocks(node: Any) -> Iterator[Block]:
    """Blocks of what stands in an element; text outside of paragraphs counts as one."""
    loose = [node.text or ""]
    for child in node:
        name = child.tag if isinstance(child.tag, str) else ""
        if name in INLINE:
            loose.append(_text(child))
        elif name and name not in SKIPPED and (found := list(_own(child, name))):
            yield from _loose(loose)
            loose = []
            yield from found
        loose.append(child.tail or "")
    yield from _loose(loose)


def _own(node: Any, name: str) -> Iterator[Block]:
    if HEADINGS.fullmatch(name):
        yield from _block("heading", _text(node))
    elif name in CAPTIONS:
        yield from _block("caption", _text(node))
    elif name == "table":
        yield from (each for caption in node.iterfind("caption") for each in _block("caption", _text(caption)))
        rows = [[_text(cell) for cell in row.iter("td", "th")] for row in node.iter("tr")]
        yield from _block("table", "\n".join("\t".join(cells) for cells in rows if any(cells)))
    elif name in TEXTS and not any(child.tag in NESTED for child in node):
        yield from _block("text", _text(node))
    else:
        yield from blocks(node)


def _block(kind: Any, text: str) -> Iterator[Block]:
    if text:
        yield Block(kind, text)


def _loose(parts: list[str]) -> Iterator[Block]:
    yield from _block("text", paragraph("".join(parts)))


def _text(node: Any) -> str:
    return paragraph("".join(part for part in node.itertext()))


def _article(root: Any) -> Any:
    """The part of the page that is the article: the longest `article`, else `main`, else the body."""
    for path in (".//article", ".//main", ".//*[@role='main']", ".//body"):
        found = root.xpath(path)
        if found:
            return max(found, key=lambda node: len(_text(node)))
    return root


def _encoding(raw: bytes) -> str:
    declared = re.search(rb"charset=[\"']?([\w-]+)", raw[:4096])
    return declared[1].decode("ascii") if declared else "utf-8"


def _metadata(root: Any) -> dict[str, str]:
    tags = {str(tag.get("name") or tag.get("property")).lower(): str(tag.get("content", "")) for tag in root.iter("meta")}
    named = root.find(".//title")
    title = tags.get("citation_title") or ("" if named is None else _text(named))
    dates = [tags[name] for name in ("citation_publication_date", "citation_date", "dc.date", "article:published_time") if name in tags]
    year = next((found[0] for date in dates if (found := YEAR.search(date))), "")
    links = [link.get("href", "") for link in root.iter("link", "a") if link.get("rel") == "license"]
    licence = tags.get("dc.rights") or next(iter(links), "")
    return {"title": title, "doi": tags.get("citation_doi", "").removeprefix("https://doi.org/"), "year": year, "licence": licence}
