"""A key-value cache with room: layers write into memory taken once, where transformers' own copies everything at every token."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call] # the subclass hook of transformers is untyped
    """A cache layer whose keys and values `[rows, heads, tokens, width]` are views into a buffer with room for `room` tokens."""

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room
        self._buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new states behind the old ones and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[0] != key_states.shape[0]:
            self._buffers = (self._roomy(self.keys, key_states, old), self._roomy(self.values, value_states, old))
        keys, values = self._buffers
        keys[:, :, old:new], values[:, :, old:new] = key_states, value_states
        self.keys, self.values = keys[:, :, :new], values[:, :, :new]
        return self.keys, self.values

    def _roomy(self, held: torch.Tensor | None, like: torch.Tensor, old: int) -> torch.Tensor:
        """A buffer shaped for states `like`, beginning with what the layer holds."""
        rows, heads, _, width = like.shape
        buffer = like.new_empty(rows, heads, self.room, width)
        if old and held is not None:
            buffer[:, :, :old] = held
        return buffer


def roomy_cache(config: PreTrainedConfig, room: int) -> DynamicCache:
    """An empty cache for a model: roomy layers where a layer attends to everything, transformers' own where it is special."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def spread(cache: DynamicCache, rows: int) -> None:
    """Let the one row a cache holds stand for `rows` rows; nothing is copied before the next token comes."""
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer)
        assert layer.keys is not None
        assert layer.values is not None
        layer.keys, layer.values = layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1)
