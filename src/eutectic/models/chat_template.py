"""The one place where chat templates are applied."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from eutectic.errors import InputError
from eutectic.specs.rows import Message


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, generation_prompt: bool) -> list[int]:
    """Token ids of a conversation in the model's own template. Raises `InputError` when the tokenizer has none."""
    if not tokenizer.chat_template:
        raise InputError(
            "the model has no chat template", place="chat_template", remedy="Take one from another model of the study: `chat_template: NAME`."
        )
    plain = [message.model_dump() for message in messages]
    text = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=generation_prompt)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


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
            if whole[: len(before)] != before or whole[: len(after)] != after:
                raise InputError(
                    "the chat template renders a conversation differently with and without its last answer", place="chat_template"
                )
            for position in range(len(before), _end(tokenizer, whole, len(before), len(after))):
                learned[position] = True
    _check(tokenizer, whole, learned)
    return whole, learned


def _end(tokenizer: PreTrainedTokenizerBase, ids: list[int], start: int, stop: int) -> int:
    """One past the token that ends the turn; what a template puts behind it (a line break) is not learned."""
    ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer.convert_tokens_to_ids("<|eot_id|>")}
    return next((i + 1 for i in range(start, stop) if ids[i] in ends), stop)


def _check(tokenizer: PreTrainedTokenizerBase, ids: list[int], learned: list[bool]) -> None:
    """A second BOS, or an answer whose end is never learned, would train a model that cannot begin or stop."""
    if tokenizer.bos_token_id is not None and tokenizer.bos_token_id != tokenizer.eos_token_id and ids.count(tokenizer.bos_token_id) > 1:
        if tokenizer.convert_ids_to_tokens(tokenizer.bos_token_id) != "<|im_start|>":
            raise InputError("the chat template writes the beginning-of-text token twice", place="chat_template", remedy="Mend the template.")
