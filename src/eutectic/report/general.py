"""General benchmarks: what each model forgot, or gained, against the model it started from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from eutectic.analysis.compare import Comparison, adjust, paired
from eutectic.artifacts import SAMPLES, SUMMARY, read_json, read_rows
from eutectic.report import paired as tests
from eutectic.report.blocks import Block, Section, Table, Text, Value, headed, number
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import GeneralSample
from eutectic.specs.steps import GeneralStep

TITLE = "General benchmarks: what was forgotten"
# Which of a task's metrics is compared: length-normalised accuracy where there is one, as published tables have it.
PREFERRED = ("acc_norm", "acc", "exact_match")
CAPTION = (
    "Each model minus the model it started from on the same items, paired; intervals over items, Holm over all tasks of a model. Tasks, "
    "prompts and metrics are lm-evaluation-harness's own."
)
Samples = dict[tuple[str, str], GeneralSample]  # by task and digest of the item


def section(view: StudyView) -> Section:
    """Every model against its start, in words and one by one, and all that was measured."""
    steps = [step for step in view.of("general") if step.readable is not None]
    if not steps:
        return Section("general", TITLE, missing="Not asked for: `general` in the study file names tasks of lm-evaluation-harness.")
    found = [(step.address, each) for step in steps if (start := _start(view, step, steps)) for each in against(step, start)]
    blocks: list[Block] = [Text(forgotten(found))] if found else []
    if found:
        rows: list[tuple[tuple[Value, ...], Comparison]] = [((model, each.against), each) for model, each in found]
        blocks.append(tests.table("forgetting", CAPTION, ("model", "start"), rows, ("start", "model", "difference")))
    return Section("general", TITLE, [*blocks, _measured(steps)])


def _start(view: StudyView, step: StepView, steps: Sequence[StepView]) -> StepView | None:
    """The same measurement of the model that a model began as; None for a start model itself."""
    start = view.start(step.parents["model"][0])
    return next((each for each in steps if start is not None and each.address == start.address and each.spec == step.spec), None)


def against(step: StepView, start: StepView) -> list[Comparison]:
    """What was asked for, task by task or as groups of tasks, `step` minus `start` on the items both have; one Holm family."""
    own, before = _samples(step), _samples(start)
    found = []
    for name, tasks in _summary(step)["asked"].items():
        keys = [key for key in own if key[0] in tasks and key in before]
        metric = _metric([own[key] for key in keys], _summary(step)["tasks"])
        if metric:
            a, b = (np.array([rows[key].values[metric] for key in keys]) for rows in (own, before))
            groups = np.array([digest for _, digest in keys])
            binomial = bool(np.isin((a, b), (0.0, 1.0)).all()) and len(set(groups)) == len(keys)
            label = metric.partition(",")[0]
            found.append(paired(a, b, groups, cell=(name, label), against=start.address, names=(start.address,), binomial=binomial))
    return adjust(found)


def _samples(step: StepView) -> Samples:
    assert step.readable is not None
    return {(row.task, row.question): row for row in read_rows(step.readable / SAMPLES, GeneralSample)}


def _summary(step: StepView) -> dict[str, Any]:
    assert step.readable is not None
    return read_json(step.readable / SUMMARY)


def _metric(rows: Sequence[GeneralSample], tasks: Mapping[str, Any]) -> str:
    """The metric all items have of which more is better: a preferred one, else the first by name; nothing where there is none."""
    if not rows:
        return ""
    shared = set.intersection(*(set(row.values) for row in rows))
    better = sorted(name for name in shared if all(tasks[row.task]["metrics"].get(name, {}).get("higher") for row in rows))
    return next((name for wanted in PREFERRED for name in better if name.partition(",")[0] == wanted), better[0] if better else "")


def forgotten(found: Sequence[tuple[str, Comparison]]) -> str:
    """Which tasks became worse, which better, and that the rest shows no difference."""
    told = {
        outcome: [
            f"{each.part} in {model} ({number(100 * each.difference, 1, True)} points)" for model, each in found if each.outcome == outcome
        ]
        for outcome in ("loss", "gain")
    }
    rest = sum(each.outcome == "none" for _, each in found)
    sentences = [f"Forgotten: {'; '.join(told['loss'])}."] if told["loss"] else ["No forgetting is shown on general benchmarks."]
    sentences += [f"Gained: {'; '.join(told['gain'])}."] if told["gain"] else []
    sentences += (
        [f"No difference is shown in {rest} of {len(found)} comparisons; what each could have seen stands beside it."] if rest else []
    )
    return " ".join(sentences)


def _measured(steps: Sequence[StepView]) -> Table:
    columns = headed("model", "task", "metric", "shots|count", "items|count", "value|number", "standard error|number", "version|address")
    rows = [row for step in steps for row in _values(step)]
    versions = ", ".join(sorted({_summary(step)["lm_eval"] for step in steps}))
    caption = f"All that lm-evaluation-harness {versions} gave: its own metrics and standard errors, by task and group."
    return Table("general", caption, columns, rows, folded=True)


def _values(step: StepView) -> Iterator[tuple[Value, ...]]:
    assert isinstance(step.spec, GeneralStep)
    for task, found in _summary(step)["tasks"].items():
        for metric, each in found["metrics"].items():
            version = "" if found["version"] is None else str(found["version"])
            yield step.address, task, metric, found["shots"], found["items"], each["value"], each["stderr"], version
