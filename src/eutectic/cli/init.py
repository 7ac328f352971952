"""`eutectic init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import STUDY, give
from eutectic.errors import InputError

TEMPLATE = Path(__file__).parent / "study.template.yaml"


def command(study: Annotated[Path, typer.Argument(metavar="[STUDY]", help="the file to write")] = STUDY) -> None:
    """Write a commented study file to start from."""
    if study.exists():
        raise InputError("is there already and is left as it is", file=study, remedy="Give another name.")
    if not study.parent.is_dir():
        raise InputError("there is no such folder", file=study.parent, remedy="Create it first.")
    study.write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    give({}, False, [f"{study} is written. Point its models and corpora at your own, then `eutectic check {study}`."])
