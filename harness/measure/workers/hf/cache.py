"""Keys and values of the tokens that went through the network, in buffers that are allocated once."""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class PrefixLayer(CacheLayerMixin):
    """New keys are written after the first `length` tokens; they stay only if `length` is raised."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.length = capacity, 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            one.new_empty((1, one.shape[1], self.capacity, one.shape[3])) for one in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        end = self.length + key_states.shape[2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.capacity


class PrefixCache(Cache):
    def __init__(self, layers: int, capacity: int) -> None:
        super().__init__(layers=[PrefixLayer(capacity) for _ in range(layers)])

    def set_length(self, length: int) -> None:
        for layer in self.layers:
            assert isinstance(layer, PrefixLayer)
            layer.length = length
