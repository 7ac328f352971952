"""Attention over packed rows: the sequences of a row are taken out of it, attend within themselves, and are put back.

`attend` stands in the place of transformers' own attention while `tiled_attention` lasts. The linear maps before and after it read the
row as it is, without padding; only the attention of a block of sequences is padded, to its longest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from collections.abc import Sequence as Several
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from eutectic.errors import InputError
from eutectic.models.packing import Block, additive

FAST = "eutectic_tiles"
# On a CPU, products of matrices beat `scaled_dot_product_attention`, whose backward is slow (docs/log.md), until the scores
# `[heads, width, width]` of a long sequence fill the memory.
WIDEST_PRODUCT = 1024


class Rows:
    """The blocks of a row on one device, with the index of every place and head in the order in which attention wants them."""

    def __init__(self, blocks: Several[Block], tokens: int, dtype: torch.dtype, device: torch.device) -> None:
        self.shapes = [(block.documents, block.width) for block in blocks]
        self.masks = [None if block.mask is None else additive(block.mask.to(device), dtype) for block in blocks]
        self._blocks, self._tokens, self._device = blocks, tokens, device
        self._index: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def index(self, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        """For a row `[tokens * heads, size]`: where each place of the blocks `[documents, heads, width]` comes from, where each place of
        the row went, and which places of the blocks are padding.
        """
        if heads not in self._index:
            there, padding, offset = [], [], 0
            head = torch.arange(heads)
            for block in self._blocks:
                places = block.places.view(block.documents, 1, block.width) * heads + head[:, None]
                there.append(places.flatten())
                row, column = block.padding // block.width, block.padding % block.width
                padding.append((offset + (row[:, None] * heads + head) * block.width + column[:, None]).flatten())
                offset += places.numel()
            joined, empty = torch.cat(there), torch.cat(padding)
            filled = torch.ones(offset, dtype=torch.bool).index_fill_(0, empty, value=False)
            back = torch.empty(self._tokens * heads, dtype=torch.long)
            back[joined[filled]] = torch.arange(offset)[filled]
            self._index[heads] = (joined.to(self._device), back.to(self._device), empty.to(self._device))
        return self._index[heads]


def _taken(rows: Tensor, index: Tensor, empty: Tensor | None) -> Tensor:
    found = rows.index_select(0, index)
    return found if empty is None else found.index_fill_(0, empty, 0.0)


class _Move(torch.autograd.Function):
    """Rows in another order. Every row goes to one place, so the gradient comes back the same way; padding has none."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, there: Tensor, back: Tensor, empty: Tensor | None, empty_back: Tensor | None) -> Tensor:
        ctx.save_for_backward(back, empty_back)
        return _taken(rows, there, empty)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        back, empty_back = ctx.saved_tensors
        return _taken(grads[0].contiguous(), back, empty_back), None, None, None, None


def _out(rows: Rows, states: Tensor) -> list[Tensor]:
    """`[1, heads, tokens, size]` as one `[documents, heads, width, size]` a block."""
    _, heads, tokens, size = states.shape
    there, back, empty = rows.index(heads)
    moved: Tensor = _Move.apply(states.transpose(1, 2).reshape(tokens * heads, size), there, back, empty, None)  # type: ignore[no-untyped-call]
    parts = moved.split([documents * heads * width for documents, width in rows.shapes])
    return [part.view(documents, heads, width, size) for part, (documents, width) in zip(parts, rows.shapes, strict=True)]


def _in(rows: Rows, parts: list[Tensor], tokens: int) -> Tensor:
    """What the blocks found, `[documents, heads, width, size]` each, back in the row: `[1, tokens, heads, size]`."""
    heads, size = parts[0].shape[1], parts[0].shape[3]
    there, back, empty = rows.index(heads)
    joined = torch.cat([part.reshape(-1, size) for part in parts])
    moved: Tensor = _Move.apply(joined, back, there, None, empty)  # type: ignore[no-untyped-call]
    return moved.view(1, tokens, heads, size)


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
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    dropped = dropout if module.training else 0.0
    if rows is None:
        return _products(query, key, value, attention_mask, scale, dropped, softcap).transpose(1, 2), None
    widest = max(width for _, width in rows.shapes)
    if sliding_window is not None and widest > sliding_window:
        raise InputError(
            f"a sequence of {widest} tokens is longer than the model's attention window of {sliding_window}",
            remedy="Lower the stage's `sequence` to the window.",
        )
    parts = [
        _block(*states, mask, scale, dropped, softcap)
        for *states, mask in zip(_out(rows, query), _out(rows, key), _out(rows, value), rows.masks, strict=True)
    ]
    return _in(rows, parts, query.shape[2]), None


def _block(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, dropout: float, softcap: float | None) -> Tensor:
    """Attention of one block by whichever way is the better one on its device."""
    if softcap is None and (q.device.type != "cpu" or q.shape[2] > WIDEST_PRODUCT):
        k, v = (states.repeat_interleave(q.shape[1] // states.shape[1], dim=1) for states in (k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=mask is None, scale=scale)
    return _products(q, k, v, mask, scale, dropout, softcap)


def _products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, dropout: float, softcap: float | None
) -> Tensor:
    """Attention by grouped matrix products: the query heads that share a key head are stacked into one, so nothing is repeated.

    `mask` is what is added to the scores, `[rows, 1, width, seen]`; None is plain causal.
    """
    rows, heads, width, size = query.shape
    groups, seen = key.shape[1], key.shape[2]
    stacked = query.reshape(rows * groups, heads // groups * width, size)
    scores = torch.bmm(stacked, key.reshape(rows * groups, seen, size).transpose(1, 2) * scale).view(rows, heads, width, seen)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is None:
        mask = additive(torch.ones(width, seen, dtype=torch.bool, device=query.device).tril(seen - width), query.dtype)
    weights = torch.softmax(scores.add_(mask), dim=-1)
    if dropout:
        weights = torch.nn.functional.dropout(weights, dropout)
    mixed = torch.bmm(weights.view(rows * groups, heads // groups * width, seen), value.reshape(rows * groups, seen, size))
    return mixed.view(rows, heads, width, size)


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
