"""The training loop: one update after another along the plan, saved now and then, told in metrics.jsonl.

It knows nothing of objectives but their loss, and nothing of random numbers but that each update draws its own: a run that goes on
after a kill does exactly what the uninterrupted run would have done. Several processes share each update's micro-batches; the losses are
sums over examples divided by totals of the whole update, so their number changes nothing but rounding.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from typing import Any, TextIO

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.artifacts import METRICS
from eutectic.context import Context
from eutectic.errors import WorkError
from eutectic.fingerprint import stream_seed
from eutectic.models.attention import tiled_attention
from eutectic.models.logprobs import TILE_TOKENS
from eutectic.models.packing import Sequence, Tiles, tile
from eutectic.models.sharded import within
from eutectic.specs.steps import TrainStep
from eutectic.train import trackers
from eutectic.train.objectives import Objective, Update
from eutectic.train.optimizer import Optimizer, make
from eutectic.train.plan import Plan, loss_tokens
from eutectic.train.saves import Saves
from eutectic.train.schedule import learning_rate
from eutectic.train.team import Team


@dataclass
class Run:
    """A stage in progress. `probe` gives perplexities by corpus where they are due, `epoch_done` is called with an epoch that is
    finished and not the last.
    """

    model: PreTrainedModel
    sequences: Several[Sequence]
    plan: Plan
    objective: Objective
    spec: TrainStep
    saves: Saves
    context: Context
    save_seconds: float
    reference: Tensor
    team: Team = field(default_factory=Team)
    probe: Callable[[], dict[str, Any]] | None = None
    epoch_done: Callable[[int, Optimizer], None] | None = None
    settings: dict[str, float | str] = field(init=False)
    tell: trackers.Tell = field(init=False)
    tokens: int = 0

    def __post_init__(self) -> None:
        self.settings = self.objective.settings(self.spec.parameters)

    def size(self, update: int) -> int:
        """Tokens read by an update."""
        return sum(len(self.sequences[i]) for i in self.plan.updates[update])


def train(run: Run) -> Optimizer:
    """Do what the plan still asks for and return the optimiser. Raises `WorkError` for a loss or gradient that is no number."""
    optimizer, updates = make(run.model, run.spec, run.team), len(run.plan.updates)
    done, seconds = _resume(run, optimizer)
    run.context.progress.start(f"training {run.objective.name}", sum(map(run.size, range(updates))), "tokens")
    run.tokens = sum(map(run.size, range(done)))
    run.context.progress.advance(run.tokens)
    saved = time.monotonic()
    run.model.train()
    file = run.saves.out / METRICS
    with file.open("a", encoding="utf-8") as metrics, trackers.following(run.context, file, done, run.spec.identity()) as run.tell:
        if done == 0:
            _probe(run, metrics, done, force=True)
        for number in range(done, updates):
            begun = time.monotonic()
            row = _update(run, optimizer, number, seconds)
            seconds += time.monotonic() - begun
            _write(run, metrics, {**row, "seconds": round(seconds, 3)})
            run.context.progress.advance(run.size(number), f"loss {row['loss']:.3f}")
            last = number + 1 == updates
            _probe(run, metrics, number + 1, force=last)
            if run.plan.last_of_epoch(number) and not last and run.epoch_done is not None:
                run.epoch_done(run.plan.epochs[number], optimizer)
            if last or _agreed(run, time.monotonic() - saved >= run.save_seconds):
                run.saves.save(number + 1, seconds, optimizer.tensors())
                saved = time.monotonic()
    run.model.train(False)
    return optimizer


def _agreed(run: Run, due: bool) -> bool:
    """Whether any process finds a save due: clocks differ, and all must save at once."""
    return due if run.team.size == 1 else bool(run.team.sum(torch.tensor(float(due), device=run.model.device)) > 0)


def _resume(run: Run, optimizer: Optimizer) -> tuple[int, float]:
    """Take up the last save: updates done and seconds spent."""
    found = run.saves.latest()
    done, seconds = (0, 0.0) if found is None else found[:2]
    if found is not None:
        run.saves.load(found[2], optimizer.tensors())
        optimizer.restored(done)
    run.saves.forget_metrics_after(done)
    return done, seconds


def _update(run: Run, optimizer: Optimizer, number: int, seconds: float) -> dict[str, Any]:
    """One update; returns its line of metrics.jsonl."""
    indices, pairs = run.plan.updates[number], run.objective.pairs
    examples = [run.sequences[i] for i in indices]
    learned = sum(loss_tokens(item, pairs=pairs) for item in examples)
    total = Update(learned, len(examples) if pairs else 0, run.settings)
    torch.manual_seed(stream_seed(run.spec.seed, f"update:{number}"))  # dropout of adapters
    loss, measures, broken = 0.0, dict[str, float](), list[str]()
    for tiles, counts in run.team.share(tile(examples, TILE_TOKENS)):
        part, sums = _backward(run, tiles, total, [indices[m] for m in tiles.members], counts)
        if not abs(part) < float("inf"):
            broken += [examples[m].id for m in tiles.members]
        loss += part if counts else 0.0
        measures = {name: measures.get(name, 0.0) + (value if counts else 0.0) for name, value in sums.items()}
    loss, *values = run.team.sum(torch.tensor([loss, *measures.values()], dtype=torch.float64, device=run.model.device)).tolist()
    rate = learning_rate(number, len(run.plan.updates), run.spec)
    norm = optimizer.step(rate) if abs(loss) < float("inf") else float("inf")
    if not norm < float("inf"):
        if number:
            run.saves.save(number, seconds, optimizer.tensors())
        what = "gradient" if abs(loss) < float("inf") else "loss"
        raise _no_number(what, number, broken or [item.id for item in examples])
    run.tokens += run.size(number)
    facts = {"update": number + 1, "epoch": run.plan.epochs[number], "tokens": run.tokens, "loss_tokens": total.loss_tokens, "loss": loss}
    means = {name: value / total.pairs for name, value in zip(measures, values, strict=True)}
    return {**facts, "learning_rate": rate, "grad_norm": norm, **means}


def _backward(run: Run, tiles: Tiles, total: Update, indices: list[int], counts: bool) -> tuple[float, dict[str, float]]:
    """Loss of one batch of tiles, its gradients added to the sums; one that does not count adds zeros."""
    wanted = run.reference[indices].to(run.model.device) if run.objective.reference else run.reference
    with tiled_attention(run.model):
        loss, sums = within(run.model, lambda model: run.objective.loss(model, tiles, total, wanted))
        # A divided model averages the gradients of its processes; the update wants their sum.
        torch.autograd.backward(loss * (run.team.size if counts else 0.0) if run.team.size > 1 else loss)
    return float(loss.detach()), sums


def _no_number(what: str, number: int, ids: Several[str]) -> WorkError:
    names = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
    return WorkError(
        f"the {what} of update {number + 1} is no finite number; its examples are {names}",
        remedy="Lower `learning_rate`, or look at those examples. The state before that update is kept.",
    )


def _write(run: Run, metrics: TextIO, row: dict[str, Any]) -> None:
    if run.team.leads:
        metrics.write(json.dumps(row) + "\n")
        metrics.flush()
        run.tell(row)


def _probe(run: Run, metrics: TextIO, done: int, *, force: bool) -> None:
    """Perplexities at the start, at the end, and whenever another `probe_every` tokens have been read."""
    every = run.spec.probe_every
    if run.probe is None or every is None:
        return
    before = run.tokens - (run.size(done - 1) if done else 0)
    if force or run.tokens // every > before // every:
        run.model.train(False)
        for address, value in run.probe().items():
            _write(run, metrics, {"update": done, "tokens": run.tokens, "probe": address, "perplexity": value})
        run.model.train()
