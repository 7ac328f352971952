"""Which benchmarks guard a training step: those its model, or whatever is made of it, is measured on.

They are no parents: a benchmark that is edited makes no training new. They only have to exist before the step begins, so that a role
which the training data breaks is an error before the first update.
"""

from __future__ import annotations

from collections.abc import Iterable

from eutectic.data import roles
from eutectic.store import Store
from eutectic.study import status
from eutectic.study.graph import Graph
from eutectic.study.nodes import Step


def find(graph: Graph) -> dict[str, tuple[Step, ...]]:
    """The guards of every training step, by its key."""
    found: dict[str, dict[str, Step]] = {}
    for step in graph.steps:
        if step.kind == "evaluate":
            benchmarks = {node.key: node for node in step.parents["benchmarks"] if isinstance(node, Step)}
            for made in _before(step, {}).values():
                if made.kind == "train":
                    found.setdefault(made.key, {}).update(benchmarks)
    return {key: tuple(guards.values()) for key, guards in found.items()}


def _before(step: Step, seen: dict[str, Step]) -> dict[str, Step]:
    """Every step that a step stands on, by key."""
    for need in step.needs():
        if need.key not in seen:
            seen[need.key] = need
            _before(need, seen)
    return seen


class Guard:
    """Compares each dataset with each benchmark that guards a training on it, once, as soon as both are made."""

    def __init__(self, graph: Graph, store: Store, steps: Iterable[Step]) -> None:
        """`steps` are those to watch; only training steps among them are guarded."""
        self.graph, self.store = graph, store
        pairs = [(node, guard) for step in steps for node in step.parents.get("dataset", ()) for guard in graph.guards.get(step.key, ())]
        self._waiting = {(dataset.key, guard.key): (dataset, guard) for dataset, guard in pairs}

    def check(self) -> None:
        """Raise `InputError` for the first role that training data breaks."""
        for keys, pair in list(self._waiting.items()):
            if all(isinstance(node, Step) and self.store.find(node.artifact, node.key) is not None for node in pair):
                dataset, benchmark = (status.artifact(node, self.store) for node in pair)
                roles.check(dataset, benchmark)
                del self._waiting[keys]
