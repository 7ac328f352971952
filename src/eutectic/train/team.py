"""The processes that train one stage together; most often there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

Item = TypeVar("Item")


@dataclass(frozen=True)
class Team:
    """Process `rank` of `size`. What a team computes does not depend on its size but for rounding."""

    rank: int = 0
    size: int = 1
    mesh: DeviceMesh | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and tells progress."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of the processes' tensors, on every process."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def share(self, items: Sequence[Item]) -> Iterator[tuple[Item, bool]]:
        """This process' share of `items`. All take part equally often, as gathering weights asks for: who has fewer repeats one that does
        not count (False).
        """
        for start in range(0, len(items), self.size):
            place = start + self.rank
            yield (items[place], True) if place < len(items) else (items[start], False)

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            dist.barrier()
