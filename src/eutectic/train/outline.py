"""What a stage will read, learn and cost, counted from its batch plan before anything is trained.

`eutectic plan` shows these numbers and the ledger of a trained stage holds them under the same names: one count, made once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eutectic.artifacts import TRAIN
from eutectic.errors import InputError
from eutectic.models import loading
from eutectic.specs.steps import TrainStep
from eutectic.train import flops, objectives
from eutectic.train.examples import Examples, read
from eutectic.train.flops import Shape
from eutectic.train.objectives import Objective
from eutectic.train.plan import Plan, compile_plan, loss_tokens
from eutectic.train.schedule import integral


def outline(spec: TrainStep, start: Path, dataset: Path) -> dict[str, Any]:
    """The counts of a stage that would train `start` on `dataset`; no weight is read.

    Raises `InputError` where training would: rows that do not fit the tokenizer or lose too many tokens, an empty dataset.
    """
    objective = objectives.find(spec.objective)
    prompts = objective.learns_prompt(objective.settings(spec.parameters))
    examples = read(dataset / TRAIN, objective.rows, loading.tokenizer(start), spec, prompts=prompts)
    if not examples.sequences:
        raise InputError("the dataset holds nothing to learn from", file=dataset / TRAIN, remedy="Look at the corpus it was made from.")
    plan = compile_plan(examples.sequences, spec, pairs=objective.pairs)
    return counts(examples, plan, objective, spec, flops.shape(start))


def counts(examples: Examples, plan: Plan, objective: Objective, spec: TrainStep, model: Shape) -> dict[str, Any]:
    """Ledger entries that the plan decides. `flops` holds the reference pass of an objective that has one."""
    read_in_all = [examples.sequences[i] for update in plan.updates for i in update]
    volume = flops.volume(read_in_all)
    work = flops.training(model, volume, lora=spec.lora, logits_twice=objective.pairs)
    if objective.reference:
        work += flops.forward(model, flops.volume(examples.sequences[i] for i in plan.used()))
    return {
        "tokens": volume.tokens,
        "loss_tokens": sum(loss_tokens(item, pairs=objective.pairs) for item in read_in_all),
        "pairs": len(read_in_all) if objective.pairs else 0,
        "updates": len(plan.updates),
        "examples": len(read_in_all),
        "rows": examples.rows,
        "cut_rows": examples.cut_rows,
        "cut_tokens": examples.cut_tokens,
        "learning_rate_integral": integral(len(plan.updates), spec),
        "flops": work,
        "plan": plan.digest,
    }
