"""Workshop door: source files to a Corpus.

Steps in order: read, keep what holds a keyword, drop twins, settle groups, keep at most `limit` documents, mark the
held-out groups, drop training terms that would show a held-out class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from eutectic.artifacts import DOCUMENTS, DROPPED, SUMMARY, Parents, write_json, write_rows
from eutectic.context import Context
from eutectic.data import chance, classes, readers
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Dropped
from eutectic.specs.steps import CorpusStep


def build(spec: CorpusStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write `documents.jsonl`, `dropped.jsonl` and `summary.json`; return counts of documents and words.

    Raises `InputError` when a file cannot be read or nothing is left.
    """
    files = [parent.path for parent in parents["files"]]
    documents, dropped = _read(files, spec, context)
    documents, twins = classes.without_twins(documents)
    documents = _limited(classes.assign(documents), spec)
    documents = [_marked(document, spec) for document in documents]
    documents, leaks = classes.without_leaks(documents)
    if not documents:
        raise InputError("no document is left of this corpus", file=files[0], remedy="Widen `keywords`, or look at what the files hold.")
    write_rows(out / DOCUMENTS, documents)
    write_rows(out / DROPPED, [*dropped, *twins, *leaks])
    summary = _summary(documents, len(dropped) + len(twins) + len(leaks))
    write_json(out / SUMMARY, summary)
    return summary


def check(spec: CorpusStep, parents: Parents) -> None:
    """Raise `InputError` where no file is given, a file is missing, empty or binary, or has no reader."""
    files = parents.get("files", ())
    if not files:
        raise InputError("this corpus has no file", remedy="Mend the `files` pattern; it is relative to the study file.")
    for parent in files:
        readers.check(parent.path)
    if any(not word.strip() for word in spec.keywords):
        raise InputError("a keyword is empty", place="keywords", remedy="Delete it; an empty list keeps everything.")


def _read(files: list[Path], spec: CorpusStep, context: Context) -> tuple[list[Document], list[Dropped]]:
    """Documents of all files in order of id; a second document of one id is dropped."""
    keep = _keyword_filter(spec.keywords)
    found: dict[str, Document] = {}
    dropped: list[Dropped] = []
    context.progress.start("reading", len(files), "files")
    for file in files:
        documents, left = readers.read(file, keep)
        dropped += left
        for document in documents:
            if document.id in found:
                dropped.append(Dropped(source=document.id, reason="a document of this id was read before"))
            else:
                found[document.id] = document
        context.progress.advance(1, file.name)
    return [found[identity] for identity in sorted(found)], dropped


def _keyword_filter(keywords: Iterable[str]) -> readers.Keep:
    """Accepts text that holds a keyword as a whole word or a word's start; without keywords, everything."""
    words = [word.strip().lower() for word in keywords]
    if not words:
        return lambda _: True
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})")

    def keep(text: str) -> bool:
        lowered = text.lower()
        # Most texts hold no keyword at all, and plain search is ten times faster than the pattern.
        return any(word in lowered for word in words) and pattern.search(lowered) is not None

    return keep


def _limited(documents: list[Document], spec: CorpusStep) -> list[Document]:
    """At most `limit` documents: whole groups in order of hash, those with enough siblings for a question first."""
    if spec.limit is None or len(documents) <= spec.limit:
        return documents
    groups = classes.by_group(documents)
    order = chance.ordered(groups, spec.seed, "corpus limit")
    order.sort(key=lambda group: len(groups[group]) < classes.SIBLINGS and groups[group][0].term is not None)
    kept: set[str] = set()
    for group in order:
        members = [document.id for document in groups[group]]
        if len(kept) + len(members) <= spec.limit:
            kept.update(members)
    return [document for document in documents if document.id in kept]


def _marked(document: Document, spec: CorpusStep) -> Document:
    held_out = chance.unit(spec.seed, "held out", document.group) < spec.held_out
    return document.model_copy(update={"held_out": held_out}) if held_out != document.held_out else document


def _summary(documents: list[Document], dropped: int) -> dict[str, Any]:
    held = [document for document in documents if document.held_out]
    return {
        "documents": len(documents),
        "held_out_documents": len(held),
        "groups": len({document.group for document in documents}),
        "held_out_groups": len({document.group for document in held}),
        "terms": sum(document.term is not None for document in documents),
        "quantities": sum(len(document.quantities) for document in documents),
        "words": sum(len(document.text.split()) for document in documents),
        "dropped": dropped,
    }
