"""Gradient steps that stay orthogonal: Cayley SGD with momentum (Li, Li and Todorovic, arXiv 2002.01113).

The paper iterates towards the Cayley transform; at these sizes it is solved, in float64, so that no step leaves the
manifold by more than rounding.
"""

import torch

MOMENTUM = 0.9
LARGEST_TURN = 1.0
"""Of step size times the 1-norm of the skew matrix."""


class CayleySgd:
    """Moves a batch of orthogonal matrices [..., n, n] against their gradients."""

    def __init__(self, matrices: torch.Tensor) -> None:
        self.matrices = matrices.double()
        self.momentum = torch.zeros_like(self.matrices)

    def step(self, gradient: torch.Tensor, rate: float) -> None:
        """One step of at most `rate`; shorter where the skew matrix is large."""
        x = self.matrices
        moved = MOMENTUM * self.momentum - gradient.double()
        half = 0.5 * moved @ x.mT
        skew = half - half.mT
        self.momentum = skew @ x
        size = (LARGEST_TURN / skew.abs().sum(-2).amax(-1).clamp(min=1e-12)).clamp(max=rate)
        turn = (size / 2)[..., None, None] * skew
        one = torch.eye(x.shape[-1], dtype=x.dtype)
        # Solved matrices lie by columns; as they would be read back, so that a job that is gone on with is the same.
        self.matrices = torch.linalg.solve(one - turn, (one + turn) @ x).contiguous()
