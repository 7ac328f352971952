"""`eutectic report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import STUDY, Json, StorePath, StudyPath, give, open_study


def command(
    study: StudyPath = STUDY,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the report; default reports/STUDY beside the study")] = None,
    store: StorePath = None,
    json: Json = False,
) -> None:
    """Write the report of what is done so far.

    One HTML page, CSV tables, SVG figures. It can be rebuilt at any time.
    """
    from eutectic.doors import report

    page = report(open_study(study, store), out)
    give({"report": str(page)}, json, [f"The report is {page}"])
