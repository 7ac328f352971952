"""`eutectic compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import Json, Threads, context, give


def command(
    first: Annotated[Path, typer.Argument(metavar="MODEL", help="folder of a checkpoint")],
    second: Annotated[Path, typer.Argument(metavar="MODEL", help="folder of another of the same shapes")],
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Compare two checkpoints tensor by tensor.

    Angles, norms, relative distances.
    """
    from eutectic.cli.view import view
    from eutectic.doors import compare, geometry_lines

    with view() as shown:
        found = compare(first, second, context(threads, "cpu", shown.task()))
    give(found, json, geometry_lines(found))
