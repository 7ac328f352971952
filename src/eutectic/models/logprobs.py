"""Log-probabilities of chosen tokens, with the vocabulary head applied to scored positions only and in chunks.

The trunk runs once on rows of packed sequences; the full `[tokens, vocabulary]` matrix never exists. Where the weight of every
token in the loss is known beforehand (`token_loss`), the gradient is formed in the forward, chunk by chunk, so each chunk of logits
is made once; where it is not (preferences), the gradient is formed for a weight of 1 and scaled in the backward, unless the head is
learned too: then the backward makes the logits again.

The target's logit is computed apart with a float32 sum: in bf16 a logit of 15 is known to 0.06 only, and a log-probability is a
difference of two such numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Sequence as Several
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.errors import InputError
from eutectic.models.attention import Rows, tiled_attention
from eutectic.models.packing import Sequence, Tiles, tile
from eutectic.models.sharded import within

CHUNK = 512  # rows of logits at a time: 50 MB in bf16 for a vocabulary of 49k
CACHED = 16  # of them in float32 at a time: the softmax is three times faster than over the whole chunk
TILE_TOKENS = 1024  # tokens of one forward pass; twice as many were no faster and doubled the activations


def hidden(model: PreTrainedModel, tiles: Tiles) -> Tensor:
    """Last hidden states at the scored positions, `[scored, size]`. Call inside `tiled_attention(model)`."""
    device = model.device
    states: Tensor = model.base_model(
        input_ids=tiles.ids.to(device),
        position_ids=tiles.positions.to(device),
        use_cache=False,
        rows=Rows(tiles.blocks, tiles.tokens, model.dtype, device),
    ).last_hidden_state
    return states.flatten(0, 1).index_select(0, tiles.predictors.to(device))


def head_weight(model: PreTrainedModel) -> Tensor:
    """The vocabulary head, `[vocabulary, size]`. Raises `InputError` for a head with a bias or scaled logits, which nothing here knows."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    scaled = [name for name in ("final_logit_softcapping", "logits_scaling", "logit_scale") if getattr(model.config, name, None)]
    if getattr(head, "bias", None) is not None or scaled:
        raise InputError(f"the architecture {model.config.model_type} changes its logits after the head ({', '.join(scaled) or 'bias'})")
    weight = head.weight
    assert isinstance(weight, Tensor)
    return weight


def _logits(states: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of one chunk, `[chunk, vocabulary]`, and those of the targets summed in float32, `[chunk, 1]`."""
    return states @ weight.t(), (states * weight[targets]).sum(-1, dtype=torch.float32)[:, None]


def _exponentials(logits: Tensor, exact: Tensor, targets: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Softmax of a chunk in float32, a few rows at a time so that they stay in the processor's cache, with one exponential a number.

    Yields the rows, e^(logit - largest) `[rows, vocabulary]`, its sum `[rows, 1]` and the log-probability of the targets `[rows, 1]`.
    """
    for start in range(0, len(targets), CACHED):
        rows = slice(start, start + CACHED)
        wide = logits[rows].float().scatter_(1, targets[rows], exact[rows])
        largest = wide.amax(dim=-1, keepdim=True)
        total = wide.sub_(largest).exp_().sum(dim=-1, keepdim=True)
        yield rows, wide, total, exact[rows] - largest - total.log()


def _slopes(logits: Tensor, exact: Tensor, targets: Tensor, coefficients: Tensor) -> Tensor:
    """Turn `logits` in place into the gradient of sum(coefficients * log p(target)) with respect to them; returns log p, `[chunk, 1]`."""
    found = torch.empty_like(exact)
    for rows, wide, total, wanted in _exponentials(logits, exact, targets):
        found[rows] = wanted
        wide.mul_(-coefficients[rows] / total).scatter_add_(1, targets[rows], coefficients[rows])
        logits[rows] = wide
    return found


def _through_head(
    states: Tensor, weight: Tensor, targets: Tensor, coefficients: Tensor, learned: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Log p of the targets `[scored]`, and the gradients of sum(coefficients * log p) with respect to states and (if `learned`) weight."""
    values = torch.empty(len(targets), dtype=torch.float32, device=states.device)
    to_states = torch.empty_like(states)
    to_weight = torch.zeros_like(weight) if learned else None
    for start in range(0, len(targets), CHUNK):
        rows = slice(start, start + CHUNK)
        logits, exact = _logits(states[rows], weight, targets[rows])
        values[rows] = _slopes(logits, exact, targets[rows, None], coefficients[rows, None])[:, 0]
        torch.mm(logits, weight, out=to_states[rows])
        if to_weight is not None:
            to_weight.addmm_(logits.t(), states[rows])
    return values, to_states, to_weight


class _TokenLoss(torch.autograd.Function):
    """Sum of `-scale * log p(target)`; the gradients are ready when the forward ends."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, scale: float) -> Tensor:
        # Coefficients of 1 keep the bf16 slopes away from tiny numbers; the scale comes in the backward.
        values, to_states, to_weight = _through_head(
            states, weight, targets, -torch.ones(len(targets), device=states.device), weight.requires_grad
        )
        ctx.save_for_backward(to_states, to_weight)
        ctx.scale = scale
        return -values.sum() * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        to_states, to_weight = ctx.saved_tensors
        factor = grads[0] * ctx.scale
        return to_states.mul_(factor), None if to_weight is None else to_weight.mul_(factor), None, None


class _TokenLogprobs(torch.autograd.Function):
    """The log p of every scored position. The slope of one is known when it is made, but for the factor its loss will give it; only
    where the head itself is learned are the logits made again in the backward.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        ctx.learned = ctx.needs_input_grad[1]
        if ctx.needs_input_grad[0] and not ctx.learned:
            values, to_states, _ = _through_head(states, weight, targets, torch.ones(len(targets), device=states.device), learned=False)
            ctx.save_for_backward(to_states)
            return values
        ctx.save_for_backward(states, weight, targets)
        values = torch.empty(len(targets), dtype=torch.float32, device=states.device)
        for start in range(0, len(targets), CHUNK):
            part = slice(start, start + CHUNK)
            logits, exact = _logits(states[part], weight, targets[part])
            values[part] = torch.cat([wanted for *_, wanted in _exponentials(logits, exact, targets[part, None])])[:, 0]
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.learned:
            (to_states,) = ctx.saved_tensors
            return (to_states * grads[0][:, None]).to(to_states.dtype), None, None
        states, weight, targets = ctx.saved_tensors
        _, to_states, to_weight = _through_head(states, weight, targets, grads[0], learned=True)
        return to_states, to_weight, None


def token_loss(model: PreTrainedModel, tiles: Tiles, scale: float) -> Tensor:
    """`scale` times the summed negative log-likelihood of the targets (nats), ready for `backward()`."""
    states, weight = hidden(model, tiles), head_weight(model)
    loss: Tensor = _TokenLoss.apply(states, weight, tiles.targets.to(model.device), scale)  # type: ignore[no-untyped-call]
    return loss


def token_logprobs(model: PreTrainedModel, tiles: Tiles) -> Tensor:
    """The log p of every target, float32 `[scored]` (nats)."""
    states, weight = hidden(model, tiles), head_weight(model)
    values: Tensor = _TokenLogprobs.apply(states, weight, tiles.targets.to(model.device))  # type: ignore[no-untyped-call]
    return values


def group_logprobs(model: PreTrainedModel, tiles: Tiles, groups: int) -> tuple[Tensor, Tensor]:
    """Sums of log p by sequence and group, and the numbers of tokens in them: both `[members, groups + 1]`, group 0 the trunk."""
    values = token_logprobs(model, tiles)
    place = (tiles.owner * (groups + 1) + tiles.group).to(values.device)
    size = len(tiles.members) * (groups + 1)
    sums = torch.zeros(size, dtype=torch.float32, device=values.device).index_add(0, place, values)
    counts = torch.bincount(place, minlength=size).to(torch.float32)
    return sums.view(-1, groups + 1), counts.view(-1, groups + 1)


def completion_logprobs(model: PreTrainedModel, sequences: Several[Sequence], branches: int) -> tuple[Tensor, Tensor]:
    """Summed log p of every branch and its scored tokens, both `[sequences, branches]`, without gradients, in the order given."""
    sums = torch.zeros(len(sequences), branches)
    counts = torch.zeros(len(sequences), branches)
    with torch.no_grad(), tiled_attention(model):
        for tiles in tile(sequences, TILE_TOKENS):
            found, number = within(model, lambda whole, tiles=tiles: group_logprobs(whole, tiles, branches))  # type: ignore[misc]
            sums[list(tiles.members)], counts[list(tiles.members)] = found[:, 1:].cpu(), number[:, 1:].cpu()
    return sums, counts


def mean_loss(model: PreTrainedModel, sequences: Several[Sequence]) -> tuple[float, int]:
    """Mean negative log-likelihood of the scored tokens (nats a token) and their number, without gradients."""
    total, tokens = 0.0, 0
    with torch.no_grad(), tiled_attention(model):
        for tiles in tile(sequences, TILE_TOKENS):
            total -= float(within(model, lambda whole, tiles=tiles: token_logprobs(whole, tiles)).sum())  # type: ignore[misc]
            tokens += len(tiles.targets)
    return (total / tokens if tokens else math.nan), tokens


def perplexity(model: PreTrainedModel, sequences: Several[Sequence]) -> float:
    """The exponential of the mean loss: how many tokens the model wavers between. Infinite instead of an overflow."""
    loss, _ = mean_loss(model, sequences)
    return math.exp(loss) if loss < 700 else math.inf


def check_fast_path(model: PreTrainedModel, sequences: Several[Sequence]) -> float:
    """Largest difference (nats a token, mean of a sequence) between a packed row and the model's own forward of each sequence alone; an
    `InputError` where they part.

    Every architecture passes here once before it is trained: a trunk that wants more than positions, or does not hand its attention
    the packing, must not be trained wrongly in silence.
    """
    worst = 0.0
    plain = [item for item in sequences if not any(item.branches) and item.targets][:3]
    with torch.no_grad(), tiled_attention(model):
        packed = [(tiles, group_logprobs(model, tiles, 0)) for tiles in tile(plain, TILE_TOKENS)]
    found = {
        m: -float(s) / float(n) for tiles, (sums, counts) in packed for m, s, n in zip(tiles.members, sums[:, 0], counts[:, 0], strict=True)
    }
    for number, item in enumerate(plain):
        fast = found[number]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([item.tokens], device=model.device), use_cache=False).logits[0].float()
        logs = torch.log_softmax(logits[list(item.predictors)], dim=-1)
        slow = -float(logs.gather(1, torch.tensor(item.targets, device=model.device)[:, None]).mean())
        worst = max(worst, abs(fast - slow))
    limit = 1e-3 if model.dtype == torch.float32 else 0.1
    if worst > limit:
        raise InputError(
            f"{model.config.model_type} models score packed rows {worst:.3g} nats a token apart from single ones",
            remedy="This architecture needs more than positions and packed attention and cannot be trained here.",
        )
    return worst
