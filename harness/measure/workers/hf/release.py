"""A checkpoint from one layout to the other: transformers' to Meta's, or Meta's to transformers'."""

from pathlib import Path

from harness.measure.workers.hf.files import Events
from harness.measure.workers.hf.jobs import LayoutJob
from harness.measure.workers.released.reading import is_released
from harness.measure.workers.released.unreleasing import write_unreleased
from harness.measure.workers.released.writing import write_released


def run(job: LayoutJob, events: Events) -> None:  # noqa: ARG001 - every kind is called alike
    source = Path(job.model)
    (write_unreleased if is_released(source) else write_released)(source, Path(job.output))
