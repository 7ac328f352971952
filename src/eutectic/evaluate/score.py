"""The front door of evaluation: every choice item by the likelihood of its options, a subset also by an answer in words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.artifacts import ITEMS, SUMMARY, Artifact, Parents, one, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.errors import EutecticError, InputError
from eutectic.evaluate import choice, greedy
from eutectic.evaluate.summary import lines, summarise
from eutectic.models import device, loading
from eutectic.specs.rows import Item, ItemScore
from eutectic.specs.steps import EvaluateStep

__all__ = ["build", "check", "lines", "read_items", "score"]


def check(spec: EvaluateStep, parents: Parents) -> None:
    """Raises `InputError` for a model that is here already and cannot be asked in words although `greedy` wants it."""
    folder = one(parents, "model").folder
    if spec.greedy and folder is not None and (folder / "config.json").is_file():
        greedy.check_template(loading.tokenizer(folder))


def build(spec: EvaluateStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Score the model's folder on the benchmarks; writes `items.jsonl` and `summary.json`, returns the ledger."""
    where = device.prepare(context)
    parent = one(parents, "model")
    tokenizer = loading.tokenizer(parent.path)
    model = loading.load(parent.path, device.compute_dtype(where), where)
    return score(model, tokenizer, spec, parents["benchmarks"], out, context, parent.address)


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    spec: EvaluateStep,
    benchmarks: Sequence[Artifact],
    out: Path,
    context: Context,
    address: str,
) -> dict[str, Any]:
    """Score a live model; see `build`. Errors of the model's own carry its address."""
    items = {benchmark.address: read_items(benchmark) for benchmark in benchmarks}
    asked = {name: greedy.subset(members, spec.greedy) for name, members in items.items()}
    try:
        if any(asked.values()):
            greedy.check_template(tokenizer)
        rows, ledger = _rows(model, tokenizer, items, asked, context, address)
    except EutecticError as error:
        raise error.at(place=address) from error
    write_rows(out / ITEMS, rows)
    write_json(out / SUMMARY, summarise(rows, items))
    return ledger


def _rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: dict[str, list[Item]],
    asked: dict[str, list[Item]],
    context: Context,
    address: str,
) -> tuple[list[ItemScore], dict[str, Any]]:
    """Likelihood rows of all benchmarks, then greedy rows; and how many, how long."""
    weighed = {name: [item for item in members if item.kind == "choice"] for name, members in items.items()}
    start, rows = time.monotonic(), list[ItemScore]()
    context.progress.start(f"weigh options: {address}", sum(map(len, weighed.values())), "items")
    for name, members in weighed.items():
        rows += choice.scores(model, tokenizer, name, members, context)
    middle = time.monotonic()
    context.progress.start(f"ask in words: {address}", sum(map(len, asked.values())), "items")
    for name, members in asked.items():
        rows += greedy.scores(model, tokenizer, name, members, context, str(model.dtype).removeprefix("torch."))
    ledger = {
        "items": sum(map(len, weighed.values())),
        "greedy_items": sum(map(len, asked.values())),
        "likelihood_seconds": round(middle - start, 2),
        "greedy_seconds": round(time.monotonic() - middle, 2),
    }
    return rows, ledger


def read_items(benchmark: Artifact) -> list[Item]:
    """The items of a Benchmark; an empty one or an item without a usable answer is an `InputError`."""
    file = benchmark.path / ITEMS
    items = read_rows(file, Item)
    if not items:
        raise InputError("holds no items", file=file, remedy="Give a benchmark with items.")
    for line, item in enumerate(items, 1):
        sound = item.value is not None if item.kind == "numeric" else item.answer is not None and 0 <= item.answer < len(item.options)
        if not sound:
            wanted = "a value" if item.kind == "numeric" else "an answer among its options"
            raise InputError(
                f"item {item.id} has no {wanted.removeprefix('a ').removeprefix('an ')}", file=file, line=line, remedy=f"Give it {wanted}."
            )
    return items
