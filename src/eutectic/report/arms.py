"""Training arms: how each stage was set, and what it read, learned and cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from eutectic.artifacts import LEDGER, METRICS, read_json
from eutectic.report.blocks import Table, Value, headed, show
from eutectic.report.view import StepView
from eutectic.specs.steps import TrainStep

COUNTED = (
    "What each stage read and cost. Loss tokens: tokens whose likelihood is raised, of a pair the chosen answer's. Learning-rate integral: "
    "the sum of the learning rates of all updates, so how far a weight may travel. FLOPs: forward, backward and reference pass, by formula "
    "(docs/methods.md). Weights unchanged: share of weights that are what they were after rounding to the type they are published in."
)


def ledger(step: StepView) -> Mapping[str, Any]:
    """Counted numbers of a training step: `ledger.json`, else what its record kept."""
    if step.readable is not None and (step.readable / LEDGER).exists():
        return read_json(step.readable / LEDGER)
    return step.record.ledger if step.record else {}


def metrics(step: StepView) -> list[dict[str, Any]]:
    """Rows of `metrics.jsonl`; a line that was torn by a crash ends the list."""
    found: list[dict[str, Any]] = []
    file = step.readable / METRICS if step.readable is not None else None
    if file is None or not file.exists():
        return found
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def settings(steps: Sequence[StepView]) -> Table:
    """How each stage was set."""
    columns = headed(
        "model",
        "objective",
        "from|address",
        "dataset|address",
        "learning rate|sci",
        "schedule",
        "budget|address",
        "batch|count",
        "parameters",
        "adapters",
        "precision",
        "published as",
        "seed|count",
    )
    rows: list[tuple[Value, ...]] = []
    for step in steps:
        spec = step.spec
        assert isinstance(spec, TrainStep)
        rows.append(
            (
                step.address,
                spec.objective,
                ", ".join(step.parents.get("model", ())),
                ", ".join(step.parents.get("dataset", ())),
                spec.learning_rate,
                spec.schedule,
                _budget(step, spec),
                spec.batch,
                ", ".join(f"{name} {value}" for name, value in spec.parameters.items()),
                f"LoRA, rank {spec.lora.rank}" if spec.lora else "none",
                spec.precision,
                spec.publish_dtype,
                spec.seed,
            )
        )
    alike = [place for place in range(4, len(columns)) if len(rows) > 1 and len({row[place] for row in rows}) == 1]
    told = "; ".join(f"{columns[place].title} {show(rows[0][place], columns[place].form)}" for place in alike if rows[0][place])
    caption = f"The stages. The same for all: {told}." if told else "The stages."
    return Table("stages", caption, columns, rows, hidden=frozenset(columns[place].title for place in alike))


def _budget(step: StepView, spec: TrainStep) -> str:
    """The budget in words."""
    if matched := step.parents.get("matched"):
        return f"tokens of {matched[0]}"
    if spec.tokens is not None:
        return f"{spec.tokens:,.0f} tokens"
    if spec.updates is not None:
        return f"{spec.updates:,} updates"
    epochs = spec.epochs or 1
    return f"{epochs:g} epoch{'' if epochs == 1 else 's'}"


def counted(steps: Sequence[StepView]) -> Table:
    """What each stage read, learned and cost."""
    columns = headed(
        "model",
        "tokens|count",
        "loss tokens|count",
        "pairs|count",
        "updates|count",
        "learning-rate integral|sci",
        "FLOPs|flops",
        "training time|seconds",
        "tokens/s|count",
        "tokens cut|count",
        "weights unchanged, %|percent",
        "batch plan|key",
    )
    rows: list[tuple[Value, ...]] = []
    for step in steps:
        numbers = ledger(step)
        seconds = numbers.get("seconds") or (step.record.seconds if step.record else None)
        rows.append(
            (
                step.address,
                numbers.get("tokens"),
                numbers.get("loss_tokens"),
                numbers.get("pairs") or None,
                numbers.get("updates"),
                numbers.get("learning_rate_integral"),
                numbers.get("flops"),
                seconds,
                numbers.get("tokens", 0) / seconds if seconds else None,
                numbers.get("cut_tokens"),
                numbers.get("unchanged_share"),
                numbers.get("plan"),
            )
        )
    return Table("arms", COUNTED, columns, rows, hidden=frozenset({"batch plan"}))
