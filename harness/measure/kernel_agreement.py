"""Whether two programs computed the same model: their answers to the same questions, and limits. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from harness.values import Artifact, Value
from harness.values.checked import KernelLimits

SIXTEEN_BIT = frozenset({"f32", "f16", "bf16"})
LIMITS = KernelLimits(largest_nats=1.0, mean_nats=0.1, agreement=0.95)
"""Of 16-bit weights. Kernels for BF16 round the activations to BF16, those of phones add half floats up in half floats.
"""
QUANTIZED_LIMITS = KernelLimits(largest_nats=3.0, mean_nats=0.5, agreement=0.9)
"""Kernels for quantized weights round the activations to 8 bits, and a sum that rounds the other way is a step."""


class Agreement(Value, frozen=True):
    """Two series of answers side by side."""

    questions: int
    agreed: int
    largest_nats: float
    mean_nats: float


def limits_for(artifact: Artifact) -> KernelLimits:
    """How far answers of this file may lie apart when other kernels compute them."""
    return LIMITS if set(artifact.tensor_types) <= SIXTEEN_BIT else QUANTIZED_LIMITS


def choices_of(requests: Iterable[Mapping[str, int]]) -> tuple[tuple[int, ...], ...]:
    """For each question the ids of its choices, in the order of the choices."""
    found: dict[int, list[tuple[int, int]]] = {}
    for request in requests:
        found.setdefault(request["doc"], []).append((request["index"], request["id"]))
    return tuple(tuple(number for _, number in sorted(choices)) for _, choices in sorted(found.items()))


def compare(
    choices: Sequence[Sequence[int]], reference: Mapping[int, float], answers: Mapping[int, float]
) -> Agreement:
    """Both must have an answer to each choice: id → log-probability in nats."""
    apart = [abs(answers[number] - reference[number]) for question in choices for number in question]
    agreed = sum(_chosen(question, reference) == _chosen(question, answers) for question in choices)
    return Agreement(questions=len(choices), agreed=agreed, largest_nats=max(apart), mean_nats=fmean(apart))


def why_not(found: Agreement, limits: KernelLimits) -> str | None:
    """What is beyond the limits, in words; None where nothing is."""
    if not math.isfinite(found.mean_nats):
        return "an answer's log-probability is no number"
    wrong = []
    if found.mean_nats > limits.mean_nats:
        wrong.append(f"answers are {found.mean_nats:.3f} nats apart on average, at most {limits.mean_nats:g} allowed")
    if found.largest_nats > limits.largest_nats:
        wrong.append(f"one answer is {found.largest_nats:.2f} nats apart, at most {limits.largest_nats:g} allowed")
    if found.agreed < limits.agreement * found.questions:
        least = math.ceil(limits.agreement * found.questions)
        wrong.append(f"{found.agreed} of {found.questions} choices are the same, at least {least} needed")
    return "; ".join(wrong) or None


def _chosen(question: Sequence[int], logprobs: Mapping[int, float]) -> int:
    return max(question, key=lambda number: logprobs[number])
