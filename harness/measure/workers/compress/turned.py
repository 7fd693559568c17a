"""A model whose weights are turned and rounded anew in each pass, so that gradients reach the rotations."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import embedding, linear

from harness.measure.workers.compress.decoder import EMBEDDING, OUTPUT, READS, Decoder
from harness.measure.workers.compress.rotations import Rotations, rotated_columns, rotated_rows
from harness.measure.workers.scheme.hadamard import rotate_last
from harness.measure.workers.scheme.layers import put
from harness.measure.workers.scheme.numerics import INT4, INT8, Bounds, fake_quantized_tokens, fake_quantized_weight

Turn = Callable[[torch.Tensor], torch.Tensor]


class Held:
    """The rotations of the next pass, and whether the model is to be the float one."""

    def __init__(self) -> None:
        self.r1, self.r2 = torch.empty(0), torch.empty(0)
        self.plain = False


class TurnedLinear(nn.Module):
    """Rounds what `turn` makes of the weight."""

    def __init__(self, weight: torch.Tensor, held: Held, turn: Turn, group: int, bounds: Bounds, rotates: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.held, self.turn, self.group, self.bounds, self.rotates = held, turn, group, bounds, rotates

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.held.plain:
            return linear(x, self.weight)
        if self.rotates:
            x = rotate_last(x)
        weight = fake_quantized_weight(self.turn(self.weight), self.group, self.bounds)
        return linear(fake_quantized_tokens(x), weight)


class TurnedEmbedding(nn.Module):
    """Only the rows that are looked up are turned and rounded."""

    def __init__(self, weight: torch.Tensor, held: Held) -> None:
        super().__init__()
        self.weight, self.held = nn.Parameter(weight, requires_grad=False), held

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        rows = embedding(tokens, self.weight)
        if self.held.plain:
            return rows
        turned = (rows @ self.held.r1).flatten(0, -2)
        return fake_quantized_weight(turned, turned.shape[-1], INT8).view(rows.shape)


class TurnedModel:
    """A decoder with folded norms; `logits` with rotations, `float_logits` as it was."""

    def __init__(self, decoder: Decoder, group: int, *, rotates_down: bool) -> None:
        self.model, self.held = decoder.model, Held()
        held, columns = self.held, decoder.hidden
        put(self.model, EMBEDDING, TurnedEmbedding(decoder.weight(EMBEDDING), held))
        put(self.model, OUTPUT, TurnedLinear(decoder.weight(OUTPUT), held, lambda w: w @ held.r1, columns, INT8, False))
        for name in decoder.block_linears():
            rotates = rotates_down and name.endswith("down_proj")
            turn = _turn(held, int(name.split(".")[2]), name, rotates)
            put(self.model, name, TurnedLinear(decoder.weight(name), held, turn, group, INT4, rotates))

    def logits(self, rows: torch.Tensor, rotations: Rotations) -> torch.Tensor:
        """[rows, tokens, vocabulary] of the rounded model; float32."""
        self.held.r1, self.held.r2 = rotations.r1, rotations.r2
        found: torch.Tensor = self.model(rows, use_cache=False).logits
        return found

    @torch.no_grad()
    def float_logits(self, rows: torch.Tensor) -> torch.Tensor:
        with self._plain():
            found: torch.Tensor = self.model(rows, use_cache=False).logits
        return found

    @contextmanager
    def _plain(self) -> Iterator[None]:
        self.held.plain = True
        try:
            yield
        finally:
            self.held.plain = False


def _turn(held: Held, layer: int, name: str, rotates: bool) -> Turn:
    """How R1, R2 and R4 turn the weight of that name; its layer's R2."""
    if name.endswith("v_proj"):
        return lambda w: rotated_rows(w @ held.r1, held.r2[layer])
    if name.endswith(READS):
        return lambda w: w @ held.r1
    if name.endswith("o_proj"):
        return lambda w: held.r1.T @ rotated_columns(w, held.r2[layer])
    return lambda w: held.r1.T @ (rotate_last(w) if rotates else w)
