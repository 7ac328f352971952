"""`eutectic evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eutectic.cli.arguments import Device, Json, Threads, context, give


def command(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="folders of Hugging Face models")],
    benchmark: Annotated[
        list[Path],
        typer.Option(
            "--benchmark",
            "-b",
            metavar="FILE",
            help="questions (docs/measuring.md), or the name of a packaged benchmark; may be given again",
        ),
    ],
    prompt: Annotated[
        list[Path] | None,
        typer.Option("--prompt", metavar="FILE", help="YAML of named prompts, as under `prompts` in a study; all are used"),
    ] = None,
    form: Annotated[
        list[str] | None,
        typer.Option("--form", help="cloze, letter, greedy or constrained instead of the prompt's forms; may be given again"),
    ] = None,
    greedy: Annotated[int | None, typer.Option("--greedy", min=1, help="at most this many items a benchmark are answered in words")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="keep every item's scores in this folder")] = None,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score model folders on benchmark files."""
    from eutectic.cli.view import view
    from eutectic.doors import accuracy_lines, evaluate
    from eutectic.evaluate.prompt_file import chosen

    prompts = chosen(prompt or (), form or ())
    with view() as shown:
        summaries = evaluate(models, benchmark, greedy=greedy, prompts=prompts, out=out, context=context(threads, device, shown.task()))
    give(summaries, json, accuracy_lines(summaries))
