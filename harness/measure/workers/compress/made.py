"""What a recipe gives back, and what it tells while it works."""

import math

import msgspec
import torch

from harness.measure.workers.compress.decoder import Decoder
from harness.measure.workers.hf.errors import JobFailedError
from harness.measure.workers.hf.files import say
from harness.measure.workers.scheme.layout import Matrix, Scheme


class Made(msgspec.Struct, frozen=True):
    """A compressed model."""

    decoder: Decoder
    """Its norms and its config are written as they are."""
    scheme: Scheme
    matrices: dict[str, Matrix]
    adaptors: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}


class Report:
    """Progress for people, losses for the manifest."""

    def __init__(self) -> None:
        self.losses: tuple[tuple[str, int, float], ...] = ()

    def step(self, stage: str, done: int, of: int) -> None:
        last = next((loss for name, _, loss in reversed(self.losses) if name == stage), None)
        say(f"progress {done} {of} {stage}" + ("" if last is None else f", loss {last:.4f}"))

    def loss(self, stage: str, step: int, loss: float) -> None:
        """Raises JobFailedError: it is no number."""
        self.number(stage, step, "loss", loss)
        self.losses = (*self.losses, (stage, step, loss))

    def number(self, stage: str, step: int, what: str, value: float) -> None:
        """Raises JobFailedError: it is no number."""
        if not math.isfinite(value):
            raise JobFailedError(f"{stage}: the {what} of step {step} is no number; a lower learning rate may help")

    def restore(self, losses: tuple[tuple[str, int, float], ...]) -> None:
        """Those of the job that is gone on with."""
        self.losses = losses
