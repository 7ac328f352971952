"""How far a stage moved the distribution of the next token: KL(policy || start) over the whole vocabulary.

Before training the starting model's last hidden states at the scored positions of some held-out pairs are kept, a few MB; afterwards
its head, read from its checkpoint, makes its logits of them again. So both distributions are exact, two models never stand in memory
together, and no `[tokens, vocabulary]` matrix exists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Several
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.models.attention import tiled_attention
from eutectic.models.checkpoint import open_checkpoint
from eutectic.models.logprobs import TILE_TOKENS, head_weight, hidden
from eutectic.models.packing import Sequence, tile
from eutectic.models.sharded import within

PAIRS = 64  # at most
ROWS, COLUMNS = 256, 8192  # of logits in float32, and of the head as it is cast for them


def some(pairs: Several[Sequence]) -> list[Sequence]:
    """At most `PAIRS` of the pairs (at least one is given), evenly spread over them."""
    return list(pairs[:: math.ceil(len(pairs) / PAIRS)])


def states(model: PreTrainedModel, pairs: Several[Sequence]) -> Tensor:
    """Last hidden states at the scored positions, `[scored, size]` in the model's type; the same pairs always give the same order."""
    with torch.no_grad(), tiled_attention(model):
        return torch.cat([within(model, lambda whole, tiles=tiles: hidden(whole, tiles)) for tiles in tile(pairs, TILE_TOKENS)])  # type: ignore[misc]


def start_head(start: Path) -> Tensor:
    """The vocabulary head of a checkpoint, `[vocabulary, size]`; a tied one stands under the embedding's name."""
    checkpoint = open_checkpoint(start)
    return checkpoint.tensor("lm_head.weight" if "lm_head.weight" in checkpoint.names else "model.embed_tokens.weight")


def kl(model: PreTrainedModel, pairs: Several[Sequence], kept: Tensor, start: Path) -> float:
    """Mean over the scored positions of sum_v p(v) (log p(v) - log q(v)), nats a token; p is `model`, q the checkpoint `start`.

    `kept` is what `states` gave of q for the same `pairs`. Logits and softmax are float32: bf16 logits alone would show a divergence.
    """
    found = states(model, pairs)
    mine = within(model, lambda whole: head_weight(whole).detach().clone())
    theirs = start_head(start).to(found.device, found.dtype)
    total = torch.zeros((), dtype=torch.float64)
    for first in range(0, len(found), ROWS):
        rows = slice(first, first + ROWS)
        p = torch.log_softmax(_logits(found[rows], mine), dim=-1)
        q = torch.log_softmax(_logits(kept[rows].to(found.device), theirs), dim=-1)
        total += (p.exp() * p.sub(q)).sum(dtype=torch.float64).cpu()
    return max(0.0, float(total)) / len(found)  # rounding may leave a model a hair below itself


def _logits(rows: Tensor, weight: Tensor) -> Tensor:
    """Float32 logits, `[rows, vocabulary]`; the head is cast block by block, so that no float32 copy of it exists."""
    return torch.cat([rows.float() @ block.float().t() for block in torch.split(weight, COLUMNS)], dim=1)
