"""General benchmarks through lm-evaluation-harness, in process: what a model forgot while it learned its field.

The harness (the extra `general`) gets the live model, so an unwritten merge is measured like a folder. Seeds, prompts and few-shot
examples are its own, so that numbers can be held against published ones.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic.artifacts import SAMPLES, SUMMARY, Parents, one, optional, write_json, write_rows
from eutectic.context import Context, Progress
from eutectic.errors import EutecticError, InputError, WorkError
from eutectic.models import device, loading
from eutectic.specs.rows import GeneralSample
from eutectic.specs.steps import GeneralStep

BATCH = 8  # requests a forward; a fixed number, for padding moves bf16 results a little
OFFLINE = ("offline", "couldn't reach", "connection", "cannot send a request", "max retries", "resolve")
Found = dict[str, Any]


def check(spec: GeneralStep, parents: Parents) -> None:
    """Raises `InputError` when the harness is not installed or does not know a task."""
    manager(spec.tasks, _folder(parents))


def build(spec: GeneralStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Measure the model's folder; writes `samples.jsonl` and `summary.json`, returns the ledger."""
    where = device.prepare(context)
    parent = one(parents, "model")
    model = loading.load(parent.path, device.compute_dtype(where), where)
    return measure(model, loading.tokenizer(parent.path), spec, parents, out, context)


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, spec: GeneralStep, parents: Parents, out: Path, context: Context
) -> dict[str, Any]:
    """Measure a live model; see `build`. Raises `InputError` for a model without a template asked to chat, and what `_run` raises."""
    address, folder = one(parents, "model").address, _folder(parents)
    if spec.chat and not tokenizer.chat_template:
        raise InputError("has no chat template", place=address, remedy="Leave `chat` out, or give the model a `chat_template`.")
    tasks = manager(spec.tasks, folder)
    try:
        with quiet(), contextlib.chdir(folder or Path.cwd()):  # relative data files of a task stand in its folder
            found = _run(harness(model, tokenizer, context.progress, address), tasks, spec)
    except EutecticError as error:
        raise error.at(place=address) from error
    rows = samples(found)
    write_rows(out / SAMPLES, rows)
    write_json(out / SUMMARY, summary(found, spec.tasks))
    return {"tasks": len(found["n-samples"]), "items": len(rows), "lm_eval": version("lm-eval")}


def _folder(parents: Parents) -> Path | None:
    """The folder of the study's own tasks."""
    tasks = optional(parents, "tasks")
    return tasks.path.resolve() if tasks is not None else None


@cache
def manager(tasks: tuple[str, ...], folder: Path | None) -> Any:
    """The harness's index of tasks, those of a folder included; indexing takes seconds and is done once a process.

    Raises `InputError` when the harness is not installed or a task is unknown.
    """
    try:
        version("lm-eval")
        with quiet():
            from lm_eval.tasks import TaskManager

            found = TaskManager(include_path=str(folder) if folder else None)
    except (PackageNotFoundError, ImportError) as error:
        raise InputError(
            f"general benchmarks need lm-evaluation-harness, which cannot be imported ({error})",
            remedy="Install it: pip install 'eutectic[general]'.",
        ) from error
    for task in tasks:
        if task not in found.all_tasks:
            near = difflib.get_close_matches(task, found.all_tasks, n=3)
            remedy = f"Did you mean {', '.join(near)}?" if near else "`lm_eval ls tasks` lists the names."
            raise InputError(f"lm-evaluation-harness {version('lm-eval')} has no task named {task!r}", remedy=remedy)
    return found


def harness(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, progress: Progress, address: str) -> Any:
    """The harness's view of a live model, with our progress instead of its bars."""
    from lm_eval.models.huggingface import HFLM

    class Watched(HFLM):  # type: ignore[misc]
        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> Any:
            progress.start(f"general benchmarks: {address}", len(requests), "requests")
            return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

        def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> Any:
            progress.start(f"general benchmarks, in words: {address}", len(requests), "requests")
            return super().generate_until(requests, disable_tqdm=disable_tqdm)

        def _model_call(self, inps: torch.Tensor, *rest: Any, **named: Any) -> Any:
            progress.advance(len(inps))
            return super()._model_call(inps, *rest, **named)

        def _model_generate(self, context: torch.Tensor, *rest: Any, **named: Any) -> Any:
            progress.advance(len(context))
            return super()._model_generate(context, *rest, **named)

    with quiet():
        return Watched(pretrained=model, tokenizer=tokenizer, batch_size=BATCH, trust_remote_code=False)


def _run(lm: Any, tasks: Any, spec: GeneralStep) -> Found:
    """The harness's own results. Raises `WorkError` for data that cannot be had here and for a task that fails."""
    from lm_eval import simple_evaluate

    try:
        found: Found = simple_evaluate(
            model=lm,
            tasks=list(spec.tasks),
            num_fewshot=spec.shots,
            limit=spec.limit,
            apply_chat_template=spec.chat,
            task_manager=tasks,
            log_samples=True,
        )
    except Exception as error:  # the harness, its tasks and `datasets` raise what they like
        first = " ".join(str(error).split())[:300]
        asked = ", ".join(spec.tasks)
        if any(word in f"{type(error).__name__} {first}".casefold() for word in OFFLINE):
            remedy = "Fetch them once where there is a network and copy $HF_HOME here, or give tasks with local data in a `folder`."
            raise WorkError(f"the data of {asked} are not in the cache and the hub cannot be reached ({first})", remedy=remedy) from error
        remedy = "Try the task with `lm_eval run` itself; some tasks need packages of their own."
        raise WorkError(f"lm-evaluation-harness failed on {asked}: {type(error).__name__}: {first}", remedy=remedy) from error
    return found


def samples(found: Found) -> list[GeneralSample]:
    """A row an item of each task: every metric that is one number for one item, by `METRIC,FILTER` as the harness names it."""
    rows: dict[tuple[str, int], Found] = {}
    for task, members in found["samples"].items():
        for sample in members:
            question = f"{sample['doc_hash'][:16]}{sample['target_hash'][:16]}"
            row = rows.setdefault((task, sample["doc_id"]), {"task": task, "item": sample["doc_id"], "question": question, "values": {}})
            for metric in sample["metrics"]:
                if isinstance(value := sample[metric], bool | int | float):
                    row["values"][f"{metric},{sample['filter']}"] = float(value)
    return [GeneralSample(**row) for row in rows.values()]


def summary(found: Found, asked: Sequence[str]) -> dict[str, Any]:
    """What was asked for and of which tasks it consists, and for every task and group its version, shots, items and metrics."""
    return {
        "lm_eval": version("lm-eval"),
        "asked": _asked(asked, found["group_subtasks"], found["n-samples"]),
        "tasks": {
            name: {
                "version": found["versions"].get(name),
                "shots": found["n-shot"].get(name),
                "items": found["n-samples"].get(name, {}).get("effective"),
                "metrics": _metrics(metrics, found["higher_is_better"].get(name, {})),
            }
            for name, metrics in {**found["results"], **found.get("groups", {})}.items()
        },
    }


def _asked(asked: Sequence[str], below: Mapping[str, Sequence[str]], tasks: Mapping[str, Any]) -> dict[str, list[str]]:
    """Every task and group asked for with the single tasks it consists of. What a tag stands for counts as asked for one by one."""
    named = {name: _leaves(name, below, tasks) for name in asked if name in tasks or name in below}
    told = {leaf for leaves in named.values() for leaf in leaves}
    return {**named, **{leaf: [leaf] for leaf in tasks if leaf not in told}}


def _leaves(name: str, below: Mapping[str, Sequence[str]], tasks: Mapping[str, Any]) -> list[str]:
    return [name] if name in tasks else [leaf for child in below.get(name, ()) for leaf in _leaves(child, below, tasks)]


def _metrics(metrics: Mapping[str, Any], higher: Mapping[str, Any]) -> dict[str, Any]:
    """`METRIC,FILTER` -> value, standard error (None where the harness has none), and whether more is better."""
    names = [key for key, value in metrics.items() if "," in key and "_stderr," not in key and isinstance(value, int | float)]
    return {key: {"value": float(metrics[key]), "stderr": _stderr(metrics, key), "higher": higher.get(key.split(",")[0])} for key in names}


def _stderr(metrics: Mapping[str, Any], key: str) -> float | None:
    metric, _, name = key.partition(",")
    value = metrics.get(f"{metric}_stderr,{name}")
    return float(value) if isinstance(value, int | float) else None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No bars, log lines or warnings of the harness and of `datasets`: progress is told by us, faults by exceptions."""
    from tqdm.std import tqdm

    begun, before = tqdm.__init__, logging.root.manager.disable

    def silent(self: Any, *rest: Any, **named: Any) -> None:
        begun(self, *rest, **{**named, "disable": True})

    tqdm.__init__ = silent
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        tqdm.__init__ = begun
        logging.disable(before)
