"""Round to nearest: weights to integers with the scheme's own scales."""

import torch

from harness.measure.workers.compress.decoder import EMBEDDING, OUTPUT, Decoder
from harness.measure.workers.scheme.layers import QuantizedEmbedding, QuantizedLinear, put
from harness.measure.workers.scheme.layout import Matrix
from harness.measure.workers.scheme.numerics import INT4, INT8, Bounds, quantized, scales_of


@torch.no_grad()
def nearest(weight: torch.Tensor, group: int, bounds: Bounds) -> Matrix:
    """weight [rows, columns] in float32."""
    scales = scales_of(weight, group, bounds)
    return Matrix(quantized(weight, scales, bounds).to(torch.int8), scales, bounds)


def by_channel(weight: torch.Tensor) -> Matrix:
    """int8 with one scale a row, as the embedding and the output layer are stored."""
    return nearest(weight, weight.shape[-1], INT8)


def ends(decoder: Decoder) -> dict[str, Matrix]:
    """The embedding and the output layer."""
    return {name: by_channel(decoder.weight(name)) for name in (EMBEDDING, OUTPUT)}


def round_ends(decoder: Decoder) -> dict[str, Matrix]:
    """The embedding and the output layer, which the model holds rounded afterwards."""
    found = ends(decoder)
    put(decoder.model, EMBEDDING, QuantizedEmbedding(found[EMBEDDING].weight))
    put(decoder.model, OUTPUT, QuantizedLinear(found[OUTPUT].weight))
    return found


def blocks(decoder: Decoder, group: int) -> dict[str, Matrix]:
    """Every linear of the blocks."""
    return {name: nearest(decoder.weight(name), group, INT4) for name in decoder.block_linears()}
