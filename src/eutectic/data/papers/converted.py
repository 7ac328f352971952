"""What other converters made of a paper, in JSON: docling's document and marker's tree of blocks. (GROBID's TEI is read by `xml`.)"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eutectic.data.papers.block import Block, Kind, Paper, paragraph
from eutectic.errors import InputError

DOCLING: dict[str, Kind] = {
    "title": "title",
    "section_header": "heading",
    "text": "text",
    "paragraph": "text",
    "list_item": "text",
    "formula": "text",
    "code": "text",
    "reference": "text",
    "caption": "caption",
}
MARKER: dict[str, Kind] = {
    "SectionHeader": "heading",
    "Text": "text",
    "TextInlineMath": "text",
    "ListItem": "text",
    "Equation": "text",
    "Code": "text",
    "Reference": "text",
    "Caption": "caption",
    "Table": "table",
}


def read(file: Path) -> Paper:
    """The blocks of a JSON file of docling or marker. Raises `InputError` for other JSON."""
    try:
        value = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"is not JSON ({error.msg})", file=file, line=error.lineno, remedy="Convert the paper again.") from error
    if isinstance(value, dict) and value.get("schema_name") == "DoclingDocument":
        return Paper(tuple(_docling(value)))
    if isinstance(value, dict) and value.get("block_type") == "Document":
        return Paper(tuple(_marker(value, 0)))
    raise InputError(
        "is JSON of neither docling nor marker",
        file=file,
        remedy="Documents of your own are read from JSON lines (`.jsonl`): one object with `text` a line.",
    )


def _docling(value: dict[str, Any]) -> Iterator[Block]:
    """Blocks in the order of the body's tree; furniture (running heads, page numbers) is not in it."""
    yield from _docling_children(value, value.get("body", {}), set())


def _docling_children(value: dict[str, Any], node: dict[str, Any], seen: set[str]) -> Iterator[Block]:
    for reference in node.get("children", []):
        name = str(reference.get("$ref", ""))
        _, _, path = name.partition("#/")
        kind, _, index = path.partition("/")
        found = value.get(kind, [])
        if name in seen or not isinstance(found, list) or not index.isdigit() or int(index) >= len(found):
            continue
        seen.add(name)
        child = found[int(index)]
        pages = [place["page_no"] for place in child.get("prov", []) if "page_no" in place]
        span = (min(pages), max(pages)) if pages else (0, 0)
        if child.get("label") in DOCLING:
            yield Block(DOCLING[child["label"]], paragraph(str(child.get("text", ""))), span)
        elif kind == "tables":
            rows = [[paragraph(str(cell.get("text", ""))) for cell in row] for row in child.get("data", {}).get("grid", [])]
            yield from (block for block in _docling_children(value, {"children": child.get("captions", [])}, seen))
            yield Block("table", "\n".join("\t".join(cells) for cells in rows), span)
        yield from _docling_children(value, child, seen)


def _marker(node: dict[str, Any], page: int) -> Iterator[Block]:
    from lxml import html

    for number, child in enumerate(node.get("children") or [], 1):
        inside = number if child.get("block_type") == "Page" else page
        if child.get("block_type") not in MARKER:
            yield from _marker(child, inside)
            continue
        text = html.fragment_fromstring(str(child.get("html", "")), create_parent="div")
        if child["block_type"] == "Table":
            rows = [[paragraph(cell.text_content()) for cell in row.iter("td", "th")] for row in text.iter("tr")]
            yield Block("table", "\n".join("\t".join(cells) for cells in rows), (inside, inside))
        else:
            yield Block(MARKER[child["block_type"]], paragraph(text.text_content()), (inside, inside))
