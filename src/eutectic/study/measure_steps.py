"""Evaluations, synergy, geometry, conversations and image prompts of a study, as steps."""

from __future__ import annotations

from pathlib import Path

from eutectic.errors import EutecticError
from eutectic.specs.steps import PLAIN, ConverseStep, EvaluateStep, GeometryStep, ImagePromptsStep, PromptStep, RescoreStep
from eutectic.study import choose, claim_steps
from eutectic.study.graph import Draft, Graph
from eutectic.study.nodes import Kept, Node, Step


def enter(draft: Draft) -> None:
    """Enter all measuring steps."""
    file, graph = draft.file, draft.graph
    for address in graph.plainest.values():
        graph.add(Step("geometry", address, GeometryStep(), {"merge": (graph.models[address],)}))
    for index in range(len(file.spec.evaluations)):
        _evaluation(draft, index)
    for name, conversation in file.spec.conversations.items():
        _conversation(draft, name)
        if conversation.judges:
            raise file.error(("conversations", name, "judges"), "judges are not available in this version", "Remove the key.")
    for name, prompts in file.spec.image_prompts.items():
        spec = ImagePromptsStep(concepts=prompts.concepts, styles=prompts.styles, seed=file.spec.seed)
        for address in choose.models(draft, ("image_prompts", name, "models"), prompts.models):
            graph.add(Step("image_prompts", f"{name}@{address}", spec, {"model": (graph.models[address],)}))


def _evaluation(draft: Draft, index: int) -> None:
    """Score every model of an entry, score close items again in float32, and compare merges with their parents and controls."""
    file, graph = draft.file, draft.graph
    entry, place = file.spec.evaluations[index], ("evaluations", index)
    for position, name in enumerate(entry.benchmarks):
        file.known((*place, "benchmarks", position), name, draft.benchmarks, "benchmark")
    benchmarks = tuple(draft.benchmarks[name] for name in entry.benchmarks)
    models = _with_company(graph, choose.models(draft, (*place, "models"), entry.models))
    prompts = _prompts(draft, index)
    spec = EvaluateStep(greedy=entry.greedy, prompts=prompts)
    first: dict[str, Step] = {}
    for address in models:
        twin = _twin(graph, address, first)
        parents: dict[str, tuple[Node, ...]] = {"model": (graph.models[address],), "benchmarks": benchmarks, **twin}
        first[address] = graph.add(Step("evaluate", address, spec, parents))
    families = _families(graph, models)
    again = RescoreStep(prompts=prompts)
    final = {address: _rescored(graph, address, again, first, benchmarks, families) for address in models}
    claim_steps.enter(draft, index, final)


def _prompts(draft: Draft, index: int) -> tuple[PromptStep, ...]:
    """The prompts of an entry, in its order."""
    file = draft.file
    names, known = file.spec.evaluations[index].prompts, {"plain": PLAIN, **file.spec.prompts}
    for position, name in enumerate(names):
        file.known(("evaluations", index, "prompts", position), name, known, "prompt")
    return tuple(PromptStep.named(name, known[name]) for name in names)


def _with_company(graph: Graph, chosen: list[str]) -> list[str]:
    """The chosen models and whatever they are compared with: a merge's parents and controls, a stage's token-matched control arm.

    Models come before merges.
    """
    wanted = dict.fromkeys(chosen)
    for address in chosen:
        if address in graph.controls:
            parents = {graph_address for graph_address, node in graph.models.items() if node in tuple(_step(graph, address).all_parents())}
            wanted.update(dict.fromkeys([*parents, *(control for _, control in graph.controls[address])]))
        if address in graph.matched:
            wanted[graph.matched[address]] = None
    unique = {graph.models[address].key: address for address in reversed(list(graph.models)) if address in wanted}
    return [address for address in graph.models if unique.get(graph.models[address].key) == address]


def _step(graph: Graph, address: str) -> Step:
    node = graph.models[address]
    assert isinstance(node, Step)
    return node


def _twin(graph: Graph, address: str, first: dict[str, Step]) -> dict[str, tuple[Node, ...]]:
    """For a model that is the plainest control of a merge: the evaluation and the geometry of the merge it may turn out to equal."""
    key = graph.models[address].key
    controlled = (merge for control, merge in graph.plainest.items() if control in graph.models and graph.models[control].key == key)
    of = next((merge for merge in controlled if merge in first), None)
    if of is None:
        return {}
    geometry = Step("geometry", of, GeometryStep(), {"merge": (graph.models[of],)})
    return {"twin": (first[of],), "geometry": (graph.add(geometry),)}


def _families(graph: Graph, models: list[str]) -> list[set[str]]:
    """Which models are compared with each other, by key: a merge with its parents and controls, a trained model with its start.

    A stage's family also holds its token-matched control arm, that of a kept epoch the model that training started from.
    """
    families = []
    for address in models:
        node = graph.models[address]
        maker = node.step if isinstance(node, Kept) else node
        if isinstance(maker, Step) and maker.kind in ("merge", "winner", "train"):
            roles = ("model",) if maker.kind == "train" else ("models", "base")
            parents = {parent.key for role in roles for parent in maker.parents.get(role, ())}
            controls = [control for _, control in graph.controls.get(address, ())]
            controls += [graph.matched[address]] if address in graph.matched else []
            families.append({node.key, *parents, *(graph.models[control].key for control in controls)})
    return families


def _rescored(
    graph: Graph, address: str, spec: RescoreStep, first: dict[str, Step], benchmarks: tuple[Step, ...], families: list[set[str]]
) -> Step:
    """The final scores of a model, with items scored in float32 that are close in any model it is compared with."""
    own = graph.models[address].key
    company = set().union(*(family for family in families if own in family)) - {own}
    others = tuple(dict.fromkeys(step for other, step in first.items() if graph.models[other].key in company))
    parents: dict[str, tuple[Node, ...]] = {
        "model": (graph.models[address],),
        "benchmarks": benchmarks,
        "own": (first[address],),
        "others": others,
    }
    return graph.add(Step("rescore", address, spec, parents))


def _conversation(draft: Draft, name: str) -> None:
    """One transcript a model; the text of the script bears identity, not its file name."""
    from eutectic.converse import script

    file, graph = draft.file, draft.graph
    conversation, place = file.spec.conversations[name], ("conversations", name)
    beside = file.folder / conversation.script
    try:
        text = script.load(beside if beside.is_file() else Path(conversation.script))
    except EutecticError as error:
        raise file.locate(error, (*place, "script")) if error.file is None else error from error
    spec = ConverseStep(script=text, samples=conversation.samples, seed=file.spec.seed)
    for address in choose.models(draft, (*place, "models"), conversation.models):
        graph.add(Step("converse", f"{name}@{address}", spec, {"model": (graph.models[address],)}))
