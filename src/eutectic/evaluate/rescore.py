"""Close items again in float32: bf16 moves log-likelihoods by 0.1 to 0.5 nats, which decides items that are nearly tied.

An item that is close in any model of a comparison is scored again in all of them, so that no model has an item more precisely than
another. Only test items are: the dev split picks, the test split is compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.artifacts import ITEMS, SUMMARY, Parents, iterate_rows, one, read_json, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.evaluate import contexts
from eutectic.evaluate.contexts import Task
from eutectic.evaluate.score import read_items, weigh
from eutectic.evaluate.summary import summarise
from eutectic.models import device, loading
from eutectic.specs.rows import WEIGHED_FORMS, Item, ItemScore
from eutectic.specs.steps import RescoreStep

Key = tuple[str, str, str]  # label, benchmark, item id


def check(spec: RescoreStep, parents: Parents) -> None:  # noqa: ARG001 - doors have one shape
    """Raises `InputError` for a margin below 0."""
    if spec.margin < 0:
        raise InputError(f"`margin` is {spec.margin}", remedy="Give the nats below which an item counts as close, 0 or more.")


def build(spec: RescoreStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Rescore the model's folder; writes `items.jsonl` and `summary.json`, returns the ledger with the number of items rescored."""
    where = device.prepare(context)
    folder = one(parents, "model").path
    return rescore(lambda: loading.load(folder, torch.float32, where), loading.tokenizer(folder), spec, parents, out, context)


def rescore(
    load: Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    spec: RescoreStep,
    parents: Parents,
    out: Path,
    context: Context,
) -> dict[str, Any]:
    """Rescore what `load` gives, a model in float32; it is called only when there is something to rescore."""
    own = one(parents, "own")
    rows = read_rows(own.path / ITEMS, ItemScore)
    summary = read_json(own.path / SUMMARY)
    if summary.get("equal_to"):  # rows of another model, counted once and under its name
        write_rows(out / ITEMS, rows)
        write_json(out / SUMMARY, summary)
        return {"rescored": 0, "adopted": 1}
    items = {benchmark.address: read_items(benchmark) for benchmark in parents["benchmarks"]}
    planned = _tasks(spec, items, close(parents, spec.margin))
    count = sum(len(task.asked) for task in planned)
    fresh: dict[Key, ItemScore] = {}
    if count:
        context.progress.start(f"close items in float32: {one(parents, 'model').address}", count, "items")
        model = load()
        fresh = {_key(row): row for task in planned for row in weigh(model, tokenizer, task, context)}
    final = [fresh.get(_key(row), row) for row in rows]
    changed = sum(new.score != old.score for new, old in zip(final, rows, strict=True))
    write_rows(out / ITEMS, final)
    write_json(out / SUMMARY, {**summary, **summarise(final, items), "rescored": count, "changed": changed})
    return {"rescored": count, "changed": changed, "items": sum(row.form in WEIGHED_FORMS for row in rows)}


def _key(row: ItemScore) -> Key:
    return row.label, row.benchmark, row.id


def _tasks(spec: RescoreStep, items: dict[str, list[Item]], wanted: set[Key]) -> list[Task]:
    """What is scored again."""
    found = []
    for prompt in spec.prompts:
        for form in WEIGHED_FORMS:
            label = f"{form}:{prompt.name}" if prompt.name else form
            for name, members in items.items():
                chosen = [item for item in members if (label, name, item.id) in wanted]
                found += [contexts.task(prompt, form, name, chosen, members)] if chosen else []
    return found


def close(parents: Parents, margin: float) -> set[Key]:
    """Test items whose bf16 margin is below `margin` nats in the own or any other Evaluation of the comparison, form by form."""
    lowest: dict[Key, float] = defaultdict(lambda: float("inf"))
    for evaluation in (*parents["own"], *parents.get("others", ())):
        for row in iterate_rows(evaluation.path / ITEMS, ItemScore):
            if row.split == "test" and row.margin is not None and row.precision != "float32":
                lowest[_key(row)] = min(lowest[_key(row)], row.margin)
    return {key for key, value in lowest.items() if value < margin}
