"""The numbers of the published scheme: integer weights with float scales, activations quantized as they come.

They are those of torchao's `Int8DynamicActivationIntxWeightConfig` (symmetric weights, asymmetric activations per
token), which ExecuTorch runs: the same scales, the same order of operations, the same rounding (half to even).
Every function lets gradients through its rounding as if there were none.
"""

from typing import Any

import torch

INT4, INT8 = (-8, 7), (-128, 127)
"""Least and largest integer."""
Bounds = tuple[int, int]


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, values: torch.Tensor) -> torch.Tensor:
        return torch.round(values)

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def rounded(values: torch.Tensor) -> torch.Tensor:
    """To the nearest integer; a gradient passes unchanged."""
    found: torch.Tensor = _Round.apply(values)
    return found


def scales_of(weight: torch.Tensor, group: int, bounds: Bounds) -> torch.Tensor:
    """weight [rows, columns] → scales [rows, columns / group]: the largest magnitude of a group stands for half the
    range of integers (7.5 with int4), so that it may be cut by half a step."""
    low, high = bounds
    largest = weight.detach().unflatten(-1, (-1, group)).abs().amax(-1)
    return (largest / ((high - low) / 2)).clamp(min=torch.finfo(weight.dtype).smallest_normal)


def quantized(weight: torch.Tensor, scales: torch.Tensor, bounds: Bounds) -> torch.Tensor:
    """weight [rows, columns], scales [rows, groups] → integers as floats, [rows, columns]."""
    grouped = weight.unflatten(-1, (scales.shape[-1], -1))
    return rounded(grouped * (1.0 / scales)[..., None]).clamp(*bounds).flatten(-2)


def dequantized(integers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """integers [rows, columns] of any type, scales [rows, groups] → weight in the scales' type."""
    return (integers.to(scales.dtype).unflatten(-1, (scales.shape[-1], -1)) * scales[..., None]).flatten(-2)


def fake_quantized_weight(weight: torch.Tensor, group: int, bounds: Bounds) -> torch.Tensor:
    """The weight as it would be read back after rounding to nearest."""
    scales = scales_of(weight, group, bounds)
    return dequantized(quantized(weight, scales, bounds), scales)


def fake_quantized_tokens(activations: torch.Tensor) -> torch.Tensor:
    """activations [..., columns], a token a row → the same after int8 with a scale and a zero point a token."""
    low, high = INT8
    seen = activations.detach()
    least, most = seen.amin(-1, keepdim=True).clamp(max=0), seen.amax(-1, keepdim=True).clamp(min=0)
    scale = ((most - least) / (high - low)).clamp(min=torch.finfo(activations.dtype).smallest_normal)
    zero = (low - torch.round(least / scale)).clamp(low, high)
    integers = (rounded(activations * (1.0 / scale)) + zero).clamp(low, high)
    return (integers - zero) * scale


def packed(integers: torch.Tensor) -> torch.Tensor:
    """int4 [rows, columns] → uint8 [rows, columns / 2]: even columns in the low halves, each 8 too large."""
    shifted = (integers + 8).to(torch.uint8)
    return shifted[:, 0::2] | (shifted[:, 1::2] << 4)


def unpacked(halves: torch.Tensor) -> torch.Tensor:
    """The inverse of `packed`, as int8."""
    low, high = (halves & 15).to(torch.int8), (halves >> 4).to(torch.int8)
    return torch.stack([low, high], -1).flatten(-2) - 8
