"""What is said to a model: instruction, solved examples, question, and the answer that would be right.

A prompt is put together the same way in every form. As a chat: system prompt, then instruction and question as the user's turn, examples
before it as turns of their own. As plain text: the instruction, the examples, the question, with a blank line between; whatever names its
answer (all forms but cloze) ends in `Answer:`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from string import ascii_uppercase

from eutectic.errors import InputError
from eutectic.specs.rows import WEIGHED, WEIGHED_FORMS, Extracted, Form, Item, ItemKind, Message
from eutectic.specs.steps import PromptStep

LETTER = "Answer the question with one letter only: {letters}."
WORD = "Is this statement right? Answer with one word only: {letters}."
NUMBER = "Answer the question with one number and its unit only, for example 12.5 {unit}."
BARE_NUMBER = "Answer the question with one number only, for example 12.5."
SHORT = "Answer the question with a few words only, not with a sentence."
EXTRACT = (
    "List every property of a material that the text states, as JSON only: a list of objects with the keys {keys}. "
    "`value` is a number or null, the others are strings, empty where the text says nothing."
)
KEYS = tuple(Extracted.model_fields)
CUE = "Answer:"


def forms(kind: ItemKind) -> tuple[Form, ...]:
    """The forms in which an item can be scored: options are needed to weigh, and an answer of free words has no schema."""
    weighed = WEIGHED_FORMS if kind in WEIGHED else ()
    return (*weighed, "greedy") if kind == "short" else (*weighed, "greedy", "constrained")


def chats(prompt: PromptStep, form: Form) -> bool:
    """Whether a prompt uses the chat template in a form."""
    return form != "cloze" if prompt.chat is None else prompt.chat


def order(item: Item) -> tuple[int, ...]:
    """The order in which an item's options are lettered: a permutation drawn by hash of its id, so that letters are balanced."""
    return hashed_order(item.id, len(item.options))


def hashed_order(name: str, count: int) -> tuple[int, ...]:
    """`order` of an item known by its id and its number of options."""
    return tuple(sorted(range(count), key=lambda i: hashlib.sha256(f"letters:{name}:{i}".encode()).digest()))


def rotations(first: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All cyclic rotations of an order: every option stands once in every place.

    >>> rotations((2, 0, 1))
    [(2, 0, 1), (0, 1, 2), (1, 2, 0)]
    """
    return [first[start:] + first[:start] for start in range(len(first))]


def letters(item: Item) -> str:
    """The letters of an item's options."""
    if len(item.options) > len(ascii_uppercase):
        raise InputError(f"item {item.id} has {len(item.options)} options and the alphabet 26 letters", remedy="Give fewer options.")
    return ascii_uppercase[: len(item.options)]


def labels(item: Item, lettered: Sequence[int]) -> tuple[str, ...]:
    """What names each option when they stand in the order `lettered`: its letter, or the words True and False themselves."""
    if item.kind == "true_false":
        return item.options
    names = letters(item)
    return tuple(names[lettered.index(option)] for option in range(len(item.options)))


def shots(prompt: PromptStep, item: Item, pool: Sequence[Item], benchmark: str) -> list[Item]:
    """The solved examples before an item: dev items of its kind, lowest by hash of the id, none of its own group.

    They are the same for all items but those of the examples' own groups. Raises `InputError` where there are too few.
    """
    if not prompt.shots:
        return []
    dev = (other for other in pool if other.split == "dev" and other.kind == item.kind and other.group != item.group)
    found = sorted(dev, key=lambda other: _place(other.id))[: prompt.shots]
    if len(found) < prompt.shots:
        raise InputError(
            f"prompt {prompt.name!r} shows {prompt.shots} solved items and {benchmark} has only {len(found)} dev items of kind {item.kind} "
            f"outside the group of item {item.id}",
            remedy="Ask for fewer `shots`, or keep more dev items (`dev`).",
        )
    return found


@functools.cache
def _place(name: str) -> bytes:
    """Where a dev item stands among those that may be shown."""
    return hashlib.sha256(f"shot:{name}".encode()).digest()


def instruction(prompt: PromptStep, item: Item, form: Form, lettered: Sequence[int]) -> str:
    """What is said before the question: the prompt's own words, else ours for the kind of item; none in cloze form."""
    said = prompt.instruction or ("" if form == "cloze" else _ours(item))
    names = [item.options[i] for i in lettered] if item.kind == "true_false" else list(letters(item))
    either = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else "".join(names)
    return said.replace("{letters}", either).replace("{unit}", item.unit).replace("{keys}", ", ".join(KEYS))


def _ours(item: Item) -> str:
    if item.kind == "numeric":
        return NUMBER if item.unit else BARE_NUMBER
    return {"choice": LETTER, "true_false": WORD, "short": SHORT, "extraction": EXTRACT}[item.kind]


def question(item: Item, form: Form, lettered: Sequence[int]) -> str:
    """The question, with its options in the order `lettered` where they are named by letters."""
    if form == "cloze":
        return item.question.rstrip()
    if item.kind != "choice":
        return item.question.strip()
    lines = [f"{name}. {item.options[i]}" for name, i in zip(letters(item), lettered, strict=True)]
    return "\n".join([item.question.strip(), *lines])


def answer(item: Item, form: Form) -> str:
    """The right answer as a model would write it."""
    if item.kind in WEIGHED:
        assert item.answer is not None
        return (item.options if form == "cloze" else labels(item, order(item)))[item.answer]
    if item.kind == "numeric":
        return f"{item.value:g} {item.unit}".strip()
    if item.kind == "short":
        return item.answers[0]
    return json.dumps([record.model_dump() for record in item.records], ensure_ascii=False)


def conversation(prompt: PromptStep, item: Item, form: Form, lettered: Sequence[int], examples: Sequence[Item] = ()) -> list[Message]:
    """The chat that asks an item.

    >>> from eutectic.specs.steps import PLAIN
    >>> bone = Item(id="a", group="g", question="What is bone?", options=("tissue", "metal"), answer=0)
    >>> print(conversation(PLAIN, bone, "greedy", order(bone))[0].content)
    Answer the question with one letter only: A or B.
    <BLANKLINE>
    What is bone?
    A. metal
    B. tissue
    """
    turns = [Message(role="system", content=prompt.system)] if prompt.system else []
    for shot in examples:
        turns += [_turn(prompt, shot, form, order(shot)), Message(role="assistant", content=answer(shot, form))]
    return [*turns, _turn(prompt, item, form, lettered)]


def _turn(prompt: PromptStep, item: Item, form: Form, lettered: Sequence[int]) -> Message:
    said = instruction(prompt, item, form, lettered)
    asked = question(item, form, lettered)
    return Message(role="user", content=f"{said}\n\n{asked}" if said else asked)


def plain_text(prompt: PromptStep, item: Item, form: Form, lettered: Sequence[int], examples: Sequence[Item] = ()) -> str:
    """The text that asks an item without a chat template; the answer follows after one space."""
    cue = "" if form == "cloze" else f"\n{CUE}"
    said = instruction(prompt, item, form, lettered)
    solved = [f"{question(shot, form, order(shot))}{cue} {answer(shot, form)}" for shot in examples]
    return "\n\n".join([*([said] if said else []), *solved, f"{question(item, form, lettered)}{cue}"])
