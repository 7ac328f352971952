"""Log-likelihoods of continuations under a live model: the trunk over packed rows, the head only where a token is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel

from eutectic.context import Context
from eutectic.errors import InputError, WorkError
from eutectic.evaluate.tree import BATCH_TOKENS, ROW_TOKENS, Ask, Batch, batches, rows
from eutectic.models.attention import tiled_attention
from eutectic.models.packing import additive

Head = Callable[[torch.Tensor], torch.Tensor]
# Scored places whose logits are in memory at once: 128 x 49,152 x 4 bytes = 25 MB, which stays in the allocator between calls.
HEAD_ROWS = 128
# Rows up to this length attend by plain matrix products, which hold all scores at once (2048 tokens in rows of 512: 20 MB).
FAST_LENGTH = 512


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

    Log-softmax is taken in float32 over the model's logits; sums are float64. Raises `InputError` for an ask longer than the model's
    context and `WorkError` when the logits are not finite.
    """
    check_lengths(model, groups)
    head = scoring_head(model)
    total = torch.zeros(sum(map(len, groups)), dtype=torch.float64)
    for batch in batches(rows(groups, row_tokens), batch_tokens):
        total.index_add_(0, batch.asks, targets(model, head, batch))
        context.progress.advance(batch.items / max(1, len(total)) * len(groups))
    values = iter(total.tolist())
    return [[next(values) for _ in group] for group in groups]


def targets(model: PreTrainedModel, head: Head, batch: Batch) -> torch.Tensor:
    """Log-probabilities `[targets]`, float64 on the CPU, of a batch's targets."""
    device = model.device
    mask = additive(batch.mask, model.dtype).to(device)
    attention = tiled_attention(model) if batch.mask.shape[-1] <= FAST_LENGTH else nullcontext()
    with attention:
        hidden = trunk(model)(
            input_ids=batch.tokens.to(device), attention_mask=mask, position_ids=batch.positions.to(device), use_cache=False
        ).last_hidden_state
    chosen = hidden.reshape(-1, hidden.shape[-1])[batch.nodes.to(device)]
    out = torch.empty(len(batch.pairs), dtype=torch.float64)
    done = 0
    for start in range(0, len(chosen), HEAD_ROWS):
        logits = head(chosen[start : start + HEAD_ROWS]).float()
        stop = int(torch.searchsorted(batch.pairs[:, 0].contiguous(), start + len(logits)))
        pairs = batch.pairs[done:stop].to(device)
        values = logits[pairs[:, 0] - start, pairs[:, 1]] - torch.logsumexp(logits, -1)[pairs[:, 0] - start]
        out[done:stop] = values.double().cpu()
        done = stop
    if not torch.isfinite(out).all():
        raise WorkError("the model's logits are not finite numbers", remedy="Its weights are broken; look at the training's loss curve.")
    return out


def trunk(model: PreTrainedModel) -> torch.nn.Module:
    """The model without its head."""
    found: Any = model.get_decoder()  # type: ignore[no-untyped-call]
    if found is None or found is model:
        raise InputError(f"{type(model).__name__} has no trunk that can be called apart from its head", remedy="Use a decoder-only model.")
    assert isinstance(found, torch.nn.Module)
    return found


def scoring_head(model: PreTrainedModel) -> Head:
    """The map from trunk output to logits, checked against the whole model on a short row.

    Most heads are one matrix; Gemma 2 also caps its logits and Granite or Cohere scale them, which is read from the configuration.
    """
    matrix: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    cap = getattr(model.config, "final_logit_softcapping", None)
    factor = 1.0 / getattr(model.config, "logits_scaling", 1.0) * getattr(model.config, "logit_scale", 1.0)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = matrix(hidden)
        logits = logits if factor == 1.0 else logits * factor
        return torch.tanh(logits / cap) * cap if cap else logits

    row = torch.arange(1, 9, device=model.device)[None] % model.config.vocab_size
    whole = model(input_ids=row, use_cache=False).logits
    apart = head(trunk(model)(input_ids=row, use_cache=False).last_hidden_state)
    if torch.isfinite(whole).all() and not torch.allclose(whole, apart, atol=1e-3, rtol=1e-3):
        raise InputError(
            f"the head of {type(model).__name__} does more than Eutectic knows of",
            remedy="Report the model class; it cannot be scored yet.",
        )
    return head


def context_length(model: PreTrainedModel) -> int:
    """Most tokens a path may have: the positions the model knows, or its attention window (a packed row knows no window)."""
    config = model.config
    known = [getattr(config, "max_position_embeddings", None), getattr(config, "sliding_window", None)]
    if not getattr(config, "use_sliding_window", True):
        known = known[:1]
    return min([int(value) for value in known if value] or [1 << 30])


def check_lengths(model: PreTrainedModel, groups: Sequence[Sequence[Ask]]) -> None:
    """Raises `InputError` when an ask does not fit into the model's context."""
    limit = context_length(model)
    for number, group in enumerate(groups):
        longest = max(len(ask.tokens) for ask in group)
        if longest > limit:
            raise InputError(
                f"item {number + 1} has {longest} tokens and the model's context holds {limit}", remedy="Shorten the item or take it out."
            )
