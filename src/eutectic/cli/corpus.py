"""`eutectic corpus`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import Json, Threads, give, processors


def command(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES...", help="files, folders or patterns: PDF, XML, HTML, LaTeX, Markdown, text, ...")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="folder to write; it must not exist")],
    keyword: Annotated[list[str] | None, typer.Option("--keyword", help="keep only documents that hold it; may be given again")] = None,
    language: Annotated[list[str] | None, typer.Option("--language", help="keep only this language, e.g. en; may be given again")] = None,
    quality: Annotated[float, typer.Option("--quality", min=0, max=1, help="drop texts that score this or less")] = 0.0,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Read papers into clean text.

    Writes documents, what was left out and why, and a card with counts and samples.
    """
    from eutectic.cli.view import view
    from eutectic.context import Context
    from eutectic.doors import corpus, corpus_lines

    spec = {"keywords": tuple(keyword or ()), "languages": tuple(language or ()), "quality": quality}
    with view() as shown:
        found = corpus(files, out, context=Context(threads=threads or processors(), progress=shown.task()), **spec)
    give(found, json, corpus_lines(found, out))
