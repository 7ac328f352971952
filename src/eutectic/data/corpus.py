"""Workshop door: source files to a Corpus.

Steps in order: read, keep what holds a keyword, drop what is badly converted or was there before, drop twins, settle groups, keep at
most `limit` documents, mark the held-out groups, drop training terms that would show a held-out class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eutectic.artifacts import DOCUMENTS, DROPPED, SUMMARY, Artifact, Parents, write_json, write_rows
from eutectic.context import Context
from eutectic.data import chance, classes, cleaning, corpus_card, readers, reading
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Dropped
from eutectic.specs.steps import CorpusStep


def build(spec: CorpusStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write `documents.jsonl`, `dropped.jsonl` and `summary.json`; return counts of documents and words.

    Raises `InputError` when a file cannot be read or nothing is left.
    """
    files = parents["files"]
    documents, dropped, errors = _read(files, spec, out, context)
    documents, unsound = cleaning.clean(documents, spec)
    documents, twins = classes.without_twins(documents)
    documents = _limited(classes.assign(documents), spec)
    documents = [_marked(document, spec) for document in documents]
    documents, leaks = classes.without_leaks(documents)
    dropped += [*unsound, *twins, *leaks]
    if not documents:
        raise errors[0] if errors else _nothing_left(files[0].path, dropped)
    write_rows(out / DOCUMENTS, documents)
    write_rows(out / DROPPED, dropped)
    summary = _summary(documents, dropped, files=len(files), unread=len(errors))
    write_json(out / SUMMARY, summary)
    (out / "README.md").write_text(corpus_card.text(spec, documents, dropped, summary), encoding="utf-8")
    return summary


def _nothing_left(file: Path, dropped: Sequence[Dropped]) -> InputError:
    reasons = Counter(row.reason for row in dropped).most_common(2)
    said = f" ({'; '.join(f'{count} × {reason}' for reason, count in reasons)})" if reasons else ""
    return InputError(f"no document is left of this corpus{said}", file=file, remedy="Widen `keywords`, or look at what the files hold.")


def check(spec: CorpusStep, parents: Parents) -> None:
    """Raise `InputError` where no file is given, a file is missing, empty or binary, or has no reader."""
    files = parents.get("files", ())
    if not files:
        raise InputError("this corpus has no file", remedy="Mend the `files` pattern; it is relative to the study file.")
    errors = [error for parent in files if (error := _unfit(parent)) is not None]
    if len(errors) == len(files):
        raise errors[0]
    if any(not word.strip() for word in spec.keywords):
        raise InputError("a keyword is empty", place="keywords", remedy="Delete it; an empty list keeps everything.")


def _unfit(file: Artifact) -> InputError | None:
    """What `readers.check` finds wrong with a file."""
    try:
        readers.check(file.path)
    except InputError as error:
        return error
    return None


def _read(
    files: Sequence[Artifact], spec: CorpusStep, out: Path, context: Context
) -> tuple[list[Document], list[Dropped], list[InputError]]:
    """Documents of all files in order of id, what was dropped, and why files could not be read; a second document of one id is dropped."""
    found: dict[str, Document] = {}
    dropped: list[Dropped] = []
    errors: list[InputError] = []
    for file, outcome in reading.read(files, spec, out, context):
        dropped += outcome.dropped
        if outcome.error is not None:
            errors.append(outcome.error)
            dropped.append(Dropped(source=file.path.name, reason=f"not read: {outcome.error.found}. {outcome.error.remedy}"))
        for document in outcome.documents:
            if document.id in found:
                dropped.append(Dropped(source=document.source, reason=f"has the id {document.id} of a document read before"))
            else:
                found[document.id] = document
    return [found[identity] for identity in sorted(found)], dropped, errors


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


def _summary(documents: list[Document], dropped: Sequence[Dropped], *, files: int, unread: int) -> dict[str, Any]:
    held = [document for document in documents if document.held_out]
    return {
        "files": files,
        "files_not_read": unread,
        "documents": len(documents),
        "held_out_documents": len(held),
        "groups": len({document.group for document in documents}),
        "held_out_groups": len({document.group for document in held}),
        "terms": sum(document.term is not None for document in documents),
        "quantities": sum(len(document.quantities) for document in documents),
        "words": sum(len(document.text.split()) for document in documents),
        "dropped": len(dropped),
        "reasons": corpus_card.reasons(dropped),
        "languages": dict(Counter(document.language for document in documents if document.language).most_common()),
        "years": dict(sorted(Counter(str(document.year) for document in documents if document.year).items())),
    }
