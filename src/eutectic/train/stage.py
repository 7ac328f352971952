"""One stage, start to end, as each of the processes that train it together does it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic import artifacts
from eutectic.artifacts import DEV, EPOCHS, HELD_OUT, LEDGER, METRICS, TRAIN, Parents
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.fingerprint import stream_seed
from eutectic.models import adapters, device, fused, loading, logprobs, sharded
from eutectic.models.packing import Sequence, sequence
from eutectic.specs.steps import TrainStep
from eutectic.train import divergence, flops, held_out, ledger, loop, objectives, outline, plan, probes, reference
from eutectic.train.examples import Examples, read
from eutectic.train.objectives import Objective
from eutectic.train.optimizer import Optimizer
from eutectic.train.saves import Saves
from eutectic.train.team import Team

SAVE_SECONDS = 90.0
PLAN = "plan.jsonl"


def train(spec: TrainStep, parents: Parents, out: Path, context: Context, save_seconds: float, team: Team = Team()) -> dict[str, Any]:  # noqa: B008
    """See `tune.build`; `team` says which of several processes this one is. The ledger is whole on every process."""
    where = device.prepare(context)
    objective = objectives.find(spec.objective)
    start, dataset = artifacts.one(parents, "model").path, artifacts.one(parents, "dataset").path
    tokenizer = loading.tokenizer(start)
    examples, unseen = _examples(dataset, objective, tokenizer, spec)
    compiled = plan.compile_plan(examples.sequences, plan.budgeted(spec, parents), pairs=objective.pairs)
    saves = Saves(out, compiled.digest, team)
    model = load(start, spec, where)
    _fits(tokenizer, model, start)
    shape = flops.shape(start)
    logprobs.check_fast_path(model, [_single(item) for item in examples.sequences[:2]])
    if spec.lora is None:
        model.requires_grad_(True)
    else:
        adapters.attach(model, spec.lora, stream_seed(spec.seed, "adapters"))
    fused.fuse(model, compiled=context.compile)
    if context.checkpointing:
        fused.recompute(model)
    model = divide(model, spec, where, team)
    if (before := saves.once("before")) is None:
        saves.once("before", before := _before(model, unseen, objective, saves))
    wanted = reference.load(artifacts.one(parents, "reference"), compiled) if objective.reference else objectives.no_reference()
    run = loop.Run(model, examples.sequences, compiled, objective, spec, saves, context, save_seconds, wanted, team)
    run.probe = probes.perplexities(model, parents, tokenizer)
    if spec.keep == "epochs":
        run.epoch_done = partial(_keep, model, start, out, spec, team)
    optimizer = loop.train(run)
    state = _publish(model, start, out, optimizer, spec, team)
    if spec.lora is not None:  # the published weights are measured, not base and adapters side by side
        model = divide(load(out, spec, where), spec, where, team)
    after = {part: held_out.measure(model, rows, objective) for part, rows in unseen.items()}
    if (kept := saves.once_tensor("start")) is not None:
        after[HELD_OUT]["kl"] = divergence.kl(model, divergence.some(unseen[HELD_OUT].sequences), kept, start)
    if team.leads:
        plan.write(out / PLAN, compiled, examples.sequences, pairs=objective.pairs)
        counted = outline.counts(examples, compiled, objective, spec, shape)
        counted |= ledger.spent(out / METRICS, counted["tokens"]) | {"processes": team.size, "compiled": context.compile}
        counted["unchanged_share"] = ledger.unchanged_share(state, start, getattr(torch, spec.publish_dtype))
        for part, rows in unseen.items():
            told = ledger.change(objective, dataset, part, rows.groups, before[part], after[part], spec.seed)
            counted[part.removesuffix(".jsonl")] = told
        artifacts.write_json(out / LEDGER, counted)
    team.wait()
    return artifacts.read_json(out / LEDGER)


def load(folder: Path, spec: TrainStep, where: torch.device) -> PreTrainedModel:
    """The model in the type that the stage's precision computes in."""
    return loading.load(folder, compute_dtype(spec, where), where)


def compute_dtype(spec: TrainStep, where: torch.device) -> torch.dtype:
    """Type of the computation."""
    match spec.precision:
        case "mixed":
            return device.compute_dtype(where)
        case "bf16-stochastic":
            return torch.bfloat16
        case "float32":
            return torch.float32


def divide(model: PreTrainedModel, spec: TrainStep, where: torch.device, team: Team) -> PreTrainedModel:
    """The model, divided among the team's processes if there are several; masters are then the divided weights themselves."""
    if team.mesh is None:
        return model
    held = torch.bfloat16 if spec.precision == "bf16-stochastic" else torch.float32
    return sharded.shard(model, team.mesh, held, compute_dtype(spec, where))


def _examples(
    dataset: Path, objective: Objective, tokenizer: PreTrainedTokenizerBase, spec: TrainStep
) -> tuple[Examples, dict[str, Examples]]:
    """Examples to learn, and by file those held out: of these answers only, so that the figures of any two stages mean the same.

    Raises `InputError` for a dataset with nothing to learn from.
    """
    prompts = objective.learns_prompt(objective.settings(spec.parameters))
    examples = read(dataset / TRAIN, objective.rows, tokenizer, spec, prompts=prompts)
    if not examples.sequences:
        raise InputError("the dataset holds nothing to learn from", file=dataset / TRAIN, remedy="Look at the corpus it was made from.")
    nothing = Examples((), (), 0)
    files = {part: dataset / part for part in (DEV, HELD_OUT)}
    return examples, {part: read(f, objective.rows, tokenizer, spec) if f.exists() else nothing for part, f in files.items()}


def _fits(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, start: Path) -> None:
    """A token without a row in the embedding would read beyond it."""
    table = model.get_input_embeddings().weight
    assert isinstance(table, Tensor)
    rows, largest = table.shape[0], max(tokenizer.get_vocab().values())
    if largest >= rows:
        raise InputError(
            f"the tokenizer knows token {largest}, but the embedding has {rows} rows",
            file=start,
            remedy="Use the tokenizer the model was made with.",
        )


def _before(model: PreTrainedModel, unseen: Mapping[str, Examples], objective: Objective, saves: Saves) -> dict[str, Any]:
    """The starting model on held-out rows, by file; of pairs also keep what `divergence.kl` needs."""
    found = {part: held_out.measure(model, rows, objective) for part, rows in unseen.items()}
    if objective.pairs and (reported := unseen[HELD_OUT].sequences):
        saves.once_tensor("start", divergence.states(model, divergence.some(reported)))
        found[HELD_OUT]["kl"] = 0.0
    return found


def _single(item: Sequence) -> Sequence:
    """The trunk and first branch of a sequence as one plain text of at most 64 tokens."""
    tokens = [token for token, branch in zip(item.tokens, item.branches, strict=True) if branch <= 1][:64]
    return sequence(item.id, tokens, [True] * len(tokens))


def _publish(model: PreTrainedModel, start: Path, out: Path, optimizer: Optimizer, spec: TrainStep, team: Team) -> Mapping[str, Tensor]:
    """Write the model, and beside it the adapters it has, once for all processes.

    Returns all weights by the names they have on disk, as learned; nothing on a process that does not lead.
    """
    learned = _whole(optimizer, spec, team)
    state: Mapping[str, Tensor] = {}
    if team.leads:
        state = adapters.Folded(model, learned, start) if adapters.attached(learned) else learned
        loading.publish(state, start, out, getattr(torch, spec.publish_dtype))
        if isinstance(state, adapters.Folded):
            adapters.save(out / adapters.FOLDER, model, state)
    team.wait()
    return state


def _whole(optimizer: Optimizer, spec: TrainStep, team: Team) -> dict[str, Tensor]:
    """The learned weights, gathered on the leader of several processes one at a time: all take part, one keeps them."""
    if team.size == 1:
        return optimizer.weights()
    dtype = torch.float32 if spec.lora is not None else getattr(torch, spec.publish_dtype)
    found = {}
    for name, tensor in optimizer.weights().items():
        gathered = sharded.whole(tensor).to(dtype)
        found[name] = gathered.cpu() if team.leads else gathered.to("meta")
    return found


def _keep(model: PreTrainedModel, start: Path, out: Path, spec: TrainStep, team: Team, epoch: int, optimizer: Optimizer) -> None:
    """Write the checkpoint of a finished epoch; the last one's is the folder itself."""
    _publish(model, start, out / EPOCHS / str(epoch), optimizer, spec, team)
