"""What the model is shown: plain text for likelihoods, a chat with an instruction for answers in words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from string import ascii_uppercase

from transformers import PreTrainedTokenizerBase

from eutectic.errors import InputError
from eutectic.evaluate.tree import Ask
from eutectic.specs.rows import Item, Message

LETTER = "Answer the question with one letter only: {letters}."
NUMBER = "Answer the question with one number and its unit only, for example 12.5 {unit}."
BARE_NUMBER = "Answer the question with one number only, for example 12.5."


def cloze(tokenizer: PreTrainedTokenizerBase, items: Sequence[Item]) -> list[list[Ask]]:
    """For each choice item its options as continuations: the question as written, one space, the option.

    The question's own tokens are those it has when it stands alone; what follows in the joint text is scored. Special tokens
    come before it only where the tokenizer adds them by itself (Llama 3 does, SmolLM2 does not).
    """
    before = leading(tokenizer)
    stems = [item.question.rstrip() for item in items]
    joint = [f"{stem} {option}" for item, stem in zip(items, stems, strict=True) for option in item.options]
    lengths = [len(ids) for ids in encode(tokenizer, stems)]
    texts = iter(encode(tokenizer, joint))
    groups = [
        [Ask((*before, *next(texts)), len(before) + length) for _ in item.options] for item, length in zip(items, lengths, strict=True)
    ]
    for item, group in zip(items, groups, strict=True):
        if any(not 0 < ask.start < len(ask.tokens) for ask in group):
            raise InputError(f"item {item.id} has an empty question or option", remedy="Mend the item.")
    return groups


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of plain texts, without special tokens."""
    found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return found


def leading(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The special tokens which the tokenizer puts before a text."""
    plain = encode(tokenizer, ["a"])[0]
    whole: list[int] = tokenizer("a")["input_ids"]
    return tuple(whole[: whole.index(plain[0])]) if plain and plain[0] in whole else ()


def order(item: Item) -> tuple[int, ...]:
    """The order in which an item's options are lettered: a permutation drawn by hash of its id, so that letters are balanced."""
    return tuple(sorted(range(len(item.options)), key=lambda i: hashlib.sha256(f"letters:{item.id}:{i}".encode()).digest()))


def letters(item: Item) -> str:
    """The letters of an item's options."""
    if len(item.options) > len(ascii_uppercase):
        raise InputError(f"item {item.id} has {len(item.options)} options and the alphabet 26 letters", remedy="Give fewer options.")
    return ascii_uppercase[: len(item.options)]


def in_words(item: Item) -> list[Message]:
    """The chat that asks for a short answer: instruction first (alike for all items of a kind), then question and options.

    >>> print(in_words(Item(id="a", group="g", question="What is bone?", options=("tissue", "metal"), answer=0))[0].content)
    Answer the question with one letter only: A or B.
    <BLANKLINE>
    What is bone?
    A. metal
    B. tissue
    """
    if item.kind == "numeric":
        instruction = NUMBER.format(unit=item.unit) if item.unit else BARE_NUMBER
        return [Message(role="user", content=f"{instruction}\n\n{item.question.strip()}")]
    names = letters(item)
    instruction = LETTER.format(letters=f"{', '.join(names[:-1])} or {names[-1]}")
    lines = [f"{name}. {item.options[i]}" for name, i in zip(names, order(item), strict=True)]
    return [Message(role="user", content="\n".join([instruction, "", item.question.strip(), *lines]))]
