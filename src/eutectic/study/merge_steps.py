"""The merges of a study and their controls, as steps; merges may name other merges, circles are refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from eutectic.errors import EutecticError
from eutectic.specs.steps import MergeStep
from eutectic.specs.study import MergeSpec
from eutectic.study import addresses
from eutectic.study.file import StudyFile
from eutectic.study.graph import Graph
from eutectic.study.nodes import Node, Step
from eutectic.yaml_file import Place


def build(file: StudyFile, graph: Graph) -> None:
    """Enter all merges, each after the merges it is made of."""
    for name in _order(file):
        spec, place = file.spec.merges[name], ("merges", name)
        base = _named(file, graph, (*place, "base"), spec.base) if spec.base is not None else None
        for target, models in _selected(file, graph, name, spec, base):
            for swept in _sweep(spec):
                _merge(file, graph, name, spec, base, target, models, swept)


def _order(file: StudyFile) -> list[str]:
    """Names of merges, parents first. An edge is a merge's name written in another's `models` or `each`."""
    merges = file.spec.merges
    edges = {name: [m for m in merges if any(_names(m, p) for p in (*s.models, *s.each, s.base or ""))] for name, s in merges.items()}
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            raise file.error(
                ("merges", name), f"the merges go in a circle: {circle}", "A merge cannot be made of itself; remove one of them."
            )
        if name not in order:
            for parent in edges[name]:
                visit(parent, (*above, name))
            order.append(name)

    for name in merges:
        visit(name, ())
    return order


def _names(merge: str, pattern: str) -> bool:
    """Whether a pattern speaks of a merge by its name."""
    return pattern == merge or pattern.startswith((f"{merge}:", f"{merge},"))


def _named(file: StudyFile, graph: Graph, place: Place, address: str) -> Node:
    file.known(place, address, graph.models, "model")
    return graph.models[address]


def _selected(
    file: StudyFile, graph: Graph, name: str, spec: MergeSpec, base: Node | None
) -> Iterator[tuple[str | None, tuple[Node, ...]]]:
    """The models of each single merge: one at a time for `each` (with the address it is of), all at once for `models`."""
    place = ("merges", name)
    if spec.models:
        yield None, tuple(_named(file, graph, (*place, "models", i), address) for i, address in enumerate(spec.models))
        return
    if base is None:
        raise file.error(place, "`each` merges a model with a base, and no `base` is given", "Add `base: MODEL`, the model at t = 0.")
    candidates = {a: n for a, n in graph.models.items() if n.key != base.key}  # a pattern never pairs a model with itself
    chosen, empty = addresses.select(spec.each, candidates)
    for pattern in empty:
        where = (*place, "each", spec.each.index(pattern))
        raise file.error(where, f"the pattern {pattern!r} matches no model", f"Models are: {', '.join(list(candidates)[:12]) or 'none'}.")
    for address in chosen:
        yield address, (candidates[address],)


def _sweep(spec: MergeSpec) -> Iterator[dict[str, float]]:
    """Every combination of swept values; one empty combination without a sweep."""
    names = sorted(spec.sweep)
    for values in itertools.product(*(spec.sweep[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def _merge(
    file: StudyFile,
    graph: Graph,
    name: str,
    spec: MergeSpec,
    base: Node | None,
    target: str | None,
    models: tuple[Node, ...],
    swept: dict[str, float],
) -> None:
    """One merge, its geometry and its controls."""
    from eutectic.merge import methods

    place = ("merges", name)
    parents: dict[str, tuple[Node, ...]] = {"models": models, **({"base": (base,)} if base is not None else {})}
    asked = MergeStep(method=spec.method, parameters={**spec.parameters, **swept}, seed=file.spec.seed)
    try:
        methods.check(asked, n_models=len(models), has_base=base is not None)
        step = methods.canonical(asked, n_models=len(models), has_base=base is not None)
        controls = methods.controls(step, n_models=len(models), has_base=base is not None)
    except EutecticError as error:
        raise file.locate(error, place) from error
    address = addresses.merge(name, target, swept)
    graph.models[address] = graph.add(Step("merge", address, step, parents, written=spec.keep))
    wanted = [(n, s) for n, s in controls if spec.controls is None or n in spec.controls]
    graph.controls[address] = [(n, addresses.control(address, n)) for n, _ in wanted]
    for control, control_spec in wanted:
        where = addresses.control(address, control)
        graph.models[where] = graph.add(Step("merge", where, control_spec, parents, written=False))


def uses_ensemble(file: StudyFile, address: str) -> bool:
    """Whether the merge behind an address is compared with the probability ensemble of its parents."""
    name = address.partition(":")[0].partition(",")[0]
    controls = file.spec.merges[name].controls
    return controls is None or "ensemble" in controls
