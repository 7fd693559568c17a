"""Layers that compute as the scheme's kernels do, in floats: integers are exact there."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import embedding, linear

from harness.measure.workers.scheme.hadamard import rotate_last
from harness.measure.workers.scheme.numerics import fake_quantized_tokens


class Adaptor(nn.Module):
    """A low-rank addition to a linear layer; it sees activations as they are, not quantized."""

    def __init__(self, a: torch.Tensor, b: torch.Tensor, scale: float) -> None:
        """a [rank, columns], b [rows, rank]."""
        super().__init__()
        self.a, self.b, self.scale = nn.Parameter(a), nn.Parameter(b), scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(linear(x, self.a), self.b) * self.scale


class QuantizedLinear(nn.Module):
    """Integer weights, int8 activations with a scale and a zero point a token."""

    def __init__(self, weight: torch.Tensor, *, rotates: bool = False, adaptor: Adaptor | None = None) -> None:
        """weight [rows, columns] as read back from integers. `rotates`: a Hadamard matrix comes before it (R4)."""
        super().__init__()
        self.weight, self.rotates, self.adaptor = nn.Parameter(weight, requires_grad=False), rotates, adaptor
        self.rounds = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.rotates:
            x = rotate_last(x)
        y = linear(fake_quantized_tokens(x) if self.rounds else x, self.weight)
        return y if self.adaptor is None else y + self.adaptor(x)


class QuantizedEmbedding(nn.Module):
    """Integer weights that are only looked up."""

    def __init__(self, weight: torch.Tensor) -> None:
        """weight [tokens, columns] as it is read back from integers."""
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.num_embeddings, self.embedding_dim = weight.shape

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return embedding(tokens, self.weight)


@contextmanager
def unrounded(model: nn.Module) -> Iterator[None]:
    """Activations as they are beside the same integer weights: the last bits of a sum then decide nothing."""
    layers = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    for layer in layers:
        layer.rounds = False
    try:
        yield
    finally:
        for layer in layers:
            layer.rounds = True


def put(model: nn.Module, name: str, layer: nn.Module | nn.Parameter) -> None:
    """Replace the module or parameter of that dotted name."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
