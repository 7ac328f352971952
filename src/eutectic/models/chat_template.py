"""The one place where messages and documents become token ids, and where is decided which of them are learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from eutectic.errors import InputError
from eutectic.specs.rows import Message

# What closed a document in pretraining, where a chat model has made another token its end of sequence.
END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>")
# Ends of turns that some tokenizers do not name as their end of sequence.
END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>")


def present(folder: Path) -> bool:
    """Whether a model folder has a chat template, by its files alone."""
    if (folder / "chat_template.jinja").is_file():
        return True
    file = folder / "tokenizer_config.json"
    try:
        return bool(json.loads(file.read_text(encoding="utf-8")).get("chat_template"))
    except (OSError, ValueError, AttributeError):  # a missing or damaged file is told where the tokenizer is loaded
        return False


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, generation_prompt: bool) -> list[int]:
    """Token ids of a conversation in the model's own template. Raises `InputError` when the tokenizer has none."""
    if not tokenizer.chat_template:
        raise InputError(
            "the model has no chat template",
            place="chat_template",
            remedy="Take one from another model of the study: `chat_template: NAME`.",
        )
    plain = [message.model_dump() for message in messages]
    text = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=generation_prompt)
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id:
        raise InputError("the chat template writes the beginning-of-text token twice", place="chat_template", remedy="Mend the template.")
    return ids


def assistant_spans(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """Token ids of a conversation and which of them are learned: each assistant turn with the token that ends it.

    Found by rendering the conversation up to each turn: the prompt must be a prefix of prompt and answer, or the template is not
    usable for training (`InputError`).
    """
    whole = render(tokenizer, messages, generation_prompt=False)
    learned = [False] * len(whole)
    for index, message in enumerate(messages):
        if message.role == "assistant":
            before = render(tokenizer, messages[:index], generation_prompt=True)
            after = render(tokenizer, messages[: index + 1], generation_prompt=False)
            _same_beginning(whole, before)
            _same_beginning(whole, after)
            for position in range(len(before), _end(tokenizer, after, len(before))):
                learned[position] = True
    return whole, learned


def continuation(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message], answer: Sequence[Message]) -> tuple[list[int], list[int]]:
    """Token ids of a prompt (ready for the answer) and of the answer that follows it, its end token included."""
    before = render(tokenizer, prompt, generation_prompt=True)
    after = render(tokenizer, (*prompt, *answer), generation_prompt=False)
    _same_beginning(after, before)
    return before, after[len(before) : _end(tokenizer, after, len(before))]


def document(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[int]]:
    """Token ids that open a document and those of the document itself, closed by the end-of-text token.

    The opening is the beginning-of-text token where the tokenizer writes one, else the end-of-text token, which stood before every
    document in pretraining: so the first word is learned too.
    """
    plain = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])  # a document is split, however long it is
    special = list(tokenizer("a")["input_ids"])
    end = end_of_text(tokenizer)
    opening = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None and special[:1] == [tokenizer.bos_token_id] else [end]
    if plain[:1] == opening:
        raise InputError(
            "the text itself begins with the token that opens a document", remedy="Take that token out of the text: it is written for you."
        )
    return opening, [*plain, end]


def end_of_text(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that closes a document; raises `InputError` when the tokenizer has neither that nor an end-of-sequence token."""
    for token in END_OF_TEXT:
        if (number := _token_id(tokenizer, token)) is not None:
            return number
    if tokenizer.eos_token_id is None:
        raise InputError("the tokenizer has no end-of-sequence token", remedy="Name one in tokenizer_config.json (`eos_token`).")
    assert isinstance(tokenizer.eos_token_id, int)
    return tokenizer.eos_token_id


def _token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int | None:
    """Number of a token, or None where the vocabulary lacks it; asked for every row, so the vocabulary is never copied out."""
    number = tokenizer.convert_tokens_to_ids(token)
    return number if isinstance(number, int) and tokenizer.convert_ids_to_tokens(number) == token else None


def _same_beginning(whole: list[int], beginning: list[int]) -> None:
    if whole[: len(beginning)] != beginning:
        raise InputError(
            "a conversation is tokenised differently with and without its last answer",
            place="chat_template",
            remedy="Use a template that only appends: what it writes for a prompt must stand unchanged before the answer.",
        )


def _end(tokenizer: PreTrainedTokenizerBase, ids: list[int], start: int) -> int:
    """One past the token that ends the turn; what a template puts behind it (a line break) is not learned.

    The stop token is found by its place, never by comparing with the padding token, so a tokenizer whose padding is its end of
    sequence loses nothing. Raises `InputError` when no stop token follows: a model trained so would never end an answer.
    """
    ends = {tokenizer.eos_token_id, *(_token_id(tokenizer, token) for token in END_OF_TURN)} - {None}
    place = next((i + 1 for i in range(len(ids) - 1, start - 1, -1) if ids[i] in ends), None)
    if place is None:
        raise InputError(
            "no end-of-turn token follows the assistant's answer, so the model would never learn to stop",
            place="chat_template",
            remedy="Let the template close each assistant turn with the tokenizer's eos_token.",
        )
    return place
