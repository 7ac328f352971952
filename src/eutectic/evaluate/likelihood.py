"""Log-likelihoods of continuations under a live model: shared beginnings once, packed rows, the head only where a token is scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from eutectic.context import Context
from eutectic.errors import WorkError
from eutectic.evaluate.branches import Branch, grow, stem
from eutectic.evaluate.tree import BATCH_TOKENS, ROW_TOKENS, Ask, Batch, Numbered, batches, rows
from eutectic.models.fast import Head, fast_head
from eutectic.models.forest import Forest, Held, forest_attention, hidden, read

# Scored places whose logits are in memory at once: 128 x 49,152 x 4 bytes = 25 MB, which stays in the allocator between calls.
HEAD_ROWS = 128
NORMALISED = 16  # of them whose sum of exponentials is taken at a time: it stays in the processor's cache


@torch.inference_mode()
def log_likelihoods(
    model: PreTrainedModel,
    groups: Sequence[Sequence[Ask]],
    context: Context,
    *,
    row_tokens: int = ROW_TOKENS,
    batch_tokens: int = BATCH_TOKENS,
) -> list[list[float]]:
    """Summed log-probability in nats of every ask, grouped as given.

    Log-softmax is taken in float32 over the model's logits; sums are float64. Raises `WorkError` when the logits are not
    finite. No ask may be longer than the model's context (see `contexts.check_lengths`).
    """
    asks = [ask for group in groups for ask in group]
    total = torch.zeros(len(asks), dtype=torch.float64)
    head = fast_head(model, max((len(ask.tokens) for ask in asks), default=0))
    found = _together(model, head, groups, row_tokens, batch_tokens) if head else _alone(model, asks)
    for index, values in found:
        if not torch.isfinite(values).all():
            raise WorkError(
                "the model's logits are not finite numbers", remedy="Its weights are broken; look at the training's loss curve."
            )
        total.index_add_(0, index, values)
        context.progress.advance(len(torch.unique(index)) / len(asks) * len(groups))
    numbers = iter(total.tolist())
    return [[next(numbers) for _ in group] for group in groups]


Found = Iterator[tuple[torch.Tensor, torch.Tensor]]  # asks `[targets]` and the log-probabilities that count for them, float64


def _together(model: PreTrainedModel, head: Head, groups: Sequence[Sequence[Ask]], row_tokens: int, batch_tokens: int) -> Found:
    """Every branch is read once and held while something goes on from it; what ends at it is scored in packed rows."""
    first = np.cumsum([0, *(len(group) for group in groups)])
    items: list[Numbered] = [[(int(first[g]) + i, ask) for i, ask in enumerate(group)] for g, group in enumerate(groups)]
    held: list[tuple[int, Held]] = []
    with forest_attention(model):
        for branch in grow([stem(group) for group in groups]):
            while held and held[-1][0] > branch.start:
                held.pop()
            _read(model, branch, held, batch_tokens)
            pieces = [piece for _, piece in held]
            for batch in batches(rows([items[g] for g in branch.members], branch.stop, row_tokens), batch_tokens):
                yield batch.asks, targets(model, head, batch, pieces)


def _read(model: PreTrainedModel, branch: Branch, held: list[tuple[int, Held]], batch_tokens: int) -> None:
    """Add a branch, a batch's tokens at a time, to the pieces held as (position behind it, keys and values)."""
    for start in range(0, len(branch.tokens), batch_tokens):
        tokens, place = branch.tokens[start : start + batch_tokens], branch.start + start
        held.append((place + len(tokens), read(model, tokens, place, [piece for _, piece in held])))


def targets(model: PreTrainedModel, head: Head, batch: Batch, pieces: Sequence[Held]) -> torch.Tensor:
    """Log-probabilities `[targets]`, float64 on the CPU, of a batch's targets behind the beginning in `pieces`."""
    device = model.device
    states = hidden(model, batch.tokens.to(device), Forest(batch.ends.to(device), batch.positions.to(device), pieces))
    chosen = states.flatten(0, 1)[batch.nodes.to(device)]
    out = torch.empty(len(batch.pairs), dtype=torch.float64)
    done = 0
    for start in range(0, len(chosen), HEAD_ROWS):
        logits = head(chosen[start : start + HEAD_ROWS])
        stop = int(torch.searchsorted(batch.pairs[:, 0].contiguous(), start + len(logits)))
        pairs = batch.pairs[done:stop].to(device)
        sums = torch.cat([torch.logsumexp(part.float(), -1) for part in torch.split(logits, NORMALISED)])
        places = pairs[:, 0] - start
        out[done:stop] = (logits[places, pairs[:, 1]].float() - sums[places]).double().cpu()
        done = stop
    return out


def _alone(model: PreTrainedModel, asks: Sequence[Ask]) -> Found:
    """The definition, for architectures that cannot be given a forest: a forward pass of the whole model for each ask."""
    for index, ask in enumerate(asks):
        tokens = torch.tensor(ask.tokens, device=model.device)
        logits = model(input_ids=tokens[None, :-1], use_cache=False).logits[0, ask.start - 1 :]
        values = torch.log_softmax(logits.float(), -1).gather(1, tokens[ask.start :, None])[:, 0]
        yield torch.full((len(values),), index), values.double().cpu()
