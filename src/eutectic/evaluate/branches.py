"""Beginnings that many items share (few-shot examples, an instruction, a passage with several questions), found by sorting.

A branch is a stretch of tokens with which all items below it go on from the branch above. It is made where computing it once spares
enough; what fewer items share is left to the rows, in which neighbours share by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from eutectic.evaluate.tree import Ask, beginning

# Tokens a branch must spare: it costs a forward pass of its own, and its items no longer share batches with others.
SPARED = 1024


@dataclass
class Branch:
    """`tokens` stand at positions `start` to `stop`; `members` are the items that end here, like ones side by side."""

    start: int
    tokens: tuple[int, ...] = ()
    members: list[int] = field(default_factory=list)

    @property
    def stop(self) -> int:
        """Position behind the branch."""
        return self.start + len(self.tokens)


def stem(group: Sequence[Ask]) -> tuple[int, ...]:
    """What all asks of an item begin with, up to the token before the first that is scored: a row must still hold that one."""
    first = group[0].tokens
    limit = min(ask.start for ask in group) - 1
    return first[: min([limit, *(beginning(first, ask.tokens) for ask in group)])]


def grow(stems: Sequence[tuple[int, ...]], spared: int = SPARED) -> list[Branch]:
    """The branches of some items, each right before those that go on from it; the first is empty and holds whatever shares nothing."""
    order = sorted(range(len(stems)), key=lambda i: (stems[i], i))
    same = [0, *(beginning(stems[a], stems[b]) for a, b in pairwise(order))]  # with the neighbour before
    root = Branch(0)
    found = [(0, root)]
    waiting = [(0, len(order), 0, root)] if order else []
    while waiting:
        low, high, depth, above = waiting.pop()
        cuts = [place for place in range(low + 1, high) if same[place] <= depth]
        for first, last in pairwise([low, *cuts, high]):
            if last - first == 1:
                above.members.append(first)
                continue
            shared = min(same[first + 1 : last])
            below = above
            if (last - first - 1) * (shared - above.stop) >= spared:
                below = Branch(above.stop, stems[order[first]][above.stop : shared])
                found.append((first, below))
            waiting.append((first, last, shared, below))
    for _, branch in found:
        branch.members = [order[place] for place in sorted(branch.members)]
    return [branch for _, branch in sorted(found, key=lambda pair: (pair[0], pair[1].start))]
