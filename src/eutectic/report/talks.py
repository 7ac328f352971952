"""What the models said: conversations side by side, and the image prompts they wrote. Nothing here is edited, cut or scored."""

from __future__ import annotations

from collections.abc import Sequence

from eutectic.artifacts import PROMPTS, TURNS, read_rows
from eutectic.report.blocks import Card, Cards, Exchange, Reply, Section, Talk, Text
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import ImagePrompt, Turn

CUT = ("length", "max_new_tokens", "max_tokens")


def conversations(view: StudyView) -> Section:
    """Each conversation once, the same user turns, every model's first sample beside the others."""
    turns: dict[str, dict[str, list[Turn]]] = {}
    for step in view.of("converse"):
        if step.readable is not None:
            for row in read_rows(step.readable / TURNS, Turn):
                if row.sample == 0:
                    name = step.address.partition("@")[0] if "@" in step.address else row.conversation
                    turns.setdefault(name, {}).setdefault(_model(step, row.model), []).append(row)
    talks = [_talk(name, models) for name, models in turns.items()]
    note = Text("The same system prompt and user turns for every model; answers as generated, first sample, nothing cut or chosen.", "note")
    return Section("conversations", "Conversations", [note, *talks] if talks else [])


def image_prompts(view: StudyView) -> Section:
    """The prompts of every model, by concepts and style."""
    found: dict[tuple[tuple[str, ...], str], list[Card]] = {}
    for step in view.of("image_prompts"):
        if step.readable is not None:
            for row in read_rows(step.readable / PROMPTS, ImagePrompt):
                found.setdefault((row.concepts, row.style), []).append(_card(_model(step, row.model), row))
    blocks = [Cards(f"{' × '.join(concepts)}: {style}", cards) for (concepts, style), cards in found.items()]
    return Section("image-prompts", "Image prompts", blocks)


def _model(step: StepView, written: str) -> str:
    """The address of the model; what the rows call it where the step names none."""
    return next(iter(step.parents.get("model", ())), written)


def _talk(name: str, models: dict[str, list[Turn]]) -> Talk:
    first = next(iter(models.values()))
    system = next((turn.content for turn in first if turn.role == "system"), "")
    questions = [turn.content for turn in first if turn.role == "user"]
    answers = {model: [turn for turn in turns if turn.role == "assistant"] for model, turns in models.items()}
    exchanges = [
        Exchange(question, [_reply(model, given, index) for model, given in answers.items()]) for index, question in enumerate(questions)
    ]
    return Talk(name.replace("_", " "), system, exchanges)


def _reply(model: str, answers: Sequence[Turn], index: int) -> Reply:
    if index >= len(answers):
        return Reply(model, "", "no answer to this turn")
    turn = answers[index]
    ended = ", stopped at the length limit" if turn.stop_reason in CUT else ""
    return Reply(model, turn.content.strip(), f"{turn.tokens} tokens{ended}")


def _card(model: str, row: ImagePrompt) -> Card:
    note = f"{row.tokens} tokens; {'names' if row.names_concepts else 'does not name'} every concept"
    folded = [("Short version", row.short_prompt), ("Design principles it started from", row.principles)]
    return Card(model, row.prompt, note, [(title, text) for title, text in folded if text])
