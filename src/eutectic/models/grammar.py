"""Answers that can only be what a grammar allows: at every step the tokens that fit are known from llguidance (MIT)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase


class Grammars:
    """Makes a matcher for each answer; the tokenizer's vocabulary is read once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Iterable[int]) -> None:
        from llguidance import hf

        fast: Any = tokenizer
        self._vocabulary = hf.from_tokenizer(fast, eos_token=sorted(ends))

    def schema(self, schema: dict[str, Any]) -> Matcher:
        """Of JSON that follows a schema, without room between its parts that nobody asked for."""
        from llguidance import LLMatcher

        compact = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}, **schema}
        return Matcher(LLMatcher(self._vocabulary, LLMatcher.grammar_from_json_schema(json.dumps(compact))))

    def pattern(self, regex: str) -> Matcher:
        """Of text that matches a regular expression."""
        from llguidance import LLMatcher

        return Matcher(LLMatcher(self._vocabulary, LLMatcher.grammar_from_regex(regex)))


class Matcher:
    """What one answer may go on with."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def forbid(self, logits: torch.Tensor) -> None:
        """Set the logits `[vocabulary]` of tokens that do not fit to minus infinity, in place."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")[: len(logits)]
        fits = torch.zeros(len(logits), dtype=torch.bool)
        fits[: len(bits)] = torch.from_numpy(bits.astype(bool))
        logits.masked_fill_(~fits.to(logits.device), -torch.inf)

    def take(self, token: int) -> bool:
        """Go on by a token; whether the answer is complete and cannot go on."""
        self._matcher.consume_token(token)
        return bool(self._matcher.is_stopped())
