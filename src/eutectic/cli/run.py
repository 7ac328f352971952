"""`eutectic run`."""

from __future__ import annotations

from typing import Annotated

import typer

from eutectic.cli.arguments import STUDY, Device, Json, StorePath, StudyPath, Threads, context, give, open_study


def command(
    study: StudyPath = STUDY,
    only: Annotated[list[str] | None, typer.Option("--only", help="addresses or patterns; what they need is made too")] = None,
    store: StorePath = None,
    threads: Threads = None,
    device: Device = "auto",
    compile: Annotated[bool, typer.Option("--compile", help="compile the element-wise parts of training; needs a C++ compiler")] = False,
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="train with less memory and a third more time")] = False,
    json: Json = False,
) -> None:
    """Make everything the study names that is not made yet.

    Finished steps are kept in the store; after an interruption, even kill -9, run goes on where it was.
    """
    from dataclasses import replace

    from eutectic.cli.view import duration, view

    opened = open_study(study, store)
    _ = opened.graph  # a mistake in the file is told before anything heavy is imported
    with view() as shown:
        machine = replace(context(threads, device, shown), compile=compile, checkpointing=checkpointing)
        outcome = opened.run(machine, shown, only or ())
    seconds = sum(record.seconds for record in outcome.made)
    result = {"made": [record.model_dump(mode="json") for record in outcome.made], "found": outcome.found, "store": str(opened.store.root)}
    give(result, json, [f"{len(outcome.made)} steps made in {duration(seconds)}, {outcome.found} found done in {opened.store.root}."])
