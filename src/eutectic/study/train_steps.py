"""The training chains of a study, as steps: a shared prefix is one step because it has one key."""

from __future__ import annotations

from eutectic.artifacts import Artifact
from eutectic.errors import EutecticError
from eutectic.specs.steps import TrainStep
from eutectic.specs.study import ChainSpec
from eutectic.study import addresses
from eutectic.study.graph import Draft
from eutectic.study.nodes import Node, Step
from eutectic.study.work import WORK
from eutectic.yaml_file import Place


def enter(draft: Draft) -> None:
    """Enter every model x every chain x every seed."""
    file, graph = draft.file, draft.graph
    for index, chain in enumerate(file.spec.chains):
        place: Place = ("chains", index)
        starts = [name for name in graph.models if any(addresses.matches(p, name) for p in chain.models)]
        for position, pattern in enumerate(chain.models):
            if not any(addresses.matches(pattern, name) for name in starts):
                raise file.error(
                    (*place, "models", position), f"{pattern!r} matches no model", "Name a model of this study that has a `path`."
                )
        for start in starts:
            _chains(draft, chain, place, start)


def _chains(draft: Draft, chain: ChainSpec, place: Place, start: str) -> None:
    """All chains and seeds from one start model."""
    file, graph = draft.file, draft.graph
    seeds = chain.seeds or (file.spec.seed,)
    for seed in seeds:
        for position, text in enumerate(chain.stages):
            node, done = graph.models[start], list[str]()
            for stage in text.split("-"):
                file.known((*place, "stages", position), stage, file.spec.stages, "stage")
                done.append(stage)
                address = addresses.chain(start, done, seed if len(seeds) > 1 else None)
                node = graph.models.setdefault(address, _stage(draft, stage, node, address, seed))


def _stage(draft: Draft, name: str, model: Node, address: str, seed: int) -> Step:
    """One stage on top of a model."""
    file, graph = draft.file, draft.graph
    stage, place = file.spec.stages[name], ("stages", name)
    file.known((*place, "dataset"), stage.dataset, draft.datasets, "dataset")
    parents: dict[str, tuple[Node, ...]] = {"model": (model,), "dataset": (draft.datasets[stage.dataset],)}
    if stage.probe is not None:
        for index, corpus in enumerate(stage.probe.corpora):
            file.known((*place, "probe", "corpora", index), corpus, draft.corpora, "corpus")
        parents["probes"] = tuple(draft.corpora[corpus] for corpus in stage.probe.corpora)
    common = stage.model_dump(exclude={"dataset", "probe"})
    spec = TrainStep(**common, probe_every=stage.probe.every if stage.probe else None, seed=seed)
    step = Step("train", address, spec, parents)
    try:
        WORK["train"].check(spec, {"dataset": (_unmade(draft.datasets[stage.dataset]),)})
    except EutecticError as error:
        raise file.locate(error, place) from error
    return graph.add(step)


def _unmade(node: Node) -> Artifact:
    """A parent as a `check` door sees it before anything is made: what it is asked to be."""
    return Artifact(node.kind, node.address, node.key, None, node.spec if isinstance(node, Step) else None)
