"""Packing: several sequences share a row, each attending to itself only; branches of a sequence share their trunk.

A `Sequence` is a trunk of tokens, optionally with branches that continue it (a prompt with a chosen and a rejected answer, a question
with its options). A row of tiles holds whole sequences one behind another; `tree_mask` lets a token see the earlier tokens of its own
trunk and branch, positions count along trunk and branch, so packing changes no number but for rounding (Krell et al. 2021,
arXiv 2107.02027, for packing without contamination; the tree is the same idea one level deeper).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from collections.abc import Sequence as Several
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

FAST = "eutectic_tiles"
# Narrow tiles cost least: attention is quadratic in the width. Below this width rows of short documents would not fill up.
SMALLEST_TILE = 128


@dataclass(frozen=True)
class Sequence:
    """`tokens`: trunk, then the branches one behind another; `branches[i]` is 0 in the trunk, k in the k-th branch.

    `predictors[j]` is the token from whose hidden state `targets[j]` is scored; `groups[j]` says which sum the score enters
    (0: trunk, k: branch k).
    """

    id: str
    tokens: tuple[int, ...]
    branches: tuple[int, ...]
    positions: tuple[int, ...]
    predictors: tuple[int, ...]
    targets: tuple[int, ...]
    groups: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tokens)


def sequence(
    name: str, trunk: Several[int], learned: Several[bool], branches: Several[tuple[Several[int], Several[bool]]] = ()
) -> Sequence:
    """A sequence from its trunk and branches, each with a flag for every token that is scored. A first trunk token cannot be scored."""
    if not trunk:
        raise ValueError("a sequence needs a trunk")
    tokens, branch, positions = list(trunk), [0] * len(trunk), list(range(len(trunk)))
    scored = [(i - 1, trunk[i], 0) for i in range(1, len(trunk)) if learned[i]]
    for number, (ids, flags) in enumerate(branches, 1):
        start = len(tokens)
        scored += [(start + i - 1 if i else len(trunk) - 1, ids[i], number) for i in range(len(ids)) if flags[i]]
        tokens += ids
        branch += [number] * len(ids)
        positions += range(len(trunk), len(trunk) + len(ids))
    predictors, targets, groups = zip(*scored, strict=True) if scored else ((), (), ())
    return Sequence(name, tuple(tokens), tuple(branch), tuple(positions), predictors, targets, groups)


@dataclass(frozen=True)
class Tiles:
    """Rows `[rows, width]` ready for a model, and what is scored in them (`[scored]`, indices into the flattened rows).

    `owner` is the index of the sequence within `members`, `group` its branch; `members` are indices into the caller's list.
    """

    members: tuple[int, ...]
    ids: Tensor
    positions: Tensor
    mask: Tensor  # [rows, 1, width, width], bool, True where a token is seen
    predictors: Tensor
    targets: Tensor
    owner: Tensor
    group: Tensor
    tokens: int  # without padding


def pack(lengths: Several[int], capacity: int) -> list[list[int]]:
    """Indices of the sequences of each row: longest first, each into the first row with room for it (first-fit decreasing).

    The same lengths always give the same rows. A sequence longer than `capacity` has a row of its own.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        place = next((row for row, free in enumerate(room) if free >= lengths[index]), None)
        if place is None:
            rows.append([index])
            room.append(capacity - lengths[index])
        else:
            rows[place].append(index)
            room[place] -= lengths[index]
    return rows


def tile(sequences: Several[Sequence], tokens: int) -> list[Tiles]:
    """All `sequences` as batches of tiles of at most about `tokens` places each, wide tiles first; deterministic.

    A tile is as wide as the power of two above its first (longest) sequence asks for; shorter ones fill its end.
    """
    order = sorted(range(len(sequences)), key=lambda i: (-len(sequences[i]), i))
    rows: list[list[int]] = []
    room: list[int] = []
    first_open = 0
    for index in order:
        length = len(sequences[index])
        place = next((row for row in range(first_open, len(rows)) if room[row] >= length), None)
        if place is None:
            width = max(SMALLEST_TILE, 1 << (length - 1).bit_length())
            rows.append([index])
            room.append(width - length)
        else:
            rows[place].append(index)
            room[place] -= length
        while first_open < len(rows) and room[first_open] <= 0:
            first_open += 1
    return [_build(sequences, rows[start:stop]) for start, stop in _batches([sum(len(sequences[i]) for i in row) for row in rows], tokens)]


def _batches(filled: list[int], tokens: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose common width (of the fullest) times their number stays within `tokens`, at least one row each."""
    start = 0
    while start < len(filled):
        stop, width = start + 1, filled[start]
        while stop < len(filled) and max(width, filled[stop]) * (stop + 1 - start) <= tokens and filled[stop] > width // 2:
            width = max(width, filled[stop])
            stop += 1
        yield start, stop
        start = stop


def _build(sequences: Several[Sequence], rows: list[list[int]]) -> Tiles:
    """Rows of sequences as tensors; padding is token 0, seen by itself alone and never scored."""
    width = max(sum(len(sequences[i]) for i in row) for row in rows)
    width = -(-width // 8) * 8  # vector lanes
    ids, positions = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    document, branch = torch.full((len(rows), width), -1), torch.zeros(len(rows), width, dtype=torch.long)
    predictors, targets, owner, group = list[int](), list[int](), list[int](), list[int]()
    members: list[int] = []
    for number, row in enumerate(rows):
        start = 0
        for index in row:
            item, stop = sequences[index], start + len(sequences[index])
            ids[number, start:stop] = torch.tensor(item.tokens)
            positions[number, start:stop] = torch.tensor(item.positions)
            document[number, start:stop] = len(members)
            branch[number, start:stop] = torch.tensor(item.branches)
            predictors += [number * width + start + p for p in item.predictors]
            targets += item.targets
            group += item.groups
            owner += [len(members)] * len(item.targets)
            members.append(index)
            start = stop
    read = sum(len(sequences[i]) for i in members)
    scored = (torch.tensor(values, dtype=torch.long) for values in (predictors, targets, owner, group))
    return Tiles(tuple(members), ids, positions, tree_mask(document, branch), *scored, tokens=read)  # type: ignore[misc, arg-type]


def tree_mask(document: Tensor, branch: Tensor) -> Tensor:
    """Who sees whom, `[rows, 1, width, width]` bool: the same document, not later, and of the seeing token's branch or the trunk.

    `document` and `branch` are `[rows, width]`; document -1 is padding, which sees itself only (a row of nothing would be NaN).
    """
    width = document.shape[1]
    same = (document[:, :, None] == document[:, None, :]) & (document[:, :, None] >= 0)
    path = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    causal = torch.ones(width, width, dtype=torch.bool, device=document.device).tril()
    return ((same & path & causal) | torch.eye(width, dtype=torch.bool, device=document.device))[:, None]


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A bool mask as the numbers attention adds to its scores: 0 where seen, the lowest finite number elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


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
    **_: object,
) -> tuple[Tensor, None]:
    """Softmax attention by grouped matrix products, `[rows, heads, width, size]` -> `[rows, width, heads, size]`.

    The query heads that share a key head are stacked into one product, so nothing is repeated. On CPU this took a third of the
    time of a masked `scaled_dot_product_attention`, whose backward is slow (docs/log.md).
    """
    rows, heads, width, size = query.shape
    groups, seen = key.shape[1], key.shape[2]
    scale = size**-0.5 if scaling is None else scaling
    stacked = query.reshape(rows * groups, heads // groups * width, size)
    scores = torch.bmm(stacked, key.reshape(rows * groups, seen, size).transpose(1, 2) * scale)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.view(rows, heads, width, seen)
    if attention_mask is None:  # plain text, as transformers asks for it
        causal = torch.ones(width, seen, dtype=torch.bool, device=query.device).tril(seen - width)
        attention_mask = additive(causal, query.dtype)
    scores = scores + attention_mask
    weights = torch.softmax(scores, dim=-1)
    if dropout and module.training:
        weights = torch.nn.functional.dropout(weights, dropout)
    mixed = torch.bmm(weights.view(rows * groups, heads // groups * width, seen), value.reshape(rows * groups, seen, size))
    return mixed.view(rows, heads, width, size).transpose(1, 2), None


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
