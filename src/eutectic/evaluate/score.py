"""The front door of evaluation: every item in every form that the prompts ask for and its kind allows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.artifacts import ITEMS, SUMMARY, Artifact, Parents, one, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.errors import EutecticError, InputError
from eutectic.evaluate import cloze, contexts, generated, letter, prompts
from eutectic.evaluate.contexts import Task
from eutectic.evaluate.summary import lines, summarise
from eutectic.models import chat_template, device, loading
from eutectic.specs.rows import FORM_WORDS, WEIGHED, WEIGHED_FORMS, Item, ItemScore
from eutectic.specs.steps import EvaluateStep

__all__ = ["build", "check", "lines", "read_items", "score"]


def check(spec: EvaluateStep, parents: Parents) -> None:
    """Raises `InputError` for a model without chat template although a prompt chats; one still to be made will have that of its start."""
    start = _start(one(parents, "model"))
    if start is not None and (start / "config.json").is_file():
        present = chat_template.present(start)
        for prompt in spec.prompts:
            for form in prompt.forms:
                contexts.check_template(present, prompt, form)


def _start(model: Artifact) -> Path | None:
    """The folder of a model, else of what it will have its chat template from, if that is here."""
    if model.folder is not None:
        return model.folder
    givers = (model.parents[role][0] for role in ("template", "base", "models", "model") if model.parents.get(role))
    giver = next(givers, None)
    return None if giver is None else _start(giver)


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
    planned = [task for name, members in items.items() for task in tasks(spec, name, members)]
    if not planned:
        raise InputError(
            "no item can be scored in the forms of the prompts",
            place=address,
            remedy="Give a prompt a form its items allow: docs/measuring.md.",
        )
    rows, ledger = list[ItemScore](), dict[str, Any]()
    try:
        for task in planned:
            contexts.check_template(bool(tokenizer.chat_template), task.prompt, task.form)
        for task in planned:
            start = time.monotonic()
            named = f", prompt {task.prompt.name}" if task.prompt.name else ""
            context.progress.start(f"{task.benchmark} {FORM_WORDS[task.form]}{named}: {address}", len(task.asked), "items")
            rows += weigh(model, tokenizer, task, context)
            for key, amount in ((f"{task.form}_items", len(task.asked)), (f"{task.form}_seconds", round(time.monotonic() - start, 2))):
                ledger[key] = round(ledger.get(key, 0) + amount, 2)
    except EutecticError as error:
        raise error.at(place=address) from error
    write_rows(out / ITEMS, rows)
    write_json(out / SUMMARY, summarise(rows, items))
    return ledger


def tasks(spec: EvaluateStep, benchmark: str, items: Sequence[Item]) -> Iterator[Task]:
    """What is scored of a benchmark, form by form. Answers are written to test items only: the dev split picks by likelihood."""
    for prompt in spec.prompts:
        for form in prompt.forms:
            able = [item for item in items if form in prompts.forms(item.kind)]
            if form not in WEIGHED_FORMS:
                able = generated.subset(able, spec.greedy)
            if able:
                yield contexts.task(prompt, form, benchmark, able, items)


def weigh(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, context: Context) -> list[ItemScore]:
    """The rows of a task, in the order of its items."""
    scores = {"cloze": cloze.scores, "letter": letter.scores}.get(task.form, generated.scores)
    return scores(model, tokenizer, task, context)


def read_items(benchmark: Artifact) -> list[Item]:
    """The items of a Benchmark; an empty one or an item without a usable answer is an `InputError`."""
    file = benchmark.path / ITEMS
    items = read_rows(file, Item)
    if not items:
        raise InputError("holds no items", file=file, remedy="Give a benchmark with items.")
    for line, item in enumerate(items, 1):
        wanted = _missing(item)
        if wanted:
            raise InputError(
                f"item {item.id} has no {wanted.removeprefix('a ').removeprefix('an ')}", file=file, line=line, remedy=f"Give it {wanted}."
            )
    return items


def _missing(item: Item) -> str:
    """What an item of its kind needs and has not."""
    if item.kind in WEIGHED:
        return "" if item.answer is not None and 0 <= item.answer < len(item.options) else "an answer among its options"
    found: dict[str, Any] = {"numeric": item.value is not None, "short": item.answers, "extraction": item.records}
    return "" if found[item.kind] else {"numeric": "a value", "short": "an answer", "extraction": "a record"}[item.kind]
