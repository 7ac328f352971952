"""Has a model met a benchmark before? Two things only its likelihoods can say.

Options without their question: whoever ranks the right one first more often than by chance knows the options, or the benchmark gives its
answers away. The published order: items of a file are exchangeable, so a model that never read the file gives a run of them the same
likelihood in any order (Oren et al. 2023, arXiv 2310.17623). Items made from a corpus stand in no file that could have been read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic import fingerprint
from eutectic.artifacts import CANARIES, Parents, one, write_rows
from eutectic.context import Context
from eutectic.evaluate import contexts, prompts
from eutectic.evaluate.likelihood import log_likelihoods
from eutectic.evaluate.rows import kept
from eutectic.evaluate.score import read_items
from eutectic.evaluate.tree import Ask
from eutectic.models import device, loading
from eutectic.specs.rows import Canary, Item
from eutectic.specs.steps import CanaryStep

# Runs are read in their own order and three others: ten that all prefer their own give p = 4^-10.
RUN, RUNS, SHUFFLED = 5, 10, 3


def check(spec: CanaryStep, parents: Parents) -> None:
    """Nothing can be wrong that scoring the model would not tell."""


def build(spec: CanaryStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write `canaries.jsonl`; return how many items and runs it holds."""
    where = device.prepare(context)
    parent = one(parents, "model")
    tokenizer = loading.tokenizer(parent.path)
    model = loading.load(parent.path, device.compute_dtype(where), where)
    rows: list[Canary] = []
    for benchmark in parents["benchmarks"]:
        items = read_items(benchmark)
        rows += options_only(model, tokenizer, benchmark.address, _sample(items, spec), context)
        if benchmark.parents.get("file"):
            rows += orders(model, tokenizer, benchmark.address, items, spec.seed, context)
    write_rows(out / CANARIES, rows)
    return {f"{kind}_rows": sum(row.check == kind for row in rows) for kind in ("options", "order")}


def _sample(items: Sequence[Item], spec: CanaryStep) -> list[Item]:
    """Items whose options can be ranked, lowest by seeded hash first. True and False are no options to know."""
    chosen = [item for item in items if item.kind == "choice"]
    return sorted(chosen, key=lambda item: fingerprint.stream_seed(spec.seed, f"canary {item.id}"))[: spec.items]


def options_only(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, benchmark: str, items: Sequence[Item], context: Context
) -> list[Canary]:
    """Mean log-likelihood a token of every option where `Answer:` alone stands before it."""
    before = [*contexts.leading(tokenizer), *contexts.encode(tokenizer, [prompts.CUE])[0]]
    endings = [contexts.encode(tokenizer, [f" {option}" for option in item.options]) for item in items]
    groups = [[Ask((*before, *ending), len(before)) for ending in each] for each in endings]
    context.progress.start(f"{benchmark}, options without questions", len(items), "items")
    sums = log_likelihoods(model, groups, context)
    return [
        Canary(
            benchmark=benchmark,
            check="options",
            id=item.id,
            group=item.group,
            log_likelihoods=kept(total / len(ending) for total, ending in zip(totals, each, strict=True)),
            right=item.answer,
        )
        for item, each, totals in zip(items, endings, sums, strict=True)
        if item.answer is not None
    ]


def orders(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, benchmark: str, items: Sequence[Item], seed: int, context: Context
) -> list[Canary]:
    """Log-likelihood of runs of items, spread over the file, as published and in other orders; runs too long to be read are left out."""
    limit = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    starts = range(0, len(items) - RUN + 1, max(RUN, len(items) // RUNS))
    runs = {start: _orders(tokenizer, items[start : start + RUN], seed, f"{benchmark} {start}") for start in list(starts)[:RUNS]}
    runs = {start: asks for start, asks in runs.items() if max(len(ask.tokens) for ask in asks) <= limit}
    context.progress.start(f"{benchmark}, order of its items", len(runs), "runs")
    sums = log_likelihoods(model, list(runs.values()), context)
    return [
        Canary(benchmark=benchmark, check="order", id=items[start].id, group=items[start].id, log_likelihoods=kept(totals), right=0)
        for start, totals in zip(runs, sums, strict=True)
    ]


def _orders(tokenizer: PreTrainedTokenizerBase, run: Sequence[Item], seed: int, purpose: str) -> list[Ask]:
    """A run as published, then shuffled; scored is all behind the first token."""
    chance = np.random.default_rng(fingerprint.stream_seed(seed, f"canary {purpose}"))
    texts = [_text(run), *(_text([run[i] for i in chance.permutation(len(run))]) for _ in range(SHUFFLED))]
    before = contexts.leading(tokenizer)
    asks = [(*before, *ids) for ids in contexts.encode(tokenizer, texts)]
    return [Ask(tokens, max(1, len(before))) for tokens in asks]


def _text(items: Sequence[Item]) -> str:
    """Items with their right answers, as a file of them reads."""
    return "\n\n".join(f"{item.question.strip()}\n{prompts.CUE} {prompts.answer(item, 'cloze')}" for item in items)
