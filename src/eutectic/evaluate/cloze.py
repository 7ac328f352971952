"""Cloze form: the options of an item, ranked by their log-likelihood after the question.

Without a prior, by mean log-likelihood a token. Benchmarks made here match their options in length, so this agrees with the sum wherever
token counts agree, and where they differ by a few it does not reward an option merely for being cut into fewer tokens. With a prior, by
what the question adds to an option's log-likelihood (domain-conditional PMI: Holtzman et al. 2021, arXiv 2104.08315, equation 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.context import Context
from eutectic.evaluate import contexts
from eutectic.evaluate.contexts import Task
from eutectic.evaluate.likelihood import log_likelihoods
from eutectic.evaluate.prompts import CUE
from eutectic.evaluate.rows import judged, kept, likeliest
from eutectic.evaluate.tree import Ask
from eutectic.specs.rows import Item, ItemScore


def rank(sums: Sequence[float], tokens: Sequence[int], priors: Sequence[float] = ()) -> tuple[int, float]:
    """The chosen option (the first of equals) and the margin to its closest rival, in nats.

    The margin is what the ranking would have to be wrong by: of means, their difference times the smaller of the two token counts, which
    is the plain difference of sums for options of one length and errs towards calling an item close.

    >>> rank([-6.0, -9.0, -8.0], [3, 3, 4])
    (0, 0.0)
    >>> rank([-4.0, -9.0, -8.0], [4, 3, 4])
    (0, 4.0)
    >>> rank([-4.0, -9.0], [4, 4], priors=[-5.0, -12.0])
    (1, 2.0)
    """
    weights = [1] * len(sums) if priors else tokens
    values = [(total - prior) / count for total, prior, count in zip(sums, priors or [0.0] * len(sums), weights, strict=True)]
    best = likeliest(values)
    margins = [(values[best] - values[i]) * min(weights[best], weights[i]) for i in range(len(values)) if i != best]
    return best, min(margins, default=0.0)


def scores(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, context: Context) -> list[ItemScore]:
    """A row for each item, in order."""
    items = [each.item for each in task.asked]
    groups = contexts.groups(tokenizer, task.prompt, task.form, task.asked, [item.options for item in items])
    contexts.check_lengths(model, task.benchmark, task.asked, [max(len(ask.tokens) for ask in group) for group in groups])
    sums = log_likelihoods(model, groups, context)
    priors = log_likelihoods(model, [_prior(tokenizer, item) for item in items], context) if task.prompt.prior else [[] for _ in items]
    return [_row(model, task, *each) for each in zip(items, groups, sums, priors, strict=True)]


def _prior(tokenizer: PreTrainedTokenizerBase, item: Item) -> list[Ask]:
    """The options after `Answer:` alone."""
    before = [*contexts.leading(tokenizer), *contexts.encode(tokenizer, [CUE])[0]]
    return [Ask((*before, *option), len(before)) for option in contexts.encode(tokenizer, [f" {option}" for option in item.options])]


def _row(model: PreTrainedModel, task: Task, item: Item, group: Sequence[Ask], sums: Sequence[float], priors: Sequence[float]) -> ItemScore:
    tokens = tuple(len(ask.tokens) - ask.start for ask in group)
    best, margin = rank(sums, tokens, priors)
    return judged(
        model,
        task,
        item,
        score=float(best == item.answer),
        choice=best,
        log_likelihoods=kept(sums),
        tokens=tokens,
        priors=kept(priors),
        margin=round(margin, 5),
    )
