"""Letter form: the options stand in the question behind letters, and the letters are weighed.

Every item is asked in all cyclic rotations of its options, so that each option stands once behind each letter. Its score is the share of
rotations in which the right option's letter is the likeliest; what a model thinks of letters and places is then chance, not gain. The
mean over rotations of an option's log-probability cancels what the model thinks of letters and places altogether: by the model of Zheng
et al. (2024, arXiv 2309.03882, equations 1 to 5), in which the log-probability of a letter is that of its option plus a prior of the
letter, these means are the options' own up to a constant. They give the choice (the accuracy with the prior removed).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.context import Context
from eutectic.evaluate import contexts, prompts
from eutectic.evaluate.contexts import Task
from eutectic.evaluate.likelihood import log_likelihoods
from eutectic.evaluate.rows import judged, kept, likeliest
from eutectic.specs.rows import Item, ItemScore


def scores(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, context: Context) -> list[ItemScore]:
    """A row for each item, in order."""
    orders = [prompts.rotations(each.lettered) if task.prompt.rotations == "cyclic" else [each.lettered] for each in task.asked]
    wanted = [replace(each, lettered=order) for each, own in zip(task.asked, orders, strict=True) for order in own]
    groups = contexts.groups(tokenizer, task.prompt, task.form, wanted, [prompts.labels(each.item, each.lettered) for each in wanted])
    contexts.check_lengths(model, task.benchmark, wanted, [max(len(ask.tokens) for ask in group) for group in groups])
    found = iter(log_likelihoods(model, groups, context))
    return [_row(model, task, each.item, [kept(next(found)) for _ in own]) for each, own in zip(task.asked, orders, strict=True)]


def _row(model: PreTrainedModel, task: Task, item: Item, rotated: Sequence[tuple[float, ...]]) -> ItemScore:
    means = kept(sum(column) / len(rotated) for column in zip(*rotated, strict=True))
    decided = [likeliest(values) for values in rotated]
    return judged(
        model,
        task,
        item,
        score=sum(best == item.answer for best in decided) / len(decided),
        choice=likeliest(means),
        log_likelihoods=means,
        rotated=tuple(rotated),
        margin=min(map(_margin, (means, *rotated))),
    )


def _margin(values: Iterable[float]) -> float:
    best, second, *_ = sorted(values, reverse=True)
    return round(best - second, 5)
