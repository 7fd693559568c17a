"""Whether the runner's kernels compute the model: 200 questions against its plainest path, once a build and file."""

from harness.errors import BenchError
from harness.health import Check
from harness.measure.inputs import Preparation
from harness.measure.kernel_check import Candidate, check_kernels
from harness.values.checked import KernelCheck

NAME = "kernels"


def kernels(candidate: Candidate, preparation: Preparation) -> Check:
    """The check of one file by one program; what cannot be made is unknown."""
    try:
        return shown(check_kernels(candidate, preparation))
    except BenchError as error:
        return unknown(str(error))


def unknown(reason: str) -> Check:
    """There is no check, and why."""
    return Check(name=NAME, state="unknown", seen=None, reason=reason)


def shown(found: KernelCheck) -> Check:
    """A check as the doctor tells it."""
    if found.agreed is None or found.largest_nats is None or found.mean_nats is None:
        return unknown(f"{found.variant}: {found.reason}")
    seen = (
        f"{found.variant}: {found.agreed} of {found.questions} choices as on the plainest path, answers"
        f" {found.mean_nats:.3f} nats apart on average, {found.largest_nats:.2f} at most"
    )
    return Check(
        name=NAME,
        state="good" if found.passed else "bad",
        seen=seen if found.passed else f"{seen}: {found.reason}",
        effect="" if found.passed else "the runner does not compute what the file holds: none of its numbers counts",
        advice=""
        if found.passed
        else "remove the runner from the cache and build it again, by another compiler if that does not help",
        values={"agreed": found.agreed, "mean_nats": found.mean_nats, "largest_nats": found.largest_nats},
    )
