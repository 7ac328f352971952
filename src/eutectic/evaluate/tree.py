"""Packing: many continuations in one row, each token computed once.

A row is a forest of tokens. A token sees its ancestors and itself, its position is its depth, so every path from a root reads as if it
stood alone; paths that begin alike share their beginning (the question of an item, or the first words of two options). The last token
of a path is never fed to the model: only its probability is wanted. Beginnings that many items share are branches of their own
(evaluate/branches.py); rows then hold what comes behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

# Attention within a row costs the square of its length: rows of 80 tokens were 8 % faster than rows of 160 and 31 % than rows of 512
# (docs/log.md). An item that is longer has a row of its own.
ROW_TOKENS = 80
BATCH_TOKENS = 2048
# Items that share at least this part of their tokens with the item before stand in one row with it, up to the wider length.
SHARED_PART, WIDE_ROW = 1 / 3, 1024


@dataclass(frozen=True)
class Ask:
    """What is wanted: the log-probability of `tokens[start:]` given `tokens[:start]`; `start` is at least 1."""

    tokens: tuple[int, ...]
    start: int


Numbered = Sequence[tuple[int, Ask]]  # the asks of an item, each with the number its caller knows it by


@dataclass
class Row:
    """A forest of tokens behind the first `skip` ones of every path. `parents[i]` is the index of the token before token `i` (-1 for a
    first token); a target `(node, token, ask)` wants log p(token | path to node) counted for an ask.
    """

    skip: int = 0
    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    targets: list[tuple[int, int, int]] = field(default_factory=list)
    _children: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    def add(self, index: int, ask: Ask) -> None:
        """Grow the forest by one ask, known to the caller by `index`."""
        node = -1
        for place in range(self.skip, len(ask.tokens)):
            token = ask.tokens[place]
            if place >= ask.start:
                self.targets.append((node, token, index))
            if place + 1 < len(ask.tokens):
                node = self._child(node, token)

    def _child(self, node: int, token: int) -> int:
        found = self._children.get((node, token))
        if found is None:
            found = self._children[node, token] = len(self.tokens)
            self.tokens.append(token)
            self.parents.append(node)
            self.depths.append(self.depths[node] + 1 if node >= 0 else self.skip)
        return found

    def ends(self) -> list[int]:
        """For every token the index behind its last descendant."""
        ends = list(range(1, len(self.tokens) + 1))
        for index in range(len(ends) - 1, -1, -1):
            if (parent := self.parents[index]) >= 0:
                ends[parent] = max(ends[parent], ends[index])
        return ends


@dataclass(frozen=True)
class Batch:
    """Rows padded to one length. `tokens`, `positions` and `ends` (of each token's subtree) `[rows, length]`; `nodes` `[scored]`, flat
    places where logits are wanted; `pairs` `[targets, 2]` of (index into nodes, token), sorted; `asks` `[targets]`, whom each target
    counts for.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    ends: torch.Tensor
    nodes: torch.Tensor
    pairs: torch.Tensor
    asks: torch.Tensor
    items: int


def rows(items: Sequence[Numbered], skip: int = 0, capacity: int = ROW_TOKENS) -> list[Row]:
    """Forests of whole items (all options of one), in the order given; items that are alike should be neighbours.

    A row holds at most `capacity` tokens, unless one item is longer or items share much with each other. The first `skip` tokens, which
    all paths share, are left out.
    """
    made, members, size = list[Row](), list[tuple[int, Ask]](), 0
    for item in items:
        alone = len(grown(item, skip).tokens)
        shared = beginning(members[-1][1].tokens, item[0][1].tokens) - skip if members else 0
        wider = shared >= SHARED_PART * alone and size + alone - shared <= WIDE_ROW
        if members and not (wider or size + alone - shared <= capacity):
            made.append(grown(members, skip))
            members, size = [], 0
            shared = 0
        members += item
        size += alone - shared
    return [*made, grown(members, skip)] if members else made


def beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def grown(asks: Numbered, skip: int = 0) -> Row:
    """One row that holds all `asks`; in the order of their tokens, so that descendants stand right behind their ancestor."""
    row = Row(skip)
    for index, ask in sorted(asks, key=lambda pair: pair[1].tokens):
        row.add(index, ask)
    return row


def batches(forests: Sequence[Row], tokens: int = BATCH_TOKENS) -> Iterator[Batch]:
    """Batches of rows of like length, longest first, each of at most `tokens` tokens with padding (or one row)."""
    order = sorted(range(len(forests)), key=lambda i: (-len(forests[i].tokens), i))
    start = 0
    while start < len(order):
        length = len(forests[order[start]].tokens)
        count = max(1, tokens // length)
        yield collate([forests[i] for i in order[start : start + count]])
        start += count


def collate(forests: Sequence[Row]) -> Batch:
    """Tensors of some rows; padding sees only itself."""
    length = max(len(row.tokens) for row in forests)
    tokens = np.zeros((len(forests), length), dtype=np.int64)
    positions = np.zeros_like(tokens)
    ends = np.tile(np.arange(1, length + 1), (len(forests), 1))
    targets: list[tuple[int, int, int]] = []
    for r, row in enumerate(forests):
        tokens[r, : len(row.tokens)] = row.tokens
        positions[r, : len(row.tokens)] = row.depths
        ends[r, : len(row.tokens)] = row.ends()
        targets += [(r * length + node, token, ask) for node, token, ask in row.targets]
    wanted = np.array(sorted(targets), dtype=np.int64).reshape(-1, 3)
    nodes, index = np.unique(wanted[:, 0], return_inverse=True)
    return Batch(
        torch.from_numpy(tokens),
        torch.from_numpy(positions),
        torch.from_numpy(ends),
        torch.from_numpy(nodes),
        torch.from_numpy(np.stack([index, wanted[:, 1]], axis=1)),
        torch.from_numpy(wanted[:, 2]),
        len({ask for _, _, ask in targets}),
    )
