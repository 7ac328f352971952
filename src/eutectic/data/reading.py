"""The files of a corpus, read side by side; what cannot be read is listed with its reason and stops nobody.

PDFs are read in processes of their own: a file that brings PDFium down is listed like any other. What was read is kept in a hidden
folder of the step, so that a step that was killed goes on with the next file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
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
    """Read files in processes, each with a pipe of its own: what a process died of is then known, and no lock can die with it."""
    waiting, deaths = deque(files), Counter[str]()
    busy: dict[Connection, tuple[SpawnProcess, Artifact]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < max(1, context.threads):
                pipe, process = _reader(spec)
                busy[pipe] = (process, waiting.popleft())
                _give(pipe, busy[pipe][1])
            for pipe in [each for each in wait(list(busy)) if isinstance(each, Connection)]:
                process, file = busy.pop(pipe)
                try:
                    outcome = pipe.recv()
                except (EOFError, OSError):
                    deaths[file.key or str(file.path)] += 1
                    if deaths[file.key or str(file.path)] == 1:  # something else may have killed it
                        waiting.appendleft(file)
                        continue
                    outcome = Outcome(error=_fatal(file.path))
                else:
                    if waiting:
                        busy[pipe] = (process, waiting.popleft())
                        _give(pipe, busy[pipe][1])
                    else:
                        pipe.close()
                yield file, outcome
    finally:
        for pipe, (process, _) in busy.items():
            process.kill()
            pipe.close()


def _reader(spec: CorpusStep) -> tuple[Connection, SpawnProcess]:
    """A process that reads files, and our end of its pipe. It ends when that is closed."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(theirs, spec, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _give(pipe: Connection, file: Artifact) -> None:
    """Hand a file to a process; that it is dead is seen when its answer is waited for."""
    with contextlib.suppress(OSError):
        pipe.send(file.path)


def _serve(pipe: Connection, spec: CorpusStep, starter: int) -> None:
    die_with(starter)
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(read_one(pipe.recv(), spec))


def _fatal(file: Path) -> InputError:
    return InputError("brought its reader down", file=file, remedy="It is damaged in a rare way: leave it out, or print it anew.")


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
