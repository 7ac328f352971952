"""What models may have met of the benchmarks they are measured on, as steps: in their training rows, and by what they show themselves.

Every benchmark is compared with every dataset that a model measured on it was trained on. These steps are parents of nothing, so a
benchmark that is edited makes no training new. They guard: a training waits for those of its own dataset and an evaluation for all of its
own, so that a broken role is an error before the first update.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from eutectic.specs.steps import CanaryStep, ContaminationStep
from eutectic.study.graph import Draft, Graph
from eutectic.study.nodes import Node, Source, Step


def enter(draft: Draft) -> None:
    """Enter comparisons before the first training, with what they guard, and a canary for every model that was trained somewhere."""
    graph = draft.graph
    found: dict[str, Step] = {}
    guards: dict[str, dict[str, Step]] = {}
    for evaluation in [step for step in graph.steps if step.kind == "evaluate"]:
        _canary(draft, evaluation)
        for training in _trainings(evaluation, set()):
            for benchmark, dataset in product(evaluation.parents["benchmarks"], training.parents["dataset"]):
                made = _compared(benchmark, dataset)
                made = found.setdefault(made.key, made)
                for guarded in (evaluation, training):
                    guards.setdefault(guarded.key, {})[made.key] = made
    _insert(graph, list(found.values()))
    graph.guards = {key: tuple(steps.values()) for key, steps in guards.items()}


def _trainings(step: Step, seen: set[str]) -> Iterator[Step]:
    """The training steps that a step stands on, each once."""
    for need in step.needs():
        if need.key not in seen:
            seen.add(need.key)
            yield from _trainings(need, seen)
            if need.kind == "train":
                yield need


def _canary(draft: Draft, evaluation: Step) -> None:
    """Merges, and epochs before a training's last, have read nothing that another model of the study has not."""
    (model,) = evaluation.parents["model"]
    if isinstance(model, Source) or (isinstance(model, Step) and model.kind in ("adopt", "train")):
        parents = {role: evaluation.parents[role] for role in ("model", "benchmarks")}
        draft.graph.add(Step("canary", model.address, CanaryStep(seed=draft.file.spec.seed), parents))


def _compared(benchmark: Node, dataset: Node) -> Step:
    address = f"{benchmark.address}@{dataset.address}"
    return Step("contamination", address, ContaminationStep(), {"benchmark": (benchmark,), "dataset": (dataset,)})


def _insert(graph: Graph, steps: list[Step]) -> None:
    """Put steps behind the benchmarks and datasets they compare, which all stand before the first training."""
    behind = 1 + max((index for index, step in enumerate(graph.steps) if step.kind in ("benchmark", "dataset")), default=-1)
    graph.steps[behind:behind] = steps
    graph.by_key |= {step.key: step for step in steps}
