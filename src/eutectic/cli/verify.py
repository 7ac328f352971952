"""`eutectic verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import Json, give


def command(folder: Annotated[Path, typer.Argument(help="an artifact of a store, or any model folder")], json: Json = False) -> None:
    """Check a folder against its record and its layout.

    Works on artifacts of a store and on any model folder with safetensors.
    """
    from eutectic.doors import verify

    found = verify(folder)
    give(found, json, [f"{folder} is whole: {found['files']} files, digest {found['digest']}{found['against']}."])
