"""Every benchmark against every dataset that a model measured on it was trained on, as steps.

They are parents of nothing, so a benchmark that is edited makes no training new. They guard: a training waits for those of its own
dataset and an evaluation for all of its own, so that a broken role is an error before the first update.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from eutectic.specs.steps import ContaminationStep
from eutectic.study.graph import Draft, Graph
from eutectic.study.nodes import Node, Step


def enter(draft: Draft) -> None:
    """Enter the steps before the first training, and what they guard."""
    graph = draft.graph
    found: dict[str, Step] = {}
    guards: dict[str, dict[str, Step]] = {}
    for step in graph.steps:
        if step.kind == "evaluate":
            for training in _trainings(step, set()):
                for benchmark, dataset in product(step.parents["benchmarks"], training.parents["dataset"]):
                    made = _compared(benchmark, dataset)
                    made = found.setdefault(made.key, made)
                    for guarded in (step, training):
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


def _compared(benchmark: Node, dataset: Node) -> Step:
    address = f"{benchmark.address}@{dataset.address}"
    return Step("contamination", address, ContaminationStep(), {"benchmark": (benchmark,), "dataset": (dataset,)})


def _insert(graph: Graph, steps: list[Step]) -> None:
    """Put steps behind the benchmarks and datasets they compare, which all stand before the first training."""
    behind = 1 + max((index for index, step in enumerate(graph.steps) if step.kind in ("benchmark", "dataset")), default=-1)
    graph.steps[behind:behind] = steps
    graph.by_key |= {step.key: step for step in steps}
