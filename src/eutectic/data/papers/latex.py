r"""LaTeX sources as blocks; pylatexenc does the parsing. Formulas are kept as they come, citations and labels are left out.

What a file brings in with `\\input` is read as a file of its own: only files that the study names bear on what it makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eutectic.data.papers.block import Block, Paper, paragraph
from eutectic.errors import InputError

HEADINGS = {"part", "chapter", "section", "subsection", "subsubsection"}
SILENT = re.compile(
    r"~?\\(?:cite\w*|label|nocite|vspace|hspace|includegraphics|bibliographystyle|bibliography|thispagestyle|pagestyle|input|include|"
    r"centering|maketitle|noindent|newpage|clearpage|footnote(?:mark|text))\*?(?:\[[^\]]*\])*(?:\{[^{}]*\})*"
)
FLOATS = {"figure", "figure*", "table", "table*", "wrapfigure"}
FORMULAS = {
    "equation",
    "equation*",
    "align",
    "align*",
    "gather",
    "gather*",
    "multline",
    "multline*",
    "eqnarray",
    "eqnarray*",
    "displaymath",
}


def read(file: Path) -> Paper:
    """The blocks of a `.tex` file. Raises `InputError` where it cannot be parsed."""
    from pylatexenc.latexwalker import LatexWalker, LatexWalkerError

    source = file.read_text(encoding="utf-8-sig")
    body = re.search(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", source, re.DOTALL)
    try:
        nodes, _, _ = LatexWalker(SILENT.sub("", body[1] if body else source), tolerant_parsing=True).get_latex_nodes()
    except (LatexWalkerError, RecursionError) as error:
        raise InputError(f"is not LaTeX ({error})", file=file, remedy="Give the PDF instead, or leave it out.") from error
    title = re.search(r"\\title(?:\[[^\]]*\])?\{((?:[^{}]|\{[^{}]*\})*)\}", source)
    named = [Block("title", plain(title[1]))] if title else []
    return Paper((*named, *_blocks(nodes)))


def plain(source: str) -> str:
    """LaTeX of a few words as text on one line."""
    from pylatexenc.latex2text import LatexNodes2Text

    return paragraph(LatexNodes2Text(math_mode="verbatim", strict_latex_spaces=True).latex_to_text(SILENT.sub("", source)))


def _blocks(nodes: Sequence[Any]) -> Iterator[Block]:
    """Blocks of some nodes: headings and environments part the text, and so do empty lines."""
    loose = ""
    for node in nodes:
        name = getattr(node, "macroname", None) or getattr(node, "environmentname", None)
        if name in HEADINGS or name in ENVIRONMENTS or name in ("bibitem", "item", "paragraph"):
            yield from _paragraphs(loose)
            loose = ""
            yield from _special(node, name)
        else:
            loose += node.latex_verbatim()
    yield from _paragraphs(loose)


def _special(node: Any, name: str) -> Iterator[Block]:
    if name in HEADINGS:
        yield Block("heading", plain(_argument(node)))
    elif name in FLOATS:
        caption = re.search(r"\\caption(?:\[[^\]]*\])?\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}", node.latex_verbatim())
        if caption:
            yield Block("caption", plain(caption[1]))
        for table in re.findall(
            r"\\begin\{tabular\*?\}(?:\{(?:[^{}]|\{[^{}]*\})*\})+(.*?)\\end\{tabular\*?\}", node.latex_verbatim(), re.DOTALL
        ):
            rows = [[plain(cell) for cell in row.split("&")] for row in re.split(r"\\\\", re.sub(r"\\(?:[a-z]*rule|hline)", "", table))]
            yield Block("table", "\n".join("\t".join(cells) for cells in rows if any(cells)))
    elif name in FORMULAS:
        yield Block("text", paragraph(node.latex_verbatim()))
    elif name == "thebibliography":
        yield Block("heading", "References")
        yield from _blocks(node.nodelist)
    elif name == "abstract":
        yield Block("heading", "Abstract")
        yield from _blocks(node.nodelist)
    elif name in ENVIRONMENTS:
        yield from _blocks(node.nodelist)


ENVIRONMENTS = {"abstract", "thebibliography", "itemize", "enumerate", "description", "quote", "quotation", "center", *FLOATS, *FORMULAS}


def _argument(node: Any) -> str:
    """The last braces' content of a heading."""
    given = [each for each in node.nodeargd.argnlist if each is not None] if node.nodeargd is not None else []
    return "".join(inner.latex_verbatim() for inner in getattr(given[-1], "nodelist", [])) if given else ""


def _paragraphs(loose: str) -> Iterator[Block]:
    for part in re.split(r"\n[ \t]*\n", loose):
        said = plain(part)
        if said:
            yield Block("text", said)
