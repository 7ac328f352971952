"""Asking several conversations the next question at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.converse.script import SamplingSpec
from eutectic.errors import EutecticError
from eutectic.models import chat_template
from eutectic.models.generate import Generated, generate
from eutectic.specs.rows import Message


@dataclass
class Dialogue:
    """A model in conversation: one history for each parallel conversation. All questions of a turn are answered in one batch."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    sampling: SamplingSpec
    histories: list[list[Message]]

    def ask(self, questions: Sequence[str], max_new_tokens: int, seed: int, turn: int) -> tuple[list[Generated], float]:
        """Put a question to each conversation; the answers, which join the histories, and the seconds all of them took.

        Raises `InputError` naming the turn when a conversation has outgrown the model's context.
        """
        start = time.monotonic()
        for history, question in zip(self.histories, questions, strict=True):
            history.append(Message(role="user", content=question))
        try:
            prompts = [chat_template.render(self.tokenizer, history, generation_prompt=True) for history in self.histories]
            answers = generate(self.model, self.tokenizer, prompts, max_new_tokens=max_new_tokens, seed=seed, **self.sampling.model_dump())
        except EutecticError as error:
            raise error.at(place=f"turn {turn}") from error
        for history, answer in zip(self.histories, answers, strict=True):
            history.append(Message(role="assistant", content=answer.text))
        return answers, time.monotonic() - start
