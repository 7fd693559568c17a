"""R4 in the exported graph: a Hadamard matrix before each down projection, by ExecuTorch's own operator.

The operator knows powers of two (and 28 times one). Another size is a small core times a power of two: the operator
turns the power, a small matrix product the core, as `scheme.hadamard.rotate_last` does.
"""

import torch
from executorch.examples.models.llama.feed_forward import FeedForward
from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401 - registers the operator
from torch import nn
from torch.nn.functional import silu

from harness.measure.workers.scheme.hadamard import hadamard, split


class RotatedFeedForward(nn.Module):
    """What the last linear reads is rotated as it comes."""

    def __init__(self, plain: FeedForward, width: int) -> None:
        super().__init__()
        self.w1, self.w2, self.w3 = plain.w1, plain.w2, plain.w3
        self.turn: torch.Tensor
        self.core, self.power = split(width)
        if self.core <= 2:
            self.core, self.power = 1, width  # both are Sylvester's: one call of the operator
        if self.core > 1:
            self.register_buffer("turn", (hadamard(self.core).T / self.core**0.5).contiguous())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = silu(self.w1(x)) * self.w3(x)
        if self.core == 1:
            return self.w2(torch.ops.llama.fast_hadamard_transform(inner))
        grid = inner.unflatten(-1, (self.core, self.power))
        turned = torch.matmul(self.turn, torch.ops.llama.fast_hadamard_transform(grid))
        return self.w2(turned.flatten(-2))


def rotate_down(model: nn.Module, width: int) -> None:
    """Put R4 into every block; `width`: columns of the down projections."""
    for name, child in model.named_children():
        if isinstance(child, FeedForward):
            setattr(model, name, RotatedFeedForward(child, width))
        else:
            rotate_down(child, width)
