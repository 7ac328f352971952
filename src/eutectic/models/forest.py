"""Attention over rows that are forests of tokens and may go on from a beginning all of them share.

A row holds its tokens in the order of a walk through its trees, every token before its descendants. Then one number a token says who
sees whom: `ends[i]` is the place behind the last descendant of token i, and token i sees token j where j <= i < ends[j]. Positions are
depths, so each path reads as if it stood alone. Keys and values of a shared beginning are kept once, layer by layer, and every row
attends to them beside its own tokens. Windows of attention (Mistral, Gemma) are kept exactly, by difference of positions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from eutectic.models.packing import additive

FOREST = "eutectic_forest"
# Queries a product takes at a time: it takes only the keys up to the last of them, so up to half of the scores of a long row are spared.
QUERIES = 128
# Scores in memory at once: 2 MB in float32, which stay in a processor's cache; an accelerator wants larger products.
SCORES_CPU, SCORES = 1 << 19, 1 << 26

Held = dict[int, tuple[Tensor, Tensor]]  # keys and values `[1, groups, tokens, size]` of some tokens by layer
Masks = list[tuple[Tensor | None, Tensor]]  # for each chunk of queries what is added to the scores of the beginning and of the row


class Forest:
    """Some rows: `ends`, `positions` `[rows, length]`; `beginning` is what was read before, piece by piece.

    With `read` the keys and values of the rows (one row) are kept in `self.held`, to be the beginning of others. `self.windows` tells
    afterwards which windows the model's layers asked for.
    """

    def __init__(self, ends: Tensor, positions: Tensor, beginning: Sequence[Held] = (), *, read: bool = False) -> None:
        self.ends, self.positions, self.beginning, self.read = ends, positions, beginning, read
        self.held: Held = {}
        self.windows = set[int]()
        self._masks: dict[tuple[int | None, int, torch.dtype], Masks] = {}

    def masks(self, window: int | None, past: int, dtype: torch.dtype) -> Masks:
        """`[rows, queries, past]` (None: all is seen) and `[rows, queries, keys]` for each chunk of queries, made once for all layers."""
        if (window, past, dtype) not in self._masks:
            length = self.ends.shape[1]
            chunks = (slice(start, min(start + QUERIES, length)) for start in range(0, length, QUERIES))
            self._masks[window, past, dtype] = [(self._past(part, window, past, dtype), self._own(part, window, dtype)) for part in chunks]
        return self._masks[window, past, dtype]

    def _past(self, part: slice, window: int | None, past: int, dtype: torch.dtype) -> Tensor | None:
        if window is None or int(self.positions[:, part].max()) < window:
            return None
        distance = self.positions[:, part, None] - torch.arange(past, device=self.positions.device)
        return additive(distance < window, dtype)

    def _own(self, part: slice, window: int | None, dtype: torch.dtype) -> Tensor:
        places = torch.arange(part.stop, device=self.ends.device)
        here = places[part, None]
        seen = (places <= here) & (self.ends[:, None, : part.stop] > here)
        if window is not None:
            seen &= self.positions[:, part, None] - self.positions[:, None, : part.stop] < window
        return additive(seen, dtype)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None = None,
    *,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    forest: Forest,
    **_: object,
) -> tuple[Tensor, None]:
    """Softmax attention of the rows of a forest, `[rows, heads, length, size]` -> `[rows, length, heads, size]`."""
    if sliding_window is not None:
        forest.windows.add(sliding_window)
    if forest.read:
        forest.held[module.layer_idx] = (key, value)
    pieces = [held[module.layer_idx] for held in forest.beginning]
    rows, heads, length, _size = query.shape
    past = sum(keys.shape[2] for keys, _ in pieces)
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    out = torch.empty_like(query)
    room = SCORES_CPU if query.device.type == "cpu" else SCORES
    together = max(1, room // (heads * min(length, QUERIES) * (past + length)))
    for number, (before, own) in enumerate(forest.masks(sliding_window, past, query.dtype)):
        part = slice(number * QUERIES, number * QUERIES + own.shape[1])
        for start in range(0, rows, together):
            some = slice(start, start + together)
            masks = None if before is None else before[some], own[some]
            out[some, :, part] = _mixed(
                query[some, :, part], key[some, :, : part.stop], value[some, :, : part.stop], pieces, masks, softcap
            )
    return out.transpose(1, 2), None


def _mixed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    pieces: Sequence[tuple[Tensor, Tensor]],
    masks: tuple[Tensor | None, Tensor],
    softcap: float | None,
) -> Tensor:
    """Attention of scaled queries `[rows, heads, queries, size]` to the pieces of the beginning and to the rows' own keys.

    Heads that share a key head lie side by side in one product, so no key is repeated; all rows share one product with the beginning.
    """
    rows, heads, queries, size = query.shape
    groups, seen = key.shape[1], key.shape[2]
    past = sum(keys.shape[2] for keys, _ in pieces)
    stacked = query.view(rows, groups, -1, queries, size).transpose(0, 1).reshape(groups, -1, size)  # rows, heads of a group, queries
    key, value = (part.transpose(0, 1).reshape(groups * rows, seen, size) for part in (key, value))
    scores = query.new_empty(groups, stacked.shape[1], past + seen)
    spots = _spots(pieces)
    for spot, (keys, _) in zip(spots, pieces, strict=True):
        torch.bmm(stacked, keys[0].transpose(1, 2), out=scores[..., spot])
    per_row = (groups * rows, heads // groups * queries)
    torch.bmm(stacked.reshape(*per_row, size), key.transpose(1, 2), out=scores.view(*per_row, past + seen)[..., past:])
    if softcap is not None:
        scores.div_(softcap).tanh_().mul_(softcap)
    split = scores.view(groups, rows, -1, queries, past + seen)
    split[..., past:] += masks[1][:, None]
    if masks[0] is not None:
        split[..., :past] += masks[0][:, None]
    weights = torch.softmax(scores, dim=-1)
    mixed = torch.bmm(weights.view(*per_row, past + seen)[..., past:], value).view_as(stacked)
    for spot, (_, values) in zip(spots, pieces, strict=True):
        mixed.baddbmm_(weights[..., spot], values[0])
    return mixed.view(groups, rows, -1, queries, size).transpose(0, 1).reshape(rows, heads, queries, size)


def _spots(pieces: Sequence[tuple[Tensor, Tensor]]) -> list[slice]:
    """Where the keys of each piece stand among those of the beginning."""
    spots, start = list[slice](), 0
    for keys, _ in pieces:
        spots.append(slice(start, start + keys.shape[2]))
        start = spots[-1].stop
    return spots


AttentionInterface.register(FOREST, attend)


@contextlib.contextmanager
def forest_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let `model` attend by `attend` while the context lasts; every call of its trunk must then be given a `forest`."""
    config = model.get_decoder().config  # type: ignore[no-untyped-call]
    before = config._attn_implementation
    config._attn_implementation = FOREST
    try:
        yield
    finally:
        config._attn_implementation = before


def trunk(model: PreTrainedModel) -> torch.nn.Module:
    """The model without its head."""
    found = model.get_decoder()  # type: ignore[no-untyped-call]
    assert isinstance(found, torch.nn.Module)
    return found


def hidden(model: PreTrainedModel, tokens: Tensor, forest: Forest) -> Tensor:
    """Last hidden states `[rows, length, size]` of `tokens` `[rows, length]`. Call inside `forest_attention(model)`."""
    states: Tensor = trunk(model)(input_ids=tokens, position_ids=forest.positions, use_cache=False, forest=forest).last_hidden_state
    return states


def read(model: PreTrainedModel, tokens: Sequence[int], start: int, beginning: Sequence[Held]) -> Held:
    """Keys and values of `tokens`, which stand at positions `start`... behind `beginning`."""
    ids = torch.tensor([list(tokens)], device=model.device)
    forest = Forest(
        torch.full_like(ids, len(tokens)), torch.arange(start, start + len(tokens), device=model.device)[None], beginning, read=True
    )
    hidden(model, ids, forest)
    return forest.held
