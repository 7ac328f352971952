"""`eutectic chat`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eutectic.cli.arguments import STUDY, Device, StorePath, Threads, context, open_study
from eutectic.errors import InputError

if TYPE_CHECKING:
    from eutectic.specs.rows import Message

HELP = "/new begins again, /quit leaves."


def command(
    words: Annotated[list[str], typer.Argument(metavar="[STUDY] MODEL", help="an address of the study, or a model folder")],
    system: Annotated[str, typer.Option("--system", help="system prompt")] = "",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy")] = 0.2,
    seed: Annotated[int, typer.Option(help="of the sampling")] = 17,
    store: StorePath = None,
    threads: Threads = None,
    device: Device = "auto",
) -> None:
    """Talk to a model in the terminal.

    The conversation so far is part of every question.
    """
    import torch

    from eutectic.context import Silent
    from eutectic.models import device as machine
    from eutectic.models import loading

    folder = model_folder(words, store)
    where = machine.prepare(context(threads, device, Silent()))
    tokenizer = loading.tokenizer(folder)
    model = loading.load(folder, torch.bfloat16, where)
    typer.echo(f"{words[-1]}. {HELP}", err=True)
    talk(
        model,
        tokenizer,
        system,
        {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": 0.9, "repetition_penalty": 1.1},
        seed,
    )


def model_folder(words: list[str], store: Path | None) -> Path:
    """The model's folder: an address in a study, or a folder given as it is."""
    if len(words) == 1 and (Path(words[0]) / "config.json").is_file():
        return Path(words[0])
    if len(words) > 2:
        raise InputError("chat takes a study and one model", remedy="`eutectic chat study.yaml instruct/cpt-sft`.")
    return open_study(Path(words[0]) if len(words) == 2 else STUDY, store).model_folder(words[-1])


def talk(model: Any, tokenizer: Any, system: str, sampling: dict[str, Any], seed: int) -> None:
    """Read questions until the input ends; answers stream as they are made."""
    from eutectic.models import chat_template, generate
    from eutectic.specs.rows import Message

    start: list[Message] = [Message(role="system", content=system)] if system else []
    history = list(start)
    for turn, question in enumerate(iter(read, None)):
        if question == "/new":
            history = list(start)
            continue
        history.append(Message(role="user", content=question))
        prompt = chat_template.render(tokenizer, history, generation_prompt=True)
        (answer,) = generate.generate(model, tokenizer, [prompt], seed=seed + turn, on_token=show, **sampling)
        typer.echo()
        history.append(Message(role="assistant", content=answer.text))


def show(_: int, text: str) -> None:
    """Print a piece of an answer at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def read() -> str | None:
    """The next question; None at the end."""
    try:
        text = input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None
    return None if text == "/quit" else text
