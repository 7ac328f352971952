"""Attention over packed rows: the sequences of a row are taken out of it, attend within themselves, and are put back.

`attend` stands in the place of transformers' own attention while `tiled_attention` lasts. The linear maps before and after it read the
row as it is, without padding; only the attention of a block of sequences is padded, to its longest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from eutectic.errors import InputError
from eutectic.models.packing import Block, additive

FAST = "eutectic_rows"
# On a CPU, products of matrices beat `scaled_dot_product_attention`, whose backward is slow (docs/log.md), until the scores
# `[heads, width, width]` of a long sequence fill the memory.
WIDEST_PRODUCT = 1024
QUERIES = 128  # a product takes so many queries at a time and only the keys up to the last of them: up to half of all scores are spared


class Rows:
    """The blocks of a row on one device, with the index of every place and head in the order in which attention wants them."""

    def __init__(self, blocks: Several[Block], tokens: int, dtype: torch.dtype, device: torch.device) -> None:
        self.shapes = [(block.documents, block.width) for block in blocks]
        self.masks = [None if block.mask is None else additive(block.mask.to(device), dtype) for block in blocks]
        self._blocks, self._tokens, self._device = blocks, tokens, device
        self._index: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] = {}

    def index(self, groups: int, shared: int) -> tuple[Tensor, Tensor, Tensor]:
        """For a row `[tokens * groups * shared, size]`: where each place of the blocks `[documents, groups, width, shared]` comes from,
        where each place of the row went, and which places of the blocks are padding.
        """
        if (groups, shared) not in self._index:
            heads = torch.arange(groups * shared).view(groups, 1, shared)
            there, empty = [], []
            for block in self._blocks:
                places = block.places.view(block.documents, 1, block.width, 1) * (groups * shared) + heads
                padded = torch.zeros(block.documents * block.width, dtype=torch.bool).index_fill_(0, block.padding, value=True)
                there.append(places.flatten())
                empty.append(padded.view(block.documents, 1, block.width, 1).expand_as(places).flatten())
            joined, padding = torch.cat(there), torch.cat(empty)
            back = torch.empty(self._tokens * groups * shared, dtype=torch.long)
            back[joined[~padding]] = torch.arange(len(joined))[~padding]
            found = (joined, back, padding.nonzero()[:, 0])
            self._index[groups, shared] = tuple(part.to(self._device) for part in found)  # type: ignore[assignment]
        return self._index[groups, shared]


class _Move(torch.autograd.Function):
    """Rows in another order. Every row goes to one place, so the gradient comes back the same way; what came from `empty` has none."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, there: Tensor, back: Tensor, empty: Tensor | None) -> Tensor:
        ctx.save_for_backward(back, empty)
        return rows.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        back, empty = ctx.saved_tensors
        found = grads[0].contiguous().index_select(0, back)
        return found if empty is None else found.index_fill_(0, empty, 0.0), None, None, None


def _out(rows: Rows, states: Tensor, groups: int) -> list[Tensor]:
    """`[1, heads, tokens, size]` as one `[documents, groups, width * heads / groups, size]` a block."""
    _, heads, tokens, size = states.shape
    shared = heads // groups
    there, back, _ = rows.index(groups, shared)
    moved: Tensor = _Move.apply(states.transpose(1, 2).reshape(tokens * heads, size), there, back, None)  # type: ignore[no-untyped-call]
    parts = torch.split(moved, [documents * width * heads for documents, width in rows.shapes])
    return [part.view(documents, groups, width * shared, size) for part, (documents, width) in zip(parts, rows.shapes, strict=True)]


def _in(rows: Rows, parts: list[Tensor], heads: int, tokens: int) -> Tensor:
    """What the blocks found, in the shapes of `_out`, back in the row: `[1, tokens, heads, size]`."""
    groups, size = parts[0].shape[1], parts[0].shape[3]
    there, back, empty = rows.index(groups, heads // groups)
    joined = torch.cat([part.reshape(-1, size) for part in parts])
    moved: Tensor = _Move.apply(joined, back, there, empty)  # type: ignore[no-untyped-call]
    return moved.view(1, tokens, heads, size)


@dataclass(frozen=True)
class _How:
    """What a model wants done to its scores."""

    scale: float
    dropout: float
    softcap: float | None


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
    rows: Rows | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Softmax attention, `[batch, heads, width, size]` -> `[batch, width, heads, size]`; with `rows`, within each packed sequence only."""
    how = _How(query.shape[-1] ** -0.5 if scaling is None else scaling, dropout if module.training else 0.0, softcap)
    if rows is None:
        return _scores(query, key, value, attention_mask, how).transpose(1, 2), None
    widest = max(width for _, width in rows.shapes)
    if sliding_window is not None and widest > sliding_window:
        raise InputError(
            f"a sequence of {widest} tokens is longer than the model's attention window of {sliding_window}",
            remedy="Lower the stage's `sequence` to the window.",
        )
    groups = key.shape[1]
    states = (_out(rows, part, groups) for part in (query, key, value))
    parts = [_block(q, k, v, mask, how) for q, k, v, mask in zip(*states, rows.masks, strict=True)]
    return _in(rows, parts, query.shape[1], query.shape[2]), None


def _block(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, how: _How) -> Tensor:
    """Attention of one block, all in the shapes of `_out`, by whichever way is the better one on its device."""
    documents, groups, width, size = key.shape
    shared = query.shape[2] // width
    plain = not how.dropout and how.softcap is None
    if plain and query.device.type == "cpu" and width <= WIDEST_PRODUCT:
        flat = (part.flatten(0, 1) for part in (query, key * how.scale, value))
        found: Tensor = _Products.apply(*flat, mask)  # type: ignore[no-untyped-call]
        return found.view_as(query)
    heads = query.view(documents, groups, width, shared, size).transpose(2, 3).reshape(documents, groups * shared, width, size)
    if how.softcap is None:
        key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
        out = scaled_dot_product_attention(heads, key, value, mask, how.dropout, is_causal=mask is None, scale=how.scale)
    else:
        out = _scores(heads, key, value, mask, how)
    return out.view(documents, groups, shared, width, size).transpose(2, 3).reshape_as(query)


class _Products(torch.autograd.Function):
    """softmax(Q K^T + mask) V of `[groups, width * shared, size]` queries, which see no key behind their own place; None is just that.

    The queries that share a key head lie side by side in one product, so nothing is repeated.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        width, shared = key.shape[1], query.shape[1] // key.shape[1]
        causal = additive(torch.ones(min(width, QUERIES), min(width, QUERIES), dtype=torch.bool).tril(), query.dtype)
        out, kept = torch.empty_like(query), list[Tensor]()
        for start in range(0, width, QUERIES):
            stop = min(start + QUERIES, width)
            rows = slice(start * shared, stop * shared)
            scores = torch.bmm(query[:, rows], key[:, :stop].transpose(1, 2))
            if mask is None:
                scores.view(len(key), stop - start, shared, stop)[..., start:].add_(causal[: stop - start, None, : stop - start])
            else:
                scores.view(len(mask), -1, stop - start, shared, stop).add_(mask[:, :, start:stop, None, :stop])
            kept.append(torch.softmax(scores, dim=-1))
            out[:, rows] = torch.bmm(kept[-1], value[:, :stop])
        ctx.save_for_backward(query, key, value, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        shared = query.shape[1] // key.shape[1]
        to_query, to_key, to_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for number, weights in enumerate(kept):
            start, stop = number * QUERIES, weights.shape[2]
            rows = slice(start * shared, stop * shared)
            grad = grads[0][:, rows]
            slopes = torch.bmm(grad, value[:, :stop].transpose(1, 2))
            slopes = torch.ops.aten._softmax_backward_data(slopes, weights, -1, weights.dtype)
            to_query[:, rows] = torch.bmm(slopes, key[:, :stop])
            # The small matrix is the one that is transposed.
            to_key[:, :stop] += torch.bmm(query[:, rows].transpose(1, 2), slopes).transpose(1, 2)
            to_value[:, :stop] += torch.bmm(grad.transpose(1, 2), weights).transpose(1, 2)
        return to_query, to_key, to_value, None


def _scores(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, how: _How) -> Tensor:
    """Attention on the whole score matrix, `[batch, heads, width, size]`; `mask` is added to the scores, None is plain causal."""
    batch, heads, width, size = query.shape
    groups, seen = key.shape[1], key.shape[2]
    stacked = query.reshape(batch * groups, heads // groups * width, size)
    scores = torch.bmm(stacked, key.reshape(batch * groups, seen, size).transpose(1, 2) * how.scale).view(batch, heads, width, seen)
    if how.softcap is not None:
        scores = torch.tanh(scores / how.softcap) * how.softcap
    if mask is None:
        mask = additive(torch.ones(width, seen, dtype=torch.bool, device=query.device).tril(seen - width), query.dtype)
    weights = torch.nn.functional.dropout(torch.softmax(scores + mask, dim=-1), how.dropout)
    mixed = torch.bmm(weights.view(batch * groups, heads // groups * width, seen), value.reshape(batch * groups, seen, size))
    return mixed.view(batch, heads, width, size)


AttentionInterface.register(FAST, attend)


@contextlib.contextmanager
def tiled_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let `model` attend by `attend` while the context lasts; generation with a cache wants its usual attention back."""
    before = model.config._attn_implementation
    model.config._attn_implementation = FAST
    try:
        yield
    finally:
        model.config._attn_implementation = before
