"""Arguments and options that several verbs share, and how a verb gives its result."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from eutectic.context import Context, Progress
    from eutectic.study.study import Study

StudyPath = Annotated[Path, typer.Argument(metavar="[STUDY]", help="the study file, or the folder it stands in")]
StorePath = Annotated[Path | None, typer.Option("--store", help="where artifacts are kept; else $EUTECTIC_STORE, else beside the study")]
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; weights are bit-equal for equal thread counts")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or mps; auto takes the best there is")]
STUDY = Path("study.yaml")


def open_study(path: Path, store: Path | None) -> Study:
    """The study a verb is about."""
    from eutectic.study.study import Study

    return Study.load(path, store)


def context(threads: int | None, device: str, progress: Progress, devices: str | None = None) -> Context:
    """The machine side of the work."""
    from eutectic.context import Context
    from eutectic.models.device import choose, several

    chosen = choose(device)
    return Context(several(chosen, devices) if devices else (chosen,), threads or processors(), progress)


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def give(result: Mapping[str, Any], as_json: bool, lines: list[str]) -> None:
    """Print a verb's result: JSON for machines, else lines for people."""
    typer.echo(json.dumps(result, indent=1, ensure_ascii=False) if as_json else "\n".join(lines))
