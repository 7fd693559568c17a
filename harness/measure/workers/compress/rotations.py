"""Rotations that a float model's outputs do not depend on: R1, R2 and R4 of SpinQuant (arXiv 2405.16406).

Activations are rows. R1 turns the residual stream, R2 the values of each head, R4 what a down projection reads.
"""

import msgspec
import torch

from harness.measure.workers.compress.decoder import EMBEDDING, LAST_NORM, NORMS, OUTPUT, READS, WRITES, Decoder
from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.scheme.hadamard import NoHadamardError, random_hadamard, rotate_last, split


class Rotations(msgspec.Struct, frozen=True):
    """Orthogonal matrices."""

    r1: torch.Tensor
    """[hidden, hidden]"""
    r2: torch.Tensor
    """[layers, head, head]"""

    def floats(self) -> "Rotations":
        return Rotations(self.r1.float(), self.r2.float())


def random_rotations(decoder: Decoder, generator: torch.Generator, *, rotates_down: bool = False) -> Rotations:
    """Hadamard matrices with random signs, in float64.

    Raises:
        ModelError: none of a size is known.
    """
    check_sizes(decoder, rotates_down=rotates_down)
    r1 = random_hadamard(decoder.hidden, generator)
    r2 = torch.stack([random_hadamard(decoder.head, generator) for _ in range(decoder.layers)])
    return Rotations(r1, r2)


def check_sizes(decoder: Decoder, *, rotates_down: bool) -> None:
    """Raises ModelError: no Hadamard matrix of a size is known."""
    try:
        for size in (decoder.hidden, decoder.head, *((decoder.inner,) if rotates_down else ())):
            split(size)
    except NoHadamardError as error:
        raise ModelError(str(error)) from error


@torch.no_grad()
def fold_norms(decoder: Decoder) -> None:
    """Multiply what follows a norm with the norm's weights, which become 1."""
    for layer in range(decoder.layers):
        for norm, readers in NORMS.items():
            place = f"model.layers.{layer}"
            _fold(decoder, f"{place}.{norm}", [f"{place}.{reader}" for reader in readers])
    _fold(decoder, LAST_NORM, [OUTPUT])


def _fold(decoder: Decoder, norm: str, readers: list[str]) -> None:
    gains = decoder.weight(norm)
    for reader in readers:
        decoder.weight(reader).mul_(gains)
    gains.fill_(1.0)


@torch.no_grad()
def rotate(decoder: Decoder, rotations: Rotations) -> None:
    """Turn the weights of a model whose norms are folded by R1 and R2; products are formed in float64."""
    r1 = rotations.r1.double()
    for name in (EMBEDDING, OUTPUT):
        _set(decoder, name, decoder.weight(name).double() @ r1)
    for layer in range(decoder.layers):
        place = f"model.layers.{layer}"
        for part in READS:
            _set(decoder, f"{place}.{part}", decoder.weight(f"{place}.{part}").double() @ r1)
        for part in WRITES:
            _set(decoder, f"{place}.{part}", r1.T @ decoder.weight(f"{place}.{part}").double())
        r2 = rotations.r2[layer].double()
        values, output = f"{place}.self_attn.v_proj", f"{place}.self_attn.o_proj"
        _set(decoder, values, rotated_rows(decoder.weight(values).double(), r2))
        _set(decoder, output, rotated_columns(decoder.weight(output).double(), r2))


@torch.no_grad()
def rotate_down(decoder: Decoder) -> None:
    """R4: the model then needs the same rotation of what each down projection reads."""
    for layer in range(decoder.layers):
        name = f"model.layers.{layer}.mlp.down_proj"
        _set(decoder, name, rotate_last(decoder.weight(name).double()))


def rotated_rows(weight: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """weight [heads · head, columns]: what each head puts out is turned."""
    by_head = weight.unflatten(0, (-1, len(rotation)))
    return (rotation.T @ by_head).flatten(0, 1)


def rotated_columns(weight: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """weight [rows, heads · head]: what each head hands in is turned."""
    return (weight.unflatten(-1, (-1, len(rotation))) @ rotation).flatten(-2)


def _set(decoder: Decoder, name: str, value: torch.Tensor) -> None:
    decoder.weight(name).copy_(value)
