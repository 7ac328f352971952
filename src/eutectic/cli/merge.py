"""`eutectic merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import Device, Json, Threads, context, give


def command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="a merge file as mergekit reads it")],
    out: Annotated[Path, typer.Argument(help="the folder to write; must not exist")],
    threads: Threads = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Merge models as a mergekit file says.

    OUT appears whole or not at all.
    """
    from eutectic.cli.view import view
    from eutectic.doors import merge

    with view() as shown:
        ledger = merge(config, out, context(threads, device, shown.task()))
    give({"folder": str(out), **ledger}, json, [f"The merged model is {out}"])
