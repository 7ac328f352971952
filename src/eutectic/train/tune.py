"""The front door of training: one stage on top of a checkpoint, published as a plain model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eutectic import artifacts
from eutectic.artifacts import Parents
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.models import chat_template
from eutectic.specs.steps import DatasetStep, TrainStep
from eutectic.train import objectives, stage, trackers


def check(spec: TrainStep, parents: Parents) -> None:
    """What can be known before any work: objective, its settings, kind of dataset. Raises `InputError`."""
    objective = objectives.find(spec.objective)
    objective.settings(spec.parameters)
    dataset = artifacts.optional(parents, "dataset")
    kind = dataset.spec.kind if dataset is not None and isinstance(dataset.spec, DatasetStep) else objective.rows
    if kind in {"text", "instruction", "preference"} and kind != objective.rows:
        raise InputError(f"the objective {objective.name} reads a dataset of kind {objective.rows}, not {kind}", place="dataset")
    model = artifacts.optional(parents, "model")
    if objective.rows != "text" and model is not None and model.folder is not None and not chat_template.present(model.folder):
        raise InputError(
            f"{model.address} has no chat template, and the objective {objective.name} reads conversations",
            remedy="Give the model that of another model of the study: `chat_template: NAME`.",
        )


def build(spec: TrainStep, parents: Parents, out: Path, context: Context, *, save_seconds: float = stage.SAVE_SECONDS) -> dict[str, Any]:
    """Train one stage and write model, metrics.jsonl and ledger.json into `out`; goes on from a save there. Returns the ledger.

    Several devices train together, one process each.
    """
    check(spec, parents)
    trackers.check(context.track)
    if len(context.devices) == 1:
        return stage.train(spec, parents, out, context, save_seconds)
    from eutectic.train import parallel

    return parallel.train(spec, parents, out, context, save_seconds)
