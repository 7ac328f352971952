"""Packing: several sequences share a row, each attending to itself only; branches of a sequence share their trunk.

A `Sequence` is a trunk of tokens, optionally with branches that continue it (a prompt with a chosen and a rejected answer, a question
with its options). A row holds whole sequences one behind another without padding between them, so the linear maps read next to none;
attention takes the sequences out of the row, block by block of about equal lengths (models/attention.py). Positions count along trunk and
branch, so packing changes no number but for rounding (Krell et al. 2021, arXiv 2107.02027, for packing without contamination; the tree is
the same idea one level deeper). A row is filled up to the next of a few lengths: products of ever new shapes leave code and holes behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Several
from dataclasses import dataclass

import torch
from torch import Tensor

# Sequences share a block while the shortest fills this share of its width: padding costs attention time, small blocks cost calls.
FULLNESS = 0.8
ROUND = 64  # tokens: rows have lengths that are its multiples


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
class Block:
    """Sequences of about equal length, taken out of the row for attention: `documents` rows of `width` places.

    `places` are indices into the whole row, `[documents * width]` (0 where the block pads); `padding` says where that is, `[padded]`.
    `mask` is `tree_mask`'s, `[documents, 1, width, width]`; None where no sequence has branches: padding stands behind them all, so
    causal attention never shows it to a token.
    """

    documents: int
    width: int
    places: Tensor
    padding: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Tiles:
    """One row `[1, tokens]` ready for a model, and what is scored in it (`[scored]`, indices into the row).

    `owner` is the index of the sequence within `members`, `group` its branch; `members` are indices into the caller's list. `blocks`
    say who attends to whom.
    """

    members: tuple[int, ...]
    ids: Tensor
    positions: Tensor
    blocks: tuple[Block, ...]
    predictors: Tensor
    targets: Tensor
    owner: Tensor
    group: Tensor
    tokens: int


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
    """All `sequences` in rows of at most `tokens` tokens each (a longer sequence has a row of its own); deterministic."""
    return [_build(sequences, row) for row in pack([len(item) for item in sequences], tokens)]


def _build(sequences: Several[Sequence], row: list[int]) -> Tiles:
    """A row of sequences, longest first, as tensors."""
    predictors, targets, owner, group = list[int](), list[int](), list[int](), list[int]()
    starts = list[int]()
    start, items = 0, [sequences[index] for index in row]
    for number, item in enumerate(items):
        predictors += [start + p for p in item.predictors]
        targets += item.targets
        group += item.groups
        owner += [number] * len(item.targets)
        starts.append(start)
        start += len(item)
    blocks = [_block(items[a:b], starts[a:b]) for a, b in _alike([len(item) for item in items])]
    if short := -start % ROUND:  # a sequence of its own, which nothing is scored in and nothing sees
        items.append(sequence("filler", [0] * short, [False] * short))
        blocks.append(_block(items[-1:], [start]))
    ids, positions = (torch.tensor([value for item in items for value in getattr(item, name)])[None] for name in ("tokens", "positions"))
    scored = (torch.tensor(values, dtype=torch.long) for values in (predictors, targets, owner, group))
    return Tiles(tuple(row), ids, positions, tuple(blocks), *scored, tokens=start + short)  # type: ignore[misc, arg-type]


def _alike(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """Ranges of falling `lengths` in which none is much shorter than the first."""
    start = 0
    for stop in range(1, len(lengths) + 1):
        if stop == len(lengths) or lengths[stop] < FULLNESS * lengths[start]:
            yield start, stop
            start = stop


def _block(items: list[Sequence], starts: list[int]) -> Block:
    """Sequences that begin at `starts` of the row as one block; padding sees itself alone."""
    width = -(-len(items[0]) // 8) * 8  # vector lanes
    places = torch.zeros(len(items), width, dtype=torch.long)
    document, branch = torch.full((len(items), width), -1), torch.zeros(len(items), width, dtype=torch.long)
    for number, (item, start) in enumerate(zip(items, starts, strict=True)):
        places[number, : len(item)] = torch.arange(start, start + len(item))
        document[number, : len(item)] = number
        branch[number, : len(item)] = torch.tensor(item.branches)
    plain = not any(any(item.branches) for item in items)
    return Block(
        len(items), width, places.flatten(), (document.flatten() < 0).nonzero()[:, 0], None if plain else tree_mask(document, branch)
    )


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
