"""`eutectic merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import Device, Json, Threads, context, give


def command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="a merge file as mergekit reads it")],
    out: Annotated[Path, typer.Argument(help="the folder to write; must not exist")],
    seed: Annotated[int, typer.Option(help="of methods that draw random numbers (dare, della)")] = 0,
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
        ledger = merge(config, out, context(threads, device, shown.task()), seed)
    spent = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in ledger["seconds"].items())
    branches = ", ".join(f"{count} by {branch}" for branch, count in ledger["branches"].items())
    lines = [
        f"The merged model is {out}: {ledger['parameters'] / 1e6:,.1f} M parameters in {ledger['tensors']} tensors ({branches}).",
        f"Time: {spent}.",
        *(f"`{name}` has no effect on this merge: any other value gives the same." for name in ledger["without_effect"]),
    ]
    give({"folder": str(out), **ledger}, json, lines)
