"""Answers that can only be what a grammar allows: at every step the tokens that fit are known from llguidance (MIT)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from eutectic.errors import InputError

# What ends a JSON text, record or list, or goes on to the next field; when CLOSING_TOKENS are left the first that fits is taken.
CLOSING = ('"', "}", "]", ",")
CLOSING_TOKENS = 96


class Grammars:
    """Makes a matcher for each answer; the tokenizer's vocabulary is read once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Iterable[int]) -> None:
        from llguidance import hf

        fast: Any = tokenizer
        self._ends = sorted(ends)
        self._vocabulary = hf.from_tokenizer(fast, eos_token=self._ends)
        closing: list[list[int]] = tokenizer(list(CLOSING), add_special_tokens=False)["input_ids"]
        self._closing = [ids[0] for ids in closing if len(ids) == 1]

    def schema(self, schema: dict[str, Any], tokens: int) -> Matcher:
        """Of JSON that follows a schema, without room between its parts that nobody asked for, whole within a number of tokens."""
        from llguidance import LLMatcher

        compact = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}, **schema}
        matcher = LLMatcher(self._vocabulary, LLMatcher.grammar_from_json_schema(json.dumps(compact)))
        return Matcher(matcher, [*self._ends, *self._closing], tokens - CLOSING_TOKENS)

    def pattern(self, regex: str) -> Matcher:
        """Of text that matches a regular expression."""
        from llguidance import LLMatcher

        return Matcher(LLMatcher(self._vocabulary, LLMatcher.grammar_from_regex(regex)))


class Matcher:
    """What one answer may go on with."""

    def __init__(self, matcher: Any, closing: Sequence[int] = (), free: int = 0) -> None:
        """After `free` tokens the first of `closing` that fits is the only one that does. Raises `InputError` for what is no grammar."""
        if matcher.is_error():
            raise InputError(f"answers cannot be held to their form: {matcher.get_error()}", remedy="Leave the constrained form out.")
        self._matcher = matcher
        self._closing = closing
        self._free = free

    def forbid(self, logits: torch.Tensor) -> None:
        """Set the logits `[vocabulary]` of tokens that do not fit to minus infinity, in place."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")[: len(logits)]
        fits = torch.zeros(len(logits), dtype=torch.bool)
        fits[: len(bits)] = torch.from_numpy(bits.astype(bool))
        closing = next((token for token in self._closing if fits[token]), None) if self._free <= 0 else None
        if closing is not None:
            fits = torch.arange(len(fits)) == closing
        logits.masked_fill_(~fits.to(logits.device), -torch.inf)

    def take(self, token: int) -> bool:
        """Go on by a token; whether the answer is complete and cannot go on."""
        self._free -= 1
        self._matcher.consume_token(token)
        return bool(self._matcher.is_stopped())
