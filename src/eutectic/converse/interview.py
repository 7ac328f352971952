"""The front door of conversations: a script held with one model, all samples in one batch."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eutectic.artifacts import TURNS, Parents, one, write_rows
from eutectic.context import Context
from eutectic.converse.dialogue import Dialogue
from eutectic.converse.script import Script
from eutectic.errors import InputError
from eutectic.fingerprint import stream_seed
from eutectic.models import chat_template, device, loading
from eutectic.models.generate import Generated
from eutectic.specs.rows import Message, Turn
from eutectic.specs.steps import ConverseStep


def check(spec: ConverseStep, parents: Parents) -> None:
    """Raises `InputError` for a script that does not fit, and for a model that is here already and has no chat template."""
    script = _script(spec)
    folder = one(parents, "model").folder
    if folder is not None and (folder / "config.json").is_file():
        chat_template.render(loading.tokenizer(folder), [Message(role="user", content=script.turns[0].user)], generation_prompt=True)


def build(spec: ConverseStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Hold the conversation `samples` times; writes `turns.jsonl`, sample by sample, and returns the ledger."""
    script, parent = _script(spec), one(parents, "model")
    where = device.prepare(context)
    model = loading.load(parent.path, device.compute_dtype(where), where)
    system = [Message(role="system", content=script.system)] if script.system else []
    dialogue = Dialogue(model, loading.tokenizer(parent.path), script.sampling, [list(system) for _ in range(spec.samples)])
    context.progress.start(f"{script.name}: {parent.address}", len(script.turns) * spec.samples, "turns")
    held: list[tuple[list[Generated], float, int]] = []
    for number, turn in enumerate(script.turns, 1):
        seed = stream_seed(spec.seed, f"converse turn {number}")
        answers, seconds = dialogue.ask([turn.user] * spec.samples, turn.max_new_tokens or script.max_new_tokens, seed, number)
        held.append((answers, seconds, seed))
        context.progress.advance(spec.samples)
    rows = [row for sample in range(spec.samples) for row in _rows(script, parent.address, sample, held)]
    write_rows(out / TURNS, rows)
    answered = [row for row in rows if row.role == "assistant"]
    return {
        "samples": spec.samples,
        "turns": len(answered),
        "tokens": sum(row.tokens for row in answered),
        "cut_off": sum(row.stop_reason == "length" for row in answered),
        "seconds": round(sum(seconds for _, seconds, _ in held), 2),
    }


def _rows(script: Script, address: str, sample: int, held: list[tuple[list[Generated], float, int]]) -> Iterator[Turn]:
    """One sample's turns: the system prompt is turn 0, then questions and answers in turn. Seconds are shared by the batch."""
    row = functools.partial(Turn, conversation=script.name, model=address, sample=sample)
    if script.system:
        yield row(turn=0, role="system", content=script.system)
    for number, (turn, (answers, seconds, seed)) in enumerate(zip(script.turns, held, strict=True)):
        answer = answers[sample]
        yield row(turn=2 * number + 1, role="user", content=turn.user)
        yield row(
            turn=2 * number + 2,
            role="assistant",
            content=answer.text,
            tokens=answer.tokens,
            seconds=round(seconds / len(answers), 3),
            stop_reason=answer.stop_reason,
            seed=seed,
        )


def _script(spec: ConverseStep) -> Script:
    try:
        return Script.model_validate(spec.script)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(
            f"the script does not fit: {first['msg']}", place=".".join(map(str, first["loc"])), remedy="Mend the script."
        ) from error
