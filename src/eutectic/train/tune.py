"""The front door of training: one stage on top of a checkpoint, published as a plain model folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic import artifacts
from eutectic.artifacts import DOCUMENTS, HELD_OUT, LEDGER, METRICS, TRAIN, Parents
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.fingerprint import stream_seed
from eutectic.models import adapters, chat_template, device, fused, loading, logprobs
from eutectic.models.checkpoint import open_checkpoint
from eutectic.models.packing import Sequence, sequence
from eutectic.specs.rows import Document
from eutectic.specs.steps import DatasetStep, TrainStep
from eutectic.train import held_out, loop, objectives, plan
from eutectic.train.examples import Examples, read
from eutectic.train.objectives import Objective
from eutectic.train.optimizer import Masters
from eutectic.train.saves import Saves

SAVE_SECONDS = 90.0
PROBE_TOKENS = 8192  # of each probed corpus


def check(spec: TrainStep, parents: Parents) -> None:
    """What can be known before any work: objective, its numbers, kind of dataset. Raises `InputError`."""
    objective = objectives.find(spec.objective)
    objective.numbers(spec.parameters)
    dataset = artifacts.optional(parents, "dataset")
    kind = dataset.spec.kind if dataset is not None and isinstance(dataset.spec, DatasetStep) else objective.rows
    if kind in {"text", "instruction", "preference"} and kind != objective.rows:
        raise InputError(f"the objective {objective.name} reads a dataset of kind {objective.rows}, not {kind}", place="dataset")


def build(spec: TrainStep, parents: Parents, out: Path, context: Context, *, save_seconds: float = SAVE_SECONDS) -> dict[str, Any]:
    """Train one stage and write model, metrics.jsonl and ledger.json into `out`; goes on from a save there. Returns the ledger."""
    check(spec, parents)
    where = device.prepare(context)
    objective = objectives.find(spec.objective)
    start, dataset = artifacts.one(parents, "model").path, artifacts.one(parents, "dataset").path
    tokenizer = loading.tokenizer(start)
    examples, unseen = _examples(dataset, objective, tokenizer, spec)
    model = loading.load(start, device.compute_dtype(where), where)
    _fits(tokenizer, model, start)
    compiled = plan.compile_plan(examples.sequences, spec, pairs=objective.pairs)
    saves = Saves(out, compiled.digest)
    before = saves.once("before") or saves.once("before", _before(model, examples, unseen, objective))
    if spec.lora is None:
        model.requires_grad_(True)
    else:
        adapters.attach(model, spec.lora, stream_seed(spec.seed, "adapters"))
    fused.fuse(model, compiled=context.compile)
    if context.checkpointing:
        fused.recompute(model)
    run = loop.Run(model, examples.sequences, compiled, objective, spec, saves, context, save_seconds)
    run.probe = _probe(model, parents, tokenizer)
    if spec.keep == "epochs":
        run.epoch_done = partial(_keep, model, start, out)
    reference = loop.reference_logprobs(run) if objective.reference else objectives.no_reference()
    masters = loop.train(run, reference)
    state = _state(model, masters)
    loading.publish(state, start, out)
    if spec.lora is not None:  # the published weights are measured, not base and adapters side by side
        model = loading.load(out, model.dtype, where)
    after = held_out.measure(model, unseen, objective)
    ledger = _ledger(run, examples, state, start) | {"held_out": _compare(objective, dataset, unseen, before or {}, after, spec.seed)}
    artifacts.write_json(out / LEDGER, ledger)
    return ledger


def _examples(dataset: Path, objective: Objective, tokenizer: PreTrainedTokenizerBase, spec: TrainStep) -> tuple[Examples, Examples]:
    """Training and held-out examples. Raises `InputError` for a dataset with nothing to learn from."""
    examples = read(dataset / TRAIN, objective.rows, tokenizer, spec.sequence)
    if not examples.sequences:
        raise InputError("the dataset holds nothing to learn from", file=dataset / TRAIN, remedy="Look at the corpus it was made from.")
    file = dataset / HELD_OUT
    unseen = read(file, objective.rows, tokenizer, spec.sequence) if file.exists() else Examples((), (), 0)
    return examples, unseen


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


def _before(model: PreTrainedModel, examples: Examples, unseen: Examples, objective: Objective) -> dict[str, Any]:
    """Check the packed scoring against the model's own forward, then measure the starting model."""
    logprobs.check_fast_path(model, [_single(item) for item in examples.sequences[:2]])
    return held_out.measure(model, unseen, objective)


def _single(item: Sequence) -> Sequence:
    """The trunk and first branch of a sequence as one plain text of at most 64 tokens."""
    tokens = [token for token, branch in zip(item.tokens, item.branches, strict=True) if branch <= 1][:64]
    return sequence(item.id, tokens, [True] * len(tokens))


def _probe(model: PreTrainedModel, parents: Parents, tokenizer: PreTrainedTokenizerBase) -> Callable[[int, int], dict[str, Any]] | None:
    """A function that gives the perplexity of each probed corpus' held-out documents (of its first documents if none are held out)."""
    corpora = {parent.address: _probe_texts(parent.path / DOCUMENTS, tokenizer) for parent in parents.get("probes", ())}
    if not corpora:
        return None
    return lambda done, tokens: {address: logprobs.perplexity(model, texts) for address, texts in corpora.items()}  # noqa: ARG005


def _probe_texts(file: Path, tokenizer: PreTrainedTokenizerBase) -> list[Sequence]:
    documents = artifacts.read_rows(file, Document)
    chosen = [d for d in documents if d.held_out] or documents
    texts: list[Sequence] = []
    filled = 0
    for item in chosen:
        opening, ids = chat_template.document(tokenizer, item.text)
        ids = ids[:512]
        texts.append(sequence(item.id, opening + ids, [False] * len(opening) + [True] * len(ids)))
        filled += len(ids)
        if filled >= PROBE_TOKENS:
            break
    return texts


def _state(model: PreTrainedModel, masters: Masters) -> dict[str, Tensor]:
    """All weights by the names they have on disk, float32 where they were learned."""
    if any("lora_" in name for name in masters.masters):
        return adapters.fold(model, masters.masters)
    return masters.masters


def _keep(model: PreTrainedModel, start: Path, out: Path, epoch: int, masters: Masters) -> None:
    """Write the checkpoint of a finished epoch."""
    loading.publish(_state(model, masters), start, out / "epochs" / str(epoch))


def _ledger(run: loop.Run, examples: Examples, state: dict[str, Tensor], start: Path) -> dict[str, Any]:
    """What was read, learned and spent, from the metrics of the whole run."""
    lines = [json.loads(line) for line in (run.saves.out / METRICS).read_text(encoding="utf-8").splitlines()]
    rows = [line for line in lines if "probe" not in line]
    used = sum(len(update) for update in run.plan.updates)
    return {
        "tokens": rows[-1]["tokens"],
        "loss_tokens": sum(row["loss_tokens"] for row in rows),
        "pairs": used if run.objective.pairs else 0,
        "updates": len(rows),
        "examples": used,
        "rows": examples.rows,
        "cut_rows": examples.cut_rows,
        "cut_tokens": examples.cut_tokens,
        "learning_rate_integral": sum(row["learning_rate"] for row in rows),
        "seconds": rows[-1]["seconds"],
        "tokens_per_second": rows[-1]["tokens"] / max(rows[-1]["seconds"], 1e-9),
        "unchanged_share": _unchanged(state, start),
        "plan": run.plan.digest,
        **({"compiled": True} if run.context.compile else {}),
    }


def _unchanged(state: dict[str, Tensor], start: Path) -> float:
    """Share of all weights that are the same bf16 number before and after."""
    checkpoint = open_checkpoint(start)
    same = total = 0
    for name in checkpoint.names:
        if name in state:
            old = checkpoint.tensor(name).to(torch.bfloat16)
            same += int((old == state[name].cpu().to(torch.bfloat16)).sum())
            total += old.numel()
    return same / total


def _compare(
    objective: Objective, dataset: Path, unseen: Examples, before: dict[str, Any], after: dict[str, Any], seed: int
) -> dict[str, Any]:
    """The held-out figures before and after; for pairs with baselines and a paired test."""
    found: dict[str, Any] = {"before": before, "after": after}
    if objective.pairs and unseen.sequences:
        found["change"] = held_out.change(before["correct"], after["correct"], unseen.groups, seed)
        found["baselines"] = held_out.baselines(dataset / TRAIN, dataset / HELD_OUT)
    return found
