"""`eutectic demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import Device, Json, Threads, context, give


def command(
    folder: Annotated[Path, typer.Argument(help="where the study is written")] = Path("eutectic-demo"),
    quick: Annotated[bool, typer.Option("--quick", help="the same study on less data")] = False,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Train, merge, measure and talk to real small models.

    Real text, real models, and a report at the end.

    The first run fetches a 135M-parameter model and open ontologies (about 200 MB) into the user's cache.
    Started again, it recomputes nothing.
    """
    from eutectic.cli.view import view
    from eutectic.demo.assets import fetch
    from eutectic.demo.study import write
    from eutectic.doors import report
    from eutectic.study.study import Study

    with view() as shown:
        where = context(threads, device, shown.task())
        study = Study.load(write(folder, fetch(where), quick))
        outcome = study.run(where, shown)
    page = report(study)
    lines = [f"{len(outcome.made)} steps made, {outcome.found} found done.", f"The report is {page}"]
    give({"study": str(study.file.path), "made": len(outcome.made), "found": outcome.found, "report": str(page)}, json, lines)
