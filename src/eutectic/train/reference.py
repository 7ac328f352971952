"""The reference of preference objectives: log-probabilities of every pair under the model a stage starts from, worked out once.

They are an artifact of their own, keyed by the start, the data and what decides the batch plan, so that stages which differ in beta, loss
or learning rate share them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence as Several
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eutectic import artifacts
from eutectic.artifacts import LEDGER, TRAIN, Artifact, Parents
from eutectic.context import Context
from eutectic.errors import WorkError
from eutectic.models import device, fused, loading
from eutectic.models.attention import tiled_attention
from eutectic.models.checkpoint import SINGLE, Checkpoint, write
from eutectic.models.logprobs import TILE_TOKENS, group_logprobs
from eutectic.models.packing import Sequence, tile
from eutectic.models.safetensors_file import read_header
from eutectic.specs.steps import ReferenceStep
from eutectic.train import plan
from eutectic.train.examples import read
from eutectic.train.plan import Plan

LOGPROBS = "logprobs.safetensors"
STATE = ".state"
SAVE_SECONDS = 90.0


def check(spec: ReferenceStep, parents: Parents) -> None:
    """The stage that wants the reference has checked what can be known before any work."""


def build(spec: ReferenceStep, parents: Parents, out: Path, context: Context, *, save_seconds: float = SAVE_SECONDS) -> dict[str, Any]:
    """Write logprobs.safetensors (`logprobs`, `[examples, 2]`) and ledger.json into `out`, going on from a save. Returns the ledger."""
    where = device.prepare(context)
    start, dataset = artifacts.one(parents, "model").path, artifacts.one(parents, "dataset").path
    examples = read(dataset / TRAIN, "preference", loading.tokenizer(start), spec)
    compiled = plan.compile_plan(examples.sequences, plan.budgeted(spec, parents), pairs=True)
    dtype = torch.float32 if spec.precision == "float32" else device.compute_dtype(where)
    model = fused.fuse(loading.load(start, dtype, where), compiled=context.compile)  # as the stage itself will compute
    saved = out / STATE / f"{compiled.digest}.safetensors"  # what another plan left behind has another name
    logprobs, seconds = _worked_out(model, examples.sequences, compiled, saved, context, save_seconds)
    _write(out / LOGPROBS, logprobs=logprobs)
    used = compiled.used()
    tokens = sum(len(examples.sequences[i]) for i in used)
    ledger = {"plan": compiled.digest, "pairs": len(used), "tokens": tokens, "seconds": round(seconds, 3)}
    artifacts.write_json(out / LEDGER, ledger)
    return ledger


def load(reference: Artifact, compiled: Plan) -> Tensor:
    """Summed log p of the chosen and the rejected answer by example, `[examples, 2]`, NaN where the plan never reads.

    Raises `WorkError` when they were worked out for another plan than the stage has compiled.
    """
    found = artifacts.read_json(reference.path / LEDGER).get("plan")
    if found != compiled.digest:
        raise WorkError(
            f"the reference was worked out for the batch plan {str(found)[:16]}, but this stage reads {compiled.digest[:16]}",
            file=reference.path,
            remedy="Delete that folder; it will be made again.",
        )
    return _read(reference.path / LOGPROBS)["logprobs"]


def _worked_out(
    model: PreTrainedModel, sequences: Several[Sequence], compiled: Plan, saved: Path, context: Context, save_seconds: float
) -> tuple[Tensor, float]:
    """Log-probabilities of every pair the plan reads, and the seconds they took; `saved` is taken up and written anew now and then."""
    kept = _read(saved) if saved.exists() else {}
    found, seconds = kept.get("logprobs", torch.full((len(sequences), 2), float("nan"))), float(kept.get("seconds", 0.0))
    missing = set(compiled.used()) - {i for i, known in enumerate((~torch.isnan(found[:, 0])).tolist()) if known}
    context.progress.start("reference", len(missing), "pairs")
    begun = last = time.monotonic()
    for update in compiled.updates:
        if missing.isdisjoint(update):
            continue
        found[list(update)] = update_logprobs(model, [sequences[i] for i in update])
        missing -= set(update)
        context.progress.advance(len(set(update)))
        if time.monotonic() - last >= save_seconds:
            last = time.monotonic()
            _write(saved, logprobs=found, seconds=torch.tensor(seconds + last - begun))
    return found, seconds + time.monotonic() - begun


@torch.no_grad()
def update_logprobs(model: PreTrainedModel, examples: Several[Sequence]) -> Tensor:
    """Summed log p of both answers of the pairs of one update, `[pairs, 2]`, in float32.

    Worked out on the very tiles that training uses, so that the first update sees a margin of exactly 0.
    """
    found = torch.empty(len(examples), 2)
    with tiled_attention(model):
        for tiles in tile(examples, TILE_TOKENS):
            sums, _ = group_logprobs(model, tiles, 2)
            found[list(tiles.members)] = sums[:, 1:].cpu()
    return found


def _write(file: Path, **tensors: Tensor) -> None:
    """Write a safetensors file, whole or not at all."""
    fresh = file.with_name(f".{file.name}.next")
    write(fresh, tensors.items())
    (fresh / SINGLE).replace(file)
    fresh.rmdir()


def _read(file: Path) -> dict[str, Tensor]:
    return dict(Checkpoint(file.parent, read_header(file)).tensors())
