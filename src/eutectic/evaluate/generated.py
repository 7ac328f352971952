"""Answers a model writes: greedily in its own words, or constrained to the form asked for.

What breaks the form is then known from the first, and what is not known from the second.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.context import Context
from eutectic.evaluate import answer, contexts, extraction, prompts
from eutectic.evaluate.contexts import Task
from eutectic.evaluate.rows import judged
from eutectic.models.generate import end_tokens, generate
from eutectic.models.grammar import Grammars, Matcher
from eutectic.specs.rows import Item, ItemKind, ItemScore

# Tokens an answer may have: a word with some decoration, a number with its unit, a phrase, a list of records. Talk beyond is cut off.
TOKENS: dict[ItemKind, int] = {"choice": 8, "true_false": 8, "numeric": 16, "short": 24, "extraction": 384}
# Items answered together: the key-value cache of a few hundred short prompts stays below 1 GB.
TOGETHER = 64
NUMBER = r"-?[0-9]{1,9}(\.[0-9]{1,6})?(e-?[0-9]{1,2})?"


def subset(items: Sequence[Item], count: int | None) -> list[Item]:
    """The test items answered in words: the `count` lowest by hash of the id (all for None), so that every model answers the same."""
    test = (item for item in items if item.split == "test")
    return sorted(test, key=lambda item: hashlib.sha256(f"greedy:{item.id}".encode()).digest())[:count]


def scores(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, context: Context) -> list[ItemScore]:
    """A row for each item, in order."""
    made: dict[str, ItemScore] = {}
    grammars = Grammars(tokenizer, end_tokens(model, tokenizer)) if task.form == "constrained" else None
    for kind, new in TOKENS.items():
        wanted = [each for each in task.asked if each.item.kind == kind]
        before = contexts.contexts(tokenizer, task.prompt, task.form, wanted)
        contexts.check_lengths(model, task.benchmark, wanted, [len(ids) + new for ids in before])
        order = sorted(range(len(wanted)), key=lambda i: (-len(before[i]), i))
        for start in range(0, len(order), TOGETHER):
            chosen = order[start : start + TOGETHER]
            items = [wanted[i].item for i in chosen]
            matchers = [allowed(grammars, item) for item in items] if grammars else []
            found = generate(model, tokenizer, [before[i] for i in chosen], max_new_tokens=new, matchers=matchers)
            made |= {item.id: row(model, task, item, each.text) for item, each in zip(items, found, strict=True)}
            context.progress.advance(len(chosen))
    return [made[each.item.id] for each in task.asked]


def row(model: PreTrainedModel, task: Task, item: Item, written: str) -> ItemScore:
    """The judged answer to an item."""
    text = _ended(task, item, written)
    parsed = answer.read(item, text)
    return judged(
        model,
        task,
        item,
        score=parsed.score,
        choice=parsed.choice,
        text=text,
        parsed=parsed.text,
        format_failure=parsed.format_failure,
    )


def allowed(grammars: Grammars, item: Item) -> Matcher:
    """What a constrained answer to an item may be."""
    if item.kind == "extraction":
        return grammars.schema(extraction.schema(), TOKENS["extraction"])
    if item.kind == "numeric":
        return grammars.pattern(f" ?{NUMBER} {re.escape(item.unit)}" if item.unit else f" ?{NUMBER}")
    labels = prompts.labels(item, prompts.order(item))
    return grammars.pattern(f" ?({'|'.join(map(re.escape, labels))})")


def _ended(task: Task, item: Item, text: str) -> str:
    """An answer without what a model goes on with in plain text: another question. In a chat it ends its turn itself."""
    if prompts.chats(task.prompt, task.form):
        return text
    return text.strip().split("\n\n" if item.kind == "extraction" else "\n")[0]
