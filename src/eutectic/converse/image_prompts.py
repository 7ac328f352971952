"""The front door of image prompts: three turns that turn distant concepts into one picture (principles, prompt, short prompt).

The concepts of a step are combined in one prompt for each style; all styles are written in one batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eutectic.artifacts import PROMPTS, Parents, one, write_rows
from eutectic.context import Context
from eutectic.converse.dialogue import Dialogue
from eutectic.converse.script import SamplingSpec
from eutectic.errors import InputError
from eutectic.fingerprint import stream_seed
from eutectic.models import chat_template, device, loading
from eutectic.specs.rows import ImagePrompt, Message
from eutectic.specs.steps import ImagePromptsStep

PRINCIPLES = (
    "Think about {concepts}. For each of them, name one principle of its structure that could guide the design of {style}. "
    "Keep each to one sentence."
)
PROMPT = (
    "Now write a prompt for an image generator that shows {style} in which the principles of {concepts} are combined. "
    "Describe only what can be seen: shapes, materials, colours, light. Name {concepts}. Write at most 70 words and nothing but the prompt."
)
SHORT = "Write the same prompt again in at most 20 words."
STYLES = {
    "microstructure": "a material's microstructure under the microscope",
    "architecture": "a building",
    "city": "a city seen from above",
}
TOKENS = (160, 120, 48)


def check(spec: ImagePromptsStep, parents: Parents) -> None:
    """Raises `InputError` for fewer than two concepts, and for a model that is here already and has no chat template."""
    if len(spec.concepts) < 2 or not spec.styles:
        raise InputError("image prompts combine at least two concepts in at least one style", remedy="Add to `concepts` or `styles`.")
    folder = one(parents, "model").folder
    if folder is not None and (folder / "config.json").is_file():
        chat_template.render(loading.tokenizer(folder), [Message(role="user", content="?")], generation_prompt=True)


def build(spec: ImagePromptsStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write one prompt a style; writes `prompts.jsonl` and returns the ledger."""
    parent = one(parents, "model")
    where = device.prepare(context)
    tokenizer = loading.tokenizer(parent.path)
    model = loading.load(parent.path, device.compute_dtype(where), where)
    dialogue = Dialogue(model, tokenizer, SamplingSpec(), [[] for _ in spec.styles])
    seed = stream_seed(spec.seed, "image prompts")
    context.progress.start(f"image prompts: {parent.address}", 3 * len(spec.styles), "turns")
    answers = []
    for number, (wording, tokens) in enumerate(zip((PRINCIPLES, PROMPT, SHORT), TOKENS, strict=True), 1):
        questions = [wording.format(concepts=listed(spec.concepts), style=STYLES.get(style, style)) for style in spec.styles]
        made, _ = dialogue.ask(questions, tokens, seed + number, number)
        answers.append([answer.text for answer in made])
        context.progress.advance(len(made))
    rows = [
        ImagePrompt(
            model=parent.address,
            concepts=spec.concepts,
            style=style,
            principles=principles,
            prompt=prompt,
            short_prompt=short,
            names_concepts=all(names(concept, prompt) for concept in spec.concepts),
            tokens=len(tokenizer(prompt, add_special_tokens=False)["input_ids"]),
            seed=seed,
        )
        for style, principles, prompt, short in zip(spec.styles, *answers, strict=True)
    ]
    write_rows(out / PROMPTS, rows)
    return {"prompts": len(rows), "naming_all_concepts": sum(row.names_concepts for row in rows), "tokens": sum(row.tokens for row in rows)}


def listed(words: Sequence[str]) -> str:
    """Words as an English list.

    >>> listed(["silk", "collagen", "leaf"])
    'silk, collagen and leaf'
    """
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def names(concept: str, text: str) -> bool:
    """Whether a text speaks of a concept: one of its words (or its plural) stands there, small words aside.

    >>> names("spider silk", "Threads of silk hang in the air"), names("leaf venation", "leaves and veins")
    (True, False)
    """
    words = [word for word in re.findall(r"\w+", concept.lower()) if len(word) > 3] or [concept.lower()]
    return any(re.search(rf"\b{re.escape(word)}(?:s|es)?\b", text.lower()) for word in words)
