"""The training loop: one update after another along the plan, saved now and then, told in metrics.jsonl.

It knows nothing of objectives but their loss, and nothing of random numbers but that each update draws its own: a run that goes on
after a kill does exactly what the uninterrupted run would have done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.artifacts import METRICS
from eutectic.context import Context
from eutectic.errors import WorkError
from eutectic.fingerprint import stream_seed
from eutectic.models.attention import tiled_attention
from eutectic.models.logprobs import TILE_TOKENS, group_logprobs
from eutectic.models.packing import Sequence, Tiles, tile
from eutectic.specs.steps import TrainStep
from eutectic.train.objectives import Objective, Update
from eutectic.train.optimizer import Masters
from eutectic.train.plan import Plan, loss_tokens
from eutectic.train.saves import Saves, empty_reference
from eutectic.train.schedule import learning_rate


@dataclass
class Run:
    """A stage in progress. `probe` is called with (updates done, tokens read) where a probe is due, `epoch_done` with a finished epoch."""

    model: PreTrainedModel
    sequences: Several[Sequence]
    plan: Plan
    objective: Objective
    spec: TrainStep
    saves: Saves
    context: Context
    save_seconds: float
    probe: Callable[[int, int], dict[str, Any]] | None = None
    epoch_done: Callable[[int, Masters], None] | None = None
    numbers: dict[str, float] = field(init=False)
    tokens: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.numbers = self.objective.numbers(self.spec.parameters)


def reference_logprobs(run: Run) -> Tensor:
    """Summed log p of the chosen and the rejected answer under the starting model, `[examples, 2]`, once before training.

    Worked out on the very tiles that training will use, so that the first update sees a margin of exactly 0.
    """
    kept = run.saves.reference()
    if kept is not None:
        return kept
    found = empty_reference(len(run.sequences))
    run.context.progress.start(f"{run.objective.name}: reference", len({i for u in run.plan.updates for i in u}), "pairs")
    with torch.no_grad(), tiled_attention(run.model):
        for update in run.plan.updates:
            if not torch.isnan(found[list(update)]).any():
                continue
            for tiles in tile([run.sequences[i] for i in update], TILE_TOKENS):
                sums, _ = group_logprobs(run.model, tiles, 2)
                found[[update[m] for m in tiles.members]] = sums[:, 1:].cpu()
            run.context.progress.advance(len(update))
    return run.saves.reference(found)  # type: ignore[return-value]


def train(run: Run, reference: Tensor) -> Masters:
    """Do what the plan still asks for and return the masters. Raises `WorkError` for a loss or gradient that is no number."""
    masters = Masters(run.model, run.spec)
    done, seconds = _resume(run, masters)
    run.context.progress.start(f"training {run.objective.name}", sum(_size(run, u) for u in run.plan.updates), "tokens")
    run.tokens = sum(_size(run, update) for update in run.plan.updates[:done])
    run.context.progress.advance(run.tokens)
    saved = time.monotonic()
    run.model.train()
    with (run.saves.out / METRICS).open("a", encoding="utf-8") as metrics:
        _probe(run, metrics, done, force=done == 0)
        for number in range(done, len(run.plan.updates)):
            begun = time.monotonic()
            row = _update(run, masters, number, reference)
            seconds += time.monotonic() - begun
            _write(metrics, {**row, "seconds": round(seconds, 3)})
            run.context.progress.advance(_size(run, run.plan.updates[number]), f"loss {row['loss']:.3f}")
            last = number + 1 == len(run.plan.updates)
            _probe(run, metrics, number + 1, force=last)
            if run.plan.last_of_epoch(number) and run.epoch_done is not None:
                run.epoch_done(run.plan.epochs[number], masters)
            if last or time.monotonic() - saved >= run.save_seconds:
                run.saves.save(number + 1, seconds, masters.tensors())
                saved = time.monotonic()
    run.model.train(False)
    return masters


def _resume(run: Run, masters: Masters) -> tuple[int, float]:
    """Take up the last save: updates done and seconds spent."""
    found = run.saves.latest()
    done, seconds = (0, 0.0) if found is None else found[:2]
    if found is not None:
        masters.restore(run.saves.tensors(found[2]), done)
    run.saves.forget_metrics_after(done)
    return done, seconds


def _size(run: Run, update: tuple[int, ...]) -> int:
    return sum(len(run.sequences[i]) for i in update)


def _update(run: Run, masters: Masters, number: int, reference: Tensor) -> dict[str, Any]:
    """One update; returns its line of metrics.jsonl."""
    indices = run.plan.updates[number]
    examples = [run.sequences[i] for i in indices]
    pairs = run.objective.pairs
    learned = sum(loss_tokens(item, pairs=pairs) for item in examples)
    total = Update(learned, len(examples) if pairs else 0, run.numbers)
    torch.manual_seed(stream_seed(run.spec.seed, f"update:{number}"))  # dropout of adapters
    loss, measures = 0.0, dict[str, float]()
    with tiled_attention(run.model):
        for tiles in tile(examples, TILE_TOKENS):
            wanted = reference[[indices[m] for m in tiles.members]] if run.objective.reference else reference
            part, sums = _backward(run, tiles, total, wanted, number, examples)
            loss += part
            measures = {name: measures.get(name, 0.0) + value for name, value in sums.items()}
    rate = learning_rate(number, len(run.plan.updates), run.spec)
    norm = masters.step(rate)
    if not norm < float("inf"):
        raise _no_number("gradient", number, examples)
    run.tokens += _size(run, indices)
    facts = {"update": number + 1, "epoch": run.plan.epochs[number], "tokens": run.tokens, "loss_tokens": total.loss_tokens, "loss": loss}
    return {**facts, "learning_rate": rate, "grad_norm": norm, **{name: value / total.pairs for name, value in measures.items()}}


def _backward(
    run: Run, tiles: Tiles, total: Update, reference: Tensor, number: int, examples: Several[Sequence]
) -> tuple[float, dict[str, float]]:
    """Loss of one batch of tiles, its gradients added to the masters."""
    loss, sums = run.objective.loss(run.model, tiles, total, reference.to(run.model.device))
    value = float(loss.detach())
    if not abs(value) < float("inf"):
        raise _no_number("loss", number, [examples[m] for m in tiles.members])
    torch.autograd.backward(loss)
    return value, sums


def _no_number(what: str, number: int, examples: Several[Sequence]) -> WorkError:
    names = ", ".join(item.id for item in examples[:8]) + (f" and {len(examples) - 8} more" if len(examples) > 8 else "")
    return WorkError(
        f"the {what} of update {number + 1} is no finite number; its examples are {names}",
        remedy="Lower `learning_rate`, or look at those examples. The state before that update is kept.",
    )


def _write(metrics: Any, row: dict[str, Any]) -> None:
    metrics.write(json.dumps(row) + "\n")
    metrics.flush()


def _probe(run: Run, metrics: Any, done: int, *, force: bool) -> None:
    """Perplexities at the start, at the end, and whenever another `probe_every` tokens have been read."""
    every = run.spec.probe_every
    if run.probe is None or every is None:
        return
    before = run.tokens - (_size(run, run.plan.updates[done - 1]) if done else 0)
    if force or run.tokens // every > before // every:
        run.model.train(False)
        for address, value in run.probe(done, run.tokens).items():
            _write(metrics, {"update": done, "tokens": run.tokens, "probe": address, "perplexity": value})
        run.model.train()
