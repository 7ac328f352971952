"""Choosing among options by likelihood.

Options are ranked by mean log-likelihood a token. The benchmarks' options are matched in length, so this agrees with the sum wherever
token counts agree, and where they differ by a few it does not reward an option merely for being cut into fewer tokens.
The margin is what the ranking would have to be wrong by, in nats of summed log-likelihood: the difference of the two means times the
smaller of the two token counts. It is the plain difference of sums for options of one length, and errs towards calling an item close.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.context import Context
from eutectic.evaluate import prompts
from eutectic.evaluate.likelihood import log_likelihoods
from eutectic.specs.rows import Item, ItemScore


def rank(sums: Sequence[float], tokens: Sequence[int]) -> tuple[int, float]:
    """The chosen option (the first of equals) and the margin to its closest rival, in nats.

    >>> rank([-6.0, -9.0, -8.0], [3, 3, 4])
    (0, 0.0)
    >>> rank([-4.0, -9.0, -8.0], [4, 3, 4])
    (0, 4.0)
    """
    means = [total / count for total, count in zip(sums, tokens, strict=True)]
    best = max(range(len(means)), key=lambda i: (means[i], -i))
    margins = [(means[best] - means[i]) * min(tokens[best], tokens[i]) for i in range(len(means)) if i != best]
    return best, min(margins, default=0.0)


def scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, benchmark: str, items: Sequence[Item], context: Context
) -> list[ItemScore]:
    """A row for each choice item, in order."""
    groups = prompts.cloze(tokenizer, items)
    found = log_likelihoods(model, groups, context)
    counts = [tuple(len(ask.tokens) - ask.start for ask in group) for group in groups]
    single = str(model.dtype) == "torch.float32"
    return [row(benchmark, item, sums, tokens, single) for item, sums, tokens in zip(items, found, counts, strict=True)]


def row(benchmark: str, item: Item, sums: Sequence[float], tokens: tuple[int, ...], single: bool) -> ItemScore:
    """The row of an item whose options have summed log-likelihoods `sums`."""
    best, margin = rank(sums, tokens)
    return ItemScore(
        id=item.id,
        benchmark=benchmark,
        group=item.group,
        role=item.role,
        split=item.split,
        form="cloze",
        score=float(best == item.answer),
        choice=best,
        answer=item.answer,
        log_likelihoods=tuple(round(value, 5) for value in sums),
        tokens=tokens,
        margin=round(margin, 5),
        precision="float32" if single else "bfloat16",
    )
