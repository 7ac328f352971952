"""Packing: many continuations in one row, each token computed once.

A row is a forest of tokens. A token sees its ancestors and itself, its position is its depth, so every path from a root reads as if it
stood alone; paths that begin alike share their beginning (the question of an item, or the first words of two options). The last token
of a path is never fed to the model: only its probability is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from eutectic.models.packing import pack

# Attention over a row costs the square of its length: measured on CPU with SmolLM2-135M, rows of 80 tokens score 8 % more items a
# second than rows of 160, 256 loses 17 %, 512 loses 31 % (docs/log.md). A longer item has a row of its own.
ROW_TOKENS = 80
BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Ask:
    """What is wanted: the log-probability of `tokens[start:]` given `tokens[:start]`; `start` is at least 1."""

    tokens: tuple[int, ...]
    start: int


@dataclass
class Row:
    """A forest of tokens. `parents[i]` is the index of the token before token `i` (-1 for a first token); a target
    `(node, token, ask)` wants log p(token | path to node) counted for an ask.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    targets: list[tuple[int, int, int]] = field(default_factory=list)
    _children: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    def add(self, index: int, ask: Ask) -> None:
        """Grow the forest by one ask, known to the caller by `index`."""
        node = -1
        for place, token in enumerate(ask.tokens):
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
            self.depths.append(self.depths[node] + 1 if node >= 0 else 0)
        return found


@dataclass(frozen=True)
class Batch:
    """Rows padded to one length. `tokens`, `positions` `[rows, length]`; `mask` `[rows, 1, length, length]`, true where a token sees
    another; `nodes` `[scored]`, flat places where logits are wanted; `pairs` `[targets, 2]` of (index into nodes, token), sorted;
    `asks` `[targets]`, whom each target counts for.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    nodes: torch.Tensor
    pairs: torch.Tensor
    asks: torch.Tensor
    items: int


def rows(groups: Sequence[Sequence[Ask]], capacity: int = ROW_TOKENS) -> list[Row]:
    """Forests of whole groups (the options of an item) of at most `capacity` tokens each, or of one longer group.

    Asks are numbered through in the order of the groups.
    """
    first = np.cumsum([0, *(len(group) for group in groups)])
    sizes = [len(grown([(0, ask) for ask in group]).tokens) for group in groups]
    packed = pack(sizes, capacity)
    return [grown([(int(first[g]) + i, ask) for g in members for i, ask in enumerate(groups[g])]) for members in packed]


def grown(asks: Sequence[tuple[int, Ask]]) -> Row:
    """One row that holds all `asks` (index, ask)."""
    row = Row()
    for index, ask in asks:
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
    mask = np.zeros((len(forests), length, length), dtype=bool)
    targets: list[tuple[int, int, int]] = []
    for r, row in enumerate(forests):
        tokens[r, : len(row.tokens)] = row.tokens
        positions[r, : len(row.tokens)] = row.depths
        seen = mask[r]
        for i, parent in enumerate(row.parents):
            if parent >= 0:
                seen[i, : parent + 1] = seen[parent, : parent + 1]
            seen[i, i] = True
        pads = np.arange(len(row.tokens), length)
        seen[pads, pads] = True
        targets += [(r * length + node, token, ask) for node, token, ask in row.targets]
    wanted = np.array(sorted(targets), dtype=np.int64).reshape(-1, 3)
    nodes, index = np.unique(wanted[:, 0], return_inverse=True)
    return Batch(
        torch.from_numpy(tokens),
        torch.from_numpy(positions),
        torch.from_numpy(mask[:, None]),
        torch.from_numpy(nodes),
        torch.from_numpy(np.stack([index, wanted[:, 1]], axis=1)),
        torch.from_numpy(wanted[:, 2]),
        len({ask for _, _, ask in targets}),
    )
