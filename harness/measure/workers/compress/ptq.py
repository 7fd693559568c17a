"""The control: the same scheme by rounding to nearest, without calibration."""

from pathlib import Path

from harness.measure.workers.compress.decoder import open_decoder
from harness.measure.workers.compress.jobs import PtqJob
from harness.measure.workers.compress.made import Made, Report
from harness.measure.workers.compress.rounding import blocks, ends
from harness.measure.workers.scheme.layout import Scheme


def ptq(job: PtqJob, report: Report) -> Made:  # noqa: ARG001 - every recipe is called alike
    """Raises ModelError: see open_decoder."""
    decoder = open_decoder(Path(job.model), job.group)
    return Made(decoder, Scheme(group=job.group), ends(decoder) | blocks(decoder, job.group))
