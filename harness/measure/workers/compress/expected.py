"""The divergence that rounding by GPTQ is expected to bring, as a smooth function of R1 and R2.

Rounding moves a weight by about scale / √12, as noise that is even within a step. GPTQ hands the error of column j on
to the columns after it, so that only the part of x_j which those do not foretell is hurt: its conditional variance
D_j, a pivot of the Cholesky factor of the second moments. An output's error then has the variance
Σ_j scale_j² / 12 · D_j, and half of that times the output's Fisher information is its share of the divergence, to
second order.

R1 and R2 turn the moments and so D, and the weights and so the scales, which follow each group's largest magnitude.
"""

from collections.abc import Iterable

import torch

from harness.measure.workers.compress.decoder import Decoder
from harness.measure.workers.compress.rotations import Rotations, rotated_columns, rotated_rows
from harness.measure.workers.compress.seen import Seen
from harness.measure.workers.scheme.hadamard import rotate_last
from harness.measure.workers.scheme.numerics import INT4

DAMPING = 0.05
"""Added to moments, as a share of their mean diagonal: text that was not seen differs from what was. More than GPTQ's
own, since here a direction that is read by chance alone would be learned."""
HALF_RANGE = (INT4[1] - INT4[0]) / 2
SHARE = 0.15
"""Of a matrix' rows (of the down projection's groups) that one look takes."""


class Expected:
    """Looks at some layers at a time."""

    def __init__(self, decoder: Decoder, seen: Seen, group: int, *, rotates_down: bool) -> None:
        """`decoder`: its norms are folded, nothing is turned."""
        self.group, self.heads, self.head = group, decoder.heads, decoder.head
        self.weights = {name: decoder.weight(name).detach() for name in decoder.block_linears()}
        self.fisher = seen.weights
        self.moments: dict[str, torch.Tensor] = {}
        self.down: dict[str, torch.Tensor] = {}
        for name, moments in seen.moments.items():
            if not name.endswith("down_proj"):
                self.moments[name] = damped(moments)
                continue
            if rotates_down:
                moments = rotate_last(rotate_last(moments.double()).mT)
                self.weights[name] = rotate_last(self.weights[name].double()).float()
            self.down[name] = pivots(damped(moments.double())).float()

    def loss(self, rotations: Rotations, layers: Iterable[int], generator: torch.Generator | None) -> torch.Tensor:
        """In nats a token, the sum over these layers; of all rows without a generator, else of some that it draws."""
        return torch.stack([self._layer(rotations, layer, generator) for layer in layers]).sum()

    def _layer(self, rotations: Rotations, layer: int, generator: torch.Generator | None) -> torch.Tensor:
        place, r1, r2 = f"model.layers.{layer}", rotations.r1, rotations.r2[layer]
        attention, mlp = f"{place}.self_attn", f"{place}.mlp"
        total = torch.zeros(())
        for reader, others in ((f"{attention}.q_proj", ("q", "k")), (f"{mlp}.gate_proj", ("gate", "up"))):
            left = pivots(r1.T @ self.moments[reader] @ r1)
            for name in (f"{reader.rpartition('.')[0]}.{one}_proj" for one in others):
                weight = self.weights[name]
                some, share = _some(len(weight), generator)
                total = total + cost(weight[some] @ r1, self.fisher[name][some], left, self.group) / share
            if reader.startswith(attention):
                values = f"{attention}.v_proj"
                weight = rotated_rows(self.weights[values] @ r1, r2)
                # Which of a head's rows matters most is not known once they are turned.
                fisher = self.fisher[values].unflatten(0, (-1, self.head)).mean(-1).repeat_interleave(self.head)
                total = total + cost(weight, fisher, left, self.group)
        return total + self._output(f"{attention}.o_proj", r1, r2) + self._down(f"{mlp}.down_proj", r1, generator)

    def _output(self, name: str, r1: torch.Tensor, r2: torch.Tensor) -> torch.Tensor:
        turn = torch.block_diag(*[r2] * self.heads)
        left = pivots(turn.T @ self.moments[name] @ turn)
        weight = r1.T @ rotated_columns(self.weights[name], r2)
        return cost(weight, self.fisher[name].mean().expand(len(weight)), left, self.group)

    def _down(self, name: str, r1: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        weight = self.weights[name].unflatten(-1, (-1, self.group))
        some, share = _some(weight.shape[1], generator)
        left = self.down[name].unflatten(0, (-1, self.group))[some].flatten()
        turned = r1.T @ weight[:, some].flatten(1)
        return cost(turned, self.fisher[name].mean().expand(len(turned)), left, self.group) / share


def cost(weight: torch.Tensor, fisher: torch.Tensor, left: torch.Tensor, group: int) -> torch.Tensor:
    """In nats a token; weight [rows, columns], fisher [rows], left [columns]."""
    scales = weight.unflatten(-1, (-1, group)).abs().amax(-1) / HALF_RANGE
    return 0.5 / 12 * (fisher * (scales.square() @ left.unflatten(0, (-1, group)).sum(-1))).sum()


def pivots(moments: torch.Tensor) -> torch.Tensor:
    """[n]: the variance of each column that the columns after it leave, in the order in which gptq takes them."""
    order = moments.detach().diagonal().argsort(descending=True, stable=True)
    factor = torch.linalg.cholesky(moments[order][:, order].flip(0, 1))
    left: torch.Tensor = factor.diagonal().square().flip(0)[order.argsort()]
    return left


def damped(moments: torch.Tensor) -> torch.Tensor:
    mean = moments.diagonal().mean()
    # Of an input that is always 0, as in a layer that nothing reaches, nothing is lost.
    return moments + torch.clamp(DAMPING * mean, min=1e-12) * torch.eye(len(moments), dtype=moments.dtype)


def _some(count: int, generator: torch.Generator | None) -> tuple[torch.Tensor, float]:
    if generator is None:
        return torch.arange(count), 1.0
    chosen = torch.randperm(count, generator=generator)[: max(1, round(SHARE * count))]
    return chosen, len(chosen) / count
