"""Papers by the suffix of their file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eutectic.data.papers import converted, html, latex, markdown, typeset, xml
from eutectic.data.papers.block import Paper

PAPERS: dict[str, Callable[[Path], Paper]] = {
    ".pdf": typeset.read,
    ".xml": xml.read,
    ".nxml": xml.read,
    ".html": html.read,
    ".htm": html.read,
    ".xhtml": html.read,
    ".tex": latex.read,
    ".md": markdown.read,
    ".txt": markdown.read_plain,
    ".json": converted.read,
}
