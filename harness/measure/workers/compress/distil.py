"""Training a model towards another one's next tokens, in steps that a later job can go on with."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from harness.measure.workers.compress.divergence import kl_divergence
from harness.measure.workers.compress.made import Report
from harness.measure.workers.compress.state import Progress, State

WARM_UP = 0.1
"""Share of the steps in which the rate rises."""
LARGEST_GRADIENT = 1.0
KEPT_OF_ADAM = ("exp_avg", "exp_avg_sq")


class Plan:
    """What is trained, how long and how fast."""

    def __init__(self, stage: str, parameters: Mapping[str, nn.Parameter], steps: int, batch: int, rate: float) -> None:
        self.stage, self.parameters, self.steps, self.batch, self.rate = stage, parameters, steps, batch, rate

    def rate_of(self, step: int) -> float:
        """Up in a line, then down a half cosine to 0."""
        warm = max(1, round(WARM_UP * self.steps))
        if step < warm:
            return self.rate * (step + 1) / warm
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))


class Teacher:
    """What a model foretells of some rows. Its last hidden states are kept, and logits made of them when asked for:
    it runs once, and may be changed afterwards."""

    @torch.no_grad()
    def __init__(self, model: Any, rows: torch.Tensor) -> None:
        """rows [samples, tokens]; the model's output layer stays in use."""
        self.rows, self._output = rows, model.lm_head
        self._states = [model.model(row[None], use_cache=False).last_hidden_state for row in rows]

    @torch.no_grad()
    def logits(self, places: list[int]) -> torch.Tensor:
        """[places, tokens, vocabulary] of these rows."""
        found: torch.Tensor = self._output(torch.cat([self._states[place] for place in places]))
        return found


def distil(plan: Plan, student: Any, teacher: Teacher, report: Report, state: State) -> None:
    """Change the plan's parameters; the teacher's rows are taken in turn.

    Raises:
        JobFailedError: a loss or a gradient that is no number, or what was kept is of another beginning.
    """
    first = _restore(plan, state, report)
    if first == plan.steps:
        return
    adam = torch.optim.AdamW(plan.parameters.values(), lr=plan.rate, betas=(0.9, 0.95), weight_decay=0.0)
    if first:
        _fill(adam, plan, state, first)
    for step in range(first, plan.steps):
        places = [(step * plan.batch + i) % len(teacher.rows) for i in range(plan.batch)]
        loss = kl_divergence(teacher.logits(places), student(teacher.rows[places], use_cache=False).logits)
        report.loss(plan.stage, step, loss.item())
        adam.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(plan.parameters.values(), LARGEST_GRADIENT)
        report.number(plan.stage, step, "gradient", float(norm))
        for group in adam.param_groups:
            group["lr"] = plan.rate_of(step)
        adam.step()
        report.step(plan.stage, step + 1, plan.steps)
        state.keep(Progress(plan.stage, step + 1, report.losses), _tensors(plan, adam), now=step + 1 == plan.steps)


@torch.no_grad()
def _restore(plan: Plan, state: State, report: Report) -> int:
    """The first step that is not done; the parameters are as they were after the one before it."""
    kept = state.read()
    if kept is None:
        return 0
    progress, tensors = kept
    report.restore(progress.losses)
    for name, parameter in plan.parameters.items():
        parameter.copy_(tensors[name])
    return progress.step


def _fill(adam: torch.optim.AdamW, plan: Plan, state: State, step: int) -> None:
    kept = state.read()
    assert kept is not None
    for name, parameter in plan.parameters.items():
        moments = {kind: kept[1][f"{name}.{kind}"] for kind in KEPT_OF_ADAM}
        adam.state[parameter] = {"step": torch.tensor(float(step)), **moments}


def _tensors(plan: Plan, adam: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, parameter in plan.parameters.items():
        found[name] = parameter.detach()
        found |= {f"{name}.{kind}": adam.state[parameter][kind] for kind in KEPT_OF_ADAM}
    return found
