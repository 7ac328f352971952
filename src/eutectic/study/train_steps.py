"""The training chains of a study, as steps: a shared prefix is one step because it has one key."""

from __future__ import annotations

import math

from eutectic.errors import EutecticError
from eutectic.specs.steps import ReferenceStep, TrainStep
from eutectic.specs.study import ChainSpec, StageSpec
from eutectic.study import addresses
from eutectic.study.graph import Draft
from eutectic.study.nodes import Kept, Node, Source, Step, unmade
from eutectic.study.work import WORK
from eutectic.yaml_file import Place


def enter(draft: Draft) -> None:
    """Enter every model x every chain x every seed."""
    file = draft.file
    for index, chain in enumerate(file.spec.chains):
        place: Place = ("chains", index)
        starts, empty = addresses.select(chain.models, (name for name in file.spec.models if name in draft.graph.models))
        if empty:
            where = (*place, "models", chain.models.index(empty[0]))
            raise file.error(where, f"{empty[0]!r} matches no model", "Name a model of this study that has a `path`.")
        for start in starts:
            _chains(draft, chain, place, start)


def _chains(draft: Draft, chain: ChainSpec, place: Place, start: str) -> None:
    """All chains and seeds from one start model."""
    seeds = chain.seeds or (draft.file.spec.seed,)
    for seed in seeds:
        for position, text in enumerate(chain.stages):
            stages = text.split("-")
            for stage in stages:
                draft.file.known((*place, "stages", position), stage, draft.file.spec.stages, "stage")
            _chain(draft, (*place, "stages", position), start, stages, seed, len(seeds) > 1, chain.token_matched)


def _chain(draft: Draft, place: Place, start: str, stages: list[str], seed: int, several: bool, matched: bool) -> None:
    """One chain with one seed, with the control arms of its stages; `several` says whether addresses must name the seed."""
    models, node = draft.graph.models, draft.graph.models[start]
    for done, name in enumerate(stages, 1):
        address = addresses.chain(start, stages[:done], seed if several else None)
        before, node = node, _stage(draft, name, node, address, seed)
        if models.setdefault(address, node).key != node.key:
            raise draft.file.error(
                place, f"two chains give {address} different seeds", "Write the seeds into one entry: addresses then name them."
            )
        _keep(draft, start, stages[:done], seed if several else None, node)
        if matched and done > 1:
            control = addresses.control(address, "tokens")
            models[control] = _control(draft, name, stages[done - 2], before, node, control, seed)
            draft.graph.matched[address] = control


def _keep(draft: Draft, start: str, stages: list[str], seed: int | None, node: Step) -> None:
    """Addresses of the epochs that a stage keeps; the last one is the stage's own result."""
    stage, place = draft.file.spec.stages[stages[-1]], ("stages", stages[-1], "keep")
    if stage.keep != "epochs":
        return
    if stage.tokens is not None or stage.updates is not None:
        raise draft.file.error(
            place,
            "how many epochs a budget of tokens or updates comes to is not known yet",
            "Give the budget in `epochs`, or keep the last.",
        )
    last = math.ceil(stage.epochs or 1)
    for epoch in range(1, last + 1):
        address = addresses.chain(start, stages, seed, epoch)
        draft.graph.models.setdefault(address, node if epoch == last else Kept(node, epoch, address))
    draft.graph.aliases[address] = node.address


def _stage(draft: Draft, name: str, model: Node, address: str, seed: int) -> Step:
    """One stage on top of a model."""
    return _step(draft, name, draft.file.spec.stages[name], model, address, seed, {})


def _control(draft: Draft, name: str, previous: str, model: Node, matched: Node, address: str, seed: int) -> Step:
    """As many tokens as the stage `name` reads, of the stage before it: its objective and data under the added stage's other settings.

    From the same start, so that what differs from the added stage is what was learned, not how much was read. The number of tokens
    stands in the added stage's ledger, and so that stage is a parent.
    """
    stage, before = draft.file.spec.stages[name], draft.file.spec.stages[previous]
    taken = {"objective": before.objective, "dataset": before.dataset, "parameters": before.parameters}
    spec = stage.model_copy(update={**taken, "epochs": None, "tokens": None, "updates": None, "keep": "last"})
    return _step(draft, previous, spec, model, address, seed, {"matched": (matched,)})


def _step(draft: Draft, name: str, stage: StageSpec, model: Node, address: str, seed: int, matched: dict[str, tuple[Node, ...]]) -> Step:
    """The step of a stage, with the reference it needs; what the workshop's `check` finds is told at the line of stage `name`."""
    from eutectic.train import objectives

    file, graph, place = draft.file, draft.graph, ("stages", name)
    file.known((*place, "dataset"), stage.dataset, draft.datasets, "dataset")
    dataset = draft.datasets[stage.dataset]
    parents: dict[str, tuple[Node, ...]] = {"model": (model,), "dataset": (dataset,), **matched}
    spec = TrainStep(**stage.model_dump(exclude={"dataset", "probe"}), probe_every=stage.probe.every if stage.probe else None, seed=seed)
    try:
        WORK["train"].check(spec, {"dataset": (unmade(dataset),), "model": (unmade(_start(model)),)})
    except EutecticError as error:
        raise file.locate(error, place) from error
    if objectives.find(spec.objective).reference:
        parents["reference"] = (_reference(draft, stage, spec, parents),)
    if stage.probe is not None:
        for index, corpus in enumerate(stage.probe.corpora):
            file.known((*place, "probe", "corpora", index), corpus, draft.corpora, "corpus")
        parents["probes"] = tuple(draft.corpora[corpus] for corpus in stage.probe.corpora)
    return graph.add(Step("train", address, spec, parents))


def _reference(draft: Draft, stage: StageSpec, spec: TrainStep, parents: dict[str, tuple[Node, ...]]) -> Step:
    """The log-probabilities of the stage's start, which every stage with the same start, data and plan shares."""
    plan = {name: getattr(spec, name) for name in ReferenceStep.model_fields}
    # Masters or none, the first update computes with the same bf16 weights.
    plan["precision"] = "float32" if spec.precision == "float32" else "mixed"
    return draft.graph.add(Step("reference", f"{stage.dataset}@{parents['model'][0].address}", ReferenceStep(**plan), dict(parents)))


def _start(model: Node) -> Source | Step:
    """The model a chain starts from."""
    while isinstance(model, Step) and model.kind == "train":
        (model,) = model.parents["model"]
    assert not isinstance(model, Kept), "chains start from the study's models"
    return model
