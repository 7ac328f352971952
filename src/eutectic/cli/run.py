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
    devices: Annotated[str | None, typer.Option("--devices", help="several: 0-7, or 0,2,3; independent steps run side by side")] = None,
    shard: Annotated[int | None, typer.Option("--shard", min=1, help="devices a training stage is spread over; all where left out")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="compile the element-wise parts of training; needs a C++ compiler")] = False,
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="train with less memory and a third more time")] = False,
    track: Annotated[list[str] | None, typer.Option("--track", help="tensorboard or wandb: training curves there too (repeatable)")] = None,
    json: Json = False,
) -> None:
    """Make everything the study names that is not made yet.

    Finished steps are kept in the store; after an interruption, even kill -9, run goes on where it was.
    """
    from dataclasses import replace

    from eutectic.cli.view import duration, view
    from eutectic.context import Silent
    from eutectic.train import trackers

    trackers.check(track or ())
    opened = open_study(study, store)
    _ = opened.graph  # a mistake in the file is told before anything heavy is imported
    with view() as shown:
        machine = context(threads, device, Silent(), devices)
        machine = replace(machine, track=tuple(track or ()), compile=compile, checkpointing=checkpointing)
        outcome = opened.run(machine, shown, only or (), shard)
    seconds = sum(record.seconds for record in outcome.made)
    result = {"made": [record.model_dump(mode="json") for record in outcome.made], "found": outcome.found, "store": str(opened.store.root)}
    give(result, json, [f"{len(outcome.made)} steps made in {duration(seconds)}, {outcome.found} found done in {opened.store.root}."])
