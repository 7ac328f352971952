"""What a candidate is scored on: dev items in cloze form, reduced to those that tell candidates apart.

The score is the mean probability of the right option. An option's probability is a softmax over what the options are ranked by, their
mean log-likelihood a token, times the mean number of tokens of the item's options: for options of one length that is the model's own
probability. Accuracy follows the same order, but in steps of one item; docs/decisions/0007-measuring.md says why it is not searched on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.artifacts import Artifact
from eutectic.context import Context, Silent
from eutectic.errors import InputError
from eutectic.evaluate import cloze, contexts
from eutectic.evaluate.likelihood import log_likelihoods
from eutectic.evaluate.score import read_items
from eutectic.specs.rows import WEIGHED
from eutectic.specs.steps import PromptStep

CLOZE = PromptStep.model_validate({"name": "", "forms": ("cloze",)})


@dataclass(frozen=True)
class Scored:
    """Probability of the right option of each item, and the share of items whose right option was chosen."""

    right: tuple[float, ...]
    accuracy: float


class DevItems:
    """The dev items of a benchmark whose options can be weighed, as tokens; of more than `most` those whose ids have the lowest hashes."""

    def __init__(self, benchmark: Artifact, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, most: int) -> None:
        """Raises `InputError` where there are none, or one is longer than the model's context."""
        items = read_items(benchmark)
        able = [item for item in items if item.split == "dev" and item.kind in WEIGHED]
        drawn = set(sorted((item.id for item in able), key=lambda name: hashlib.sha256(f"search:{name}".encode()).digest())[:most])
        self.items = [item for item in able if item.id in drawn]
        if not self.items:
            raise InputError(
                f"{benchmark.address} has no dev items with options",
                place="benchmark",
                remedy="Give the benchmark `dev: 0.3`, or items of its own with `split: dev`.",
            )
        wanted = [contexts.asked(CLOZE, item, items, benchmark.address) for item in self.items]
        self._groups = contexts.groups(tokenizer, CLOZE, "cloze", wanted, [item.options for item in self.items])
        contexts.check_lengths(model, benchmark.address, wanted, [max(len(ask.tokens) for ask in group) for group in self._groups])

    def score(self, model: PreTrainedModel, which: Sequence[int], context: Context) -> Scored:
        """Score a live model on items by their index."""
        groups = [self._groups[i] for i in which]
        right, hits = list[float](), 0
        for i, group, sums in zip(which, groups, log_likelihoods(model, groups, replace(context, progress=Silent())), strict=True):
            tokens, answer = [len(ask.tokens) - ask.start for ask in group], self.items[i].answer
            assert answer is not None
            right.append(round(probability(sums, tokens, answer), 6))
            hits += cloze.rank(sums, tokens)[0] == answer
        return Scored(tuple(right), hits / len(groups))


def probability(sums: Sequence[float], tokens: Sequence[int], answer: int) -> float:
    """Probability of the right option from the summed log-likelihoods (nats) and token counts of all.

    >>> probability([-4.0, -4.0], [4, 4], 0)
    0.5
    >>> round(probability([-4.0, -6.0, -6.0], [4, 4, 4], 0), 3)
    0.787
    """
    values = np.array(sums) / np.array(tokens) * np.mean(tokens)
    shares = np.exp(values - values.max())
    return float(shares[answer] / shares.sum())


def telling(right: Sequence[Sequence[float]], count: int) -> list[int]:
    """The `count` items on which models differ most (variance of `right` `[models][items]`, of equals the first), in their order.

    >>> telling([[0.5, 0.1, 0.2], [0.5, 0.9, 0.3]], 2)
    [1, 2]
    """
    spread = np.var(np.array(right), axis=0)
    return sorted(sorted(range(len(spread)), key=lambda i: (-spread[i], i))[:count])
