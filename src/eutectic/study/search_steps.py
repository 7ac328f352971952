"""The searches of a study and their winners, as steps. A winner is a model like any merge.

A search may start from merges, not from winners.
"""

from __future__ import annotations

from eutectic.errors import EutecticError
from eutectic.specs.steps import SearchStep, WinnerStep
from eutectic.specs.study import SearchSpec
from eutectic.study import choose
from eutectic.study.graph import Draft
from eutectic.study.nodes import Node, Step


def enter(draft: Draft) -> None:
    """Enter every search and the merge it finds. All parents a winner may have are what it is compared with."""
    file, graph = draft.file, draft.graph
    known = list(graph.models)
    for name, spec in file.spec.search.items():
        if name in known or name in file.spec.merges:
            raise file.error(("search", name), f"{name!r} is a model or merge already", "Give the search a name of its own.")
        parents = _parents(draft, name, spec, known)
        search = _search(draft, name, spec, parents)
        winner = WinnerStep(method=spec.method, parameters=spec.parameters, seed=search.seed)
        made = graph.add(Step("search", name, search, {**parents, "benchmark": (draft.benchmarks[spec.benchmark],)}))
        graph.models[name] = graph.add(Step("winner", name, winner, {**parents, "search": (made,)}))
        graph.controls[name] = []


def _parents(draft: Draft, name: str, spec: SearchSpec, known: list[str]) -> dict[str, tuple[Node, ...]]:
    """Base and models of a search."""
    graph = draft.graph
    base = choose.model(draft, ("search", name, "base"), spec.base) if spec.base is not None else None
    others = [address for address in known if base is None or graph.models[address].key != base.key]
    role = "each" if spec.each else "models"
    if spec.each and base is None:
        raise draft.file.error(("search", name), "`each` merges a model with a base, and no `base` is given", "Add `base: MODEL`.")
    chosen = choose.models(draft, ("search", name, role), spec.each or spec.models, others)
    models = tuple({graph.models[address].key: graph.models[address] for address in chosen}.values())
    return {"models": models, **({"base": (base,)} if base is not None else {})}


def _search(draft: Draft, name: str, spec: SearchSpec, parents: dict[str, tuple[Node, ...]]) -> SearchStep:
    """The resolved search, its space checked."""
    from eutectic.search.space import Space

    file = draft.file
    file.known(("search", name, "benchmark"), spec.benchmark, draft.benchmarks, "benchmark")
    if file.spec.benchmarks[spec.benchmark].dev == 0:
        raise file.error(("search", name, "benchmark"), f"{spec.benchmark!r} has no dev items", "Give the benchmark `dev: 0.3`.")
    fields = spec.model_dump(include={"method", "parameters", "space", "budget", "items"})
    step = SearchStep(**fields, one_of=bool(spec.each), seed=file.spec.seed)
    try:
        Space(step, len(parents["models"]), has_base="base" in parents)
    except EutecticError as error:
        raise file.locate(error, ("search", name)) from error
    return step
