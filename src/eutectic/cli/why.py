"""`eutectic why`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import STUDY, Json, StorePath, give, open_study


def command(
    words: Annotated[
        list[str], typer.Argument(metavar="[STUDY] ADDRESS", help="an address such as instruct/cpt-sft, or the start of a key")
    ],
    store: StorePath = None,
    json: Json = False,
) -> None:
    """Say which value made a step's key change.

    Compares with what was published before.
    """
    study = Path(words[0]) if len(words) > 1 else STUDY
    lines = open_study(study, store).why(words[-1])
    give({"address": words[-1], "why": lines}, json, lines)
