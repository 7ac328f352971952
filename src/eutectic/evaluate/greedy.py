"""Answers in words: a fixed, hashed subset of a benchmark asked in the model's own chat template and decoded greedily."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.evaluate import answer, prompts
from eutectic.models import chat_template
from eutectic.models.generate import generate
from eutectic.specs.rows import Item, ItemScore

# Tokens an answer may have: a letter with some decoration, or a number with its unit. Talk beyond that is cut off.
LETTER_TOKENS, NUMBER_TOKENS = 8, 16
# Items answered together: the key-value cache of a few hundred short prompts stays below 1 GB.
TOGETHER = 64


def subset(items: Sequence[Item], count: int) -> list[Item]:
    """The test items asked in words: the `count` lowest by hash of the id, so that every model answers the same ones.

    Numeric items have no options to weigh, so with `count` 0 all of them are still asked.
    """
    test = sorted((item for item in items if item.split == "test"), key=lambda item: hashlib.sha256(f"greedy:{item.id}".encode()).digest())
    choice, numeric = ([item for item in test if item.kind == kind] for kind in ("choice", "numeric"))
    return [*choice[:count], *(numeric[:count] if count else numeric)]


def check_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises `InputError` for a model that cannot be asked."""
    if not tokenizer.chat_template:
        raise InputError(
            "the model has no chat template, so its answers in words cannot be asked for",
            remedy="Set `greedy: 0` and leave numeric benchmarks out, or give the model one with `chat_template: NAME`.",
        )


def scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, benchmark: str, items: Sequence[Item], context: Context, precision: str
) -> list[ItemScore]:
    """A row for each item, in order."""
    made: dict[str, ItemScore] = {}
    for kind, tokens in (("choice", LETTER_TOKENS), ("numeric", NUMBER_TOKENS)):
        asked = [item for item in items if item.kind == kind]
        rendered = [chat_template.render(tokenizer, prompts.in_words(item), generation_prompt=True) for item in asked]
        order = sorted(range(len(asked)), key=lambda i: (-len(rendered[i]), i))
        for start in range(0, len(order), TOGETHER):
            chosen = order[start : start + TOGETHER]
            texts = generate(model, tokenizer, [rendered[i] for i in chosen], max_new_tokens=tokens)
            made |= {asked[i].id: row(benchmark, asked[i], text.text, precision) for i, text in zip(chosen, texts, strict=True)}
            context.progress.advance(len(chosen))
    return [made[item.id] for item in items]


def row(benchmark: str, item: Item, text: str, precision: str) -> ItemScore:
    """The judged answer to an item."""
    parsed = answer.read(item, text)
    return ItemScore(
        id=item.id,
        benchmark=benchmark,
        group=item.group,
        role=item.role,
        split=item.split,
        form="greedy",
        score=float(parsed.correct),
        choice=parsed.choice,
        answer=item.answer,
        precision="float32" if precision == "float32" else "bfloat16",
        text=text,
        parsed=parsed.text,
        format_failure=parsed.format_failure,
    )
