"""From prompts to token ids: what stands before an answer, and the answers to weigh after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.errors import InputError
from eutectic.evaluate import prompts
from eutectic.evaluate.tree import Ask
from eutectic.models import chat_template
from eutectic.specs.rows import Form, Item
from eutectic.specs.steps import PromptStep


@dataclass(frozen=True)
class Asked:
    """An item with its options in one order; `examples` are solved before it."""

    item: Item
    lettered: tuple[int, ...]
    examples: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Task:
    """Some items of a benchmark to be scored in one form under one prompt."""

    prompt: PromptStep
    form: Form
    benchmark: str
    asked: tuple[Asked, ...]


def task(prompt: PromptStep, form: Form, benchmark: str, items: Sequence[Item], pool: Sequence[Item]) -> Task:
    """A task with its examples out of `pool`; raises `InputError` where there are too few."""
    return Task(prompt, form, benchmark, tuple(asked(prompt, item, pool, benchmark) for item in items))


def asked(prompt: PromptStep, item: Item, pool: Sequence[Item], benchmark: str) -> Asked:
    """An item with its options in their own order, after the prompt's examples out of `pool`."""
    return Asked(item, prompts.order(item), tuple(prompts.shots(prompt, item, pool, benchmark)))


def contexts(tokenizer: PreTrainedTokenizerBase, prompt: PromptStep, form: Form, wanted: Sequence[Asked]) -> list[list[int]]:
    """Token ids of what stands before the answer of each item."""
    if prompts.chats(prompt, form):
        return [_rendered(tokenizer, prompt, form, each) for each in wanted]
    before = leading(tokenizer)
    return [[*before, *ids] for ids in encode(tokenizer, [_text(prompt, form, each) for each in wanted])]


def groups(
    tokenizer: PreTrainedTokenizerBase, prompt: PromptStep, form: Form, wanted: Sequence[Asked], endings: Sequence[Sequence[str]]
) -> list[list[Ask]]:
    """For each item its `endings` as continuations of what stands before them.

    In plain text one space parts them, the context's tokens are those it has when it stands alone, and what follows in the joint text is
    scored. In a chat the ending is what the assistant's turn begins with.
    """
    before = contexts(tokenizer, prompt, form, wanted)
    if prompts.chats(prompt, form):
        texts = iter(encode(tokenizer, [ending for each in endings for ending in each]))
        found = [[Ask((*ids, *next(texts)), len(ids)) for _ in each] for ids, each in zip(before, endings, strict=True)]
    else:
        opening = leading(tokenizer)
        joint = [f"{_text(prompt, form, each)} {ending}" for each, those in zip(wanted, endings, strict=True) for ending in those]
        texts = iter(encode(tokenizer, joint))
        found = [[Ask((*opening, *next(texts)), len(ids)) for _ in each] for ids, each in zip(before, endings, strict=True)]
    for each, group in zip(wanted, found, strict=True):
        if any(not 0 < ask.start < len(ask.tokens) for ask in group):
            raise InputError(f"item {each.item.id} has an empty question or option", remedy="Mend the item.")
    return found


def check_template(present: bool, prompt: PromptStep, form: Form) -> None:
    """Raises `InputError` for a model that a prompt would chat with and that has no chat template."""
    if present or not prompts.chats(prompt, form):
        return
    raise InputError(
        f"the model has no chat template and prompt {prompt.name or 'plain'!r} asks in one ({form} form)",
        remedy="Set `chat: false` in the prompt, score in cloze form only, or give the model one with `chat_template: NAME`.",
    )


def check_lengths(model: PreTrainedModel, benchmark: str, wanted: Sequence[Asked], lengths: Sequence[int]) -> None:
    """Raises `InputError` for an item that takes more tokens, with its answer, than the model's context holds."""
    limit = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    for each, length in zip(wanted, lengths, strict=True):
        if length > limit:
            raise InputError(
                f"item {each.item.id} of {benchmark} takes {length} tokens with its answer and the model's context holds {limit}",
                remedy="Shorten the item, take it out, or show fewer `shots`.",
            )


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of plain texts, without special tokens."""
    found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return found


def leading(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The special tokens which the tokenizer puts before a text: Llama 3's does, SmolLM2's does not."""
    plain = encode(tokenizer, ["a"])[0]
    whole: list[int] = tokenizer("a")["input_ids"]
    return tuple(whole[: whole.index(plain[0])]) if plain and plain[0] in whole else ()


def _text(prompt: PromptStep, form: Form, each: Asked) -> str:
    return prompts.plain_text(prompt, each.item, form, each.lettered, each.examples)


def _rendered(tokenizer: PreTrainedTokenizerBase, prompt: PromptStep, form: Form, each: Asked) -> list[int]:
    """A chat that ends where the assistant begins; a template that refuses it (many have no place for a system prompt) is told."""
    import jinja2

    turns = prompts.conversation(prompt, each.item, form, each.lettered, each.examples)
    try:
        return chat_template.render(tokenizer, turns, generation_prompt=True)
    except jinja2.TemplateError as error:
        raise InputError(
            f"the model's chat template refuses the turns of prompt {prompt.name!r}: {error}",
            remedy="Leave `system` out and say it in the `instruction`, or set `chat: false`.",
        ) from error
