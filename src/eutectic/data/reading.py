"""The files of a corpus, read side by side; what cannot be read is listed with its reason and stops nobody.

PDFs are read in processes of their own: a file that brings PDFium down is listed like any other. What was read is kept in a hidden
folder of the step, so that a step that was killed goes on with the next file.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.data import keywords, readers
from eutectic.errors import InputError
from eutectic.processes import die_with
from eutectic.specs.rows import Document, Dropped
from eutectic.specs.steps import CorpusStep

SAVES = ".read"
# Beside fewer files a pool of processes costs more than it spares.
ALONE = 4


@dataclass(frozen=True)
class Outcome:
    """What came of a file: documents, what was left out of it, or why it could not be read."""

    documents: tuple[Document, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    error: InputError | None = None


def read(files: Sequence[Artifact], spec: CorpusStep, out: Path, context: Context) -> Iterator[tuple[Artifact, Outcome]]:
    """The outcome of every file, in the order given."""
    saves = out / SAVES
    saves.mkdir(exist_ok=True)
    context.progress.start("reading", len(files), "files")
    todo = [file for file in files if not _place(saves, file).exists()]
    context.progress.advance(len(files) - len(todo))
    apart = len(todo) > ALONE or any(file.path.suffix.lower() == ".pdf" for file in todo)
    for file, outcome in _apart(todo, spec, context) if apart else ((file, read_one(file.path, spec)) for file in todo):
        _save(_place(saves, file), outcome)
        context.progress.advance(1, file.path.name)
    for file in files:
        yield file, _saved(_place(saves, file))


def read_one(file: Path, spec: CorpusStep) -> Outcome:
    """Read one file."""
    try:
        documents, dropped = readers.read(file, keywords.keep(spec.keywords), spec.cut)
    except InputError as error:
        return Outcome(error=error)
    except OSError as error:
        return Outcome(error=InputError(f"cannot be read ({error.strerror})", file=file, remedy="Check it and its permissions."))
    return Outcome(tuple(documents), tuple(dropped))


def _apart(files: Sequence[Artifact], spec: CorpusStep, context: Context) -> Iterator[tuple[Artifact, Outcome]]:
    """Read files in processes; where one dies, the files it may have died of are read again one by one."""
    waiting = list(files)
    while waiting:
        workers = min(context.threads, len(waiting))
        pool = _pool(workers)
        with pool:
            futures = [(file, pool.submit(read_one, file.path, spec)) for file in waiting]
            done = 0
            for file, future in futures:
                outcome = _outcome(future)
                if outcome is None:
                    break
                yield file, outcome
                done += 1
        suspects = waiting[done : done + 2 * workers + 1] if done < len(waiting) else []
        yield from ((file, _single(file, spec)) for file in suspects)
        waiting = waiting[done + len(suspects) :]


def _single(file: Artifact, spec: CorpusStep) -> Outcome:
    """Read a file in a process of its own."""
    with _pool(1) as pool:
        found = _outcome(pool.submit(read_one, file.path, spec))
    died = InputError("brought its reader down", file=file.path, remedy="It is damaged in a rare way: leave it out, or print it anew.")
    return Outcome(error=died) if found is None else found


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=die_with, initargs=(os.getpid(),))


def _outcome(future: Future[Outcome]) -> Outcome | None:
    """None where the process died."""
    try:
        return future.result()
    except BrokenProcessPool:
        return None


def _place(saves: Path, file: Artifact) -> Path:
    """Where the outcome of a file is kept."""
    return saves / hashlib.sha256(f"{file.key}:{file.path}".encode()).hexdigest()[:16]


def _save(file: Path, outcome: Outcome) -> None:
    error = outcome.error
    value = {
        "documents": [each.model_dump(mode="json", exclude_defaults=True) for each in outcome.documents],
        "dropped": [each.model_dump() for each in outcome.dropped],
        "error": None if error is None else {"found": error.found, "remedy": error.remedy, "file": str(error.file), "line": error.line},
    }
    new = file.with_suffix(".new")
    new.write_text(json.dumps(value), encoding="utf-8")
    new.replace(file)


def _saved(file: Path) -> Outcome:
    value = json.loads(file.read_text(encoding="utf-8"))
    error = value["error"]
    return Outcome(
        tuple(Document.model_validate(each) for each in value["documents"]),
        tuple(Dropped.model_validate(each) for each in value["dropped"]),
        None if error is None else InputError(error["found"], remedy=error["remedy"], file=error["file"], line=error["line"]),
    )
