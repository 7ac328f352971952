"""The merges of a study and their controls, as steps; merges may name other merges, circles are refused."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from eutectic.errors import EutecticError
from eutectic.specs.steps import MergeStep
from eutectic.specs.study import MergeSpec
from eutectic.study import addresses, choose
from eutectic.study.file import StudyFile
from eutectic.study.graph import Draft
from eutectic.study.nodes import Node, Step
from eutectic.yaml_file import Place


def enter(draft: Draft) -> None:
    """Enter all merges, each after the merges it is made of."""
    controls: list[Step] = []
    for name in _order(draft.file):
        spec = draft.file.spec.merges[name]
        base = choose.model(draft, ("merges", name, "base"), spec.base) if spec.base is not None else None
        for called, target, models in _selected(draft, name, spec, base):
            parents: dict[str, tuple[Node, ...]] = {"models": models, **({"base": (base,)} if base is not None else {})}
            for swept in _sweep(spec):
                controls += _merge(draft, name, addresses.merge(called, target, swept), parents, swept)
    for control in controls:
        draft.graph.models[control.address] = draft.graph.add(control)


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
    return pattern == merge or pattern.startswith((f"{merge}:", f"{merge},", f"{merge}#"))


def _selected(draft: Draft, name: str, spec: MergeSpec, base: Node | None) -> Iterator[tuple[str, str | None, tuple[Node, ...]]]:
    """The models of each single merge: one at a time for `each` (with the address it is of), all at once for `models` (with the seed
    behind the name, where there is one merge a seed).
    """
    graph, place = draft.graph, ("merges", name)
    # A pattern never pairs a model with itself.
    others = [address for address, node in graph.models.items() if base is None or node.key != base.key]
    if spec.models:
        for seed in _seeds(draft, spec.models):
            named = [f"{pattern}{seed}" if f"{pattern}{seed}" in graph.models else pattern for pattern in spec.models]
            listed = tuple(node for i, each in enumerate(named) for node in _listed(draft, (*place, "models", i), each, others))
            yield f"{name}{seed}", None, listed
        return
    if base is None:
        raise draft.file.error(place, "`each` merges a model with a base, and no `base` is given", "Add `base: MODEL`, the model at t = 0.")
    for address in choose.models(draft, (*place, "each"), spec.each, others):
        yield name, address, (graph.models[address],)


def _seeds(draft: Draft, models: tuple[str, ...]) -> list[str]:
    """`#SEED` of every training seed that all models named without one have in common, so that a merge pairs them; else one empty text."""
    trained = [address for address in draft.graph.models if "+" not in address]
    seeds = [found for name in models if (found := [address.removeprefix(name) for address in trained if address.startswith(f"{name}#")])]
    return [seed for seed in (seeds[0] if seeds else ()) if all(seed in others for others in seeds)] or [""]


def _listed(draft: Draft, place: Place, pattern: str, others: list[str]) -> list[Node]:
    """The models of one entry of `models`, which keeps its place in the list: an address, or all that a pattern matches."""
    if "*" not in pattern:
        return [choose.model(draft, place, pattern)]
    found, _ = addresses.select([pattern], others, draft.graph.controls)
    if not found:
        raise choose.unknown(draft, place, pattern, f"the pattern {pattern!r} matches no model")
    return [draft.graph.models[address] for address in found]


def _sweep(spec: MergeSpec) -> Iterator[dict[str, float]]:
    """Every combination of swept values; one empty combination without a sweep."""
    names = sorted(spec.sweep)
    for values in itertools.product(*(spec.sweep[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def _merge(draft: Draft, name: str, address: str, parents: dict[str, tuple[Node, ...]], swept: dict[str, float]) -> list[Step]:
    """Enter one merge and return its controls, which are entered last: one that equals a merge of the study bears that merge's name."""
    from eutectic.merge import canonical
    from eutectic.merge.check import check

    spec, graph, n_models, has_base = draft.file.spec.merges[name], draft.graph, len(parents["models"]), "base" in parents
    asked = MergeStep(method=spec.method, parameters={**spec.parameters, **swept}, seed=draft.file.spec.seed)
    try:
        check(asked, n_models, has_base)
        step = canonical.canonical(asked, n_models=n_models, has_base=has_base)
        controls = canonical.controls(step, n_models=n_models, has_base=has_base)
    except EutecticError as error:
        raise draft.file.locate(error, ("merges", name)) from error
    written = spec.keep or any(addresses.matches(pattern, address, {address}) for pattern in _talked(draft.file))
    graph.models[address] = graph.add(Step("merge", address, step, parents, written=written))
    if controls:  # the first is the one that geometry measures the distance to
        graph.plainest[addresses.control(address, controls[0][0])] = address
    controls = [(n, s) for n, s in controls if spec.controls is None or n in spec.controls]
    graph.controls[address] = [(n, addresses.control(address, n)) for n, _ in controls]
    return [Step("merge", addresses.control(address, n), s, parents, written=False) for n, s in controls]


def _talked(file: StudyFile) -> list[str]:
    """Patterns of models that are talked to: a merge among them is written, for a conversation reads a folder."""
    conversations, images = file.spec.conversations.values(), file.spec.image_prompts.values()
    return [pattern for models in (*(c.models for c in conversations), *(i.models for i in images)) for pattern in models]


def uses_ensemble(file: StudyFile, address: str) -> bool:
    """Whether the merge behind an address is compared with the probability ensemble of its parents."""
    name = re.split("[:,#]", address, maxsplit=1)[0]
    controls = file.spec.merges[name].controls if name in file.spec.merges else None  # the winner of a search has all
    return controls is None or "ensemble" in controls
