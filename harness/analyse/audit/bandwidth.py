"""Decode as memory traffic: bytes a token must read × tokens a second, against what the memory can do."""

from collections.abc import Iterator

from harness.analyse.audit.figures import compared, figure, times_better
from harness.analyse.audit.findings import Finding, Verdict
from harness.analyse.audit.intervals import exactly, over, said, spread, times
from harness.analyse.audit.shapes import read_bytes
from harness.published import ClaimFile

METRIC = "decode_tok_s"


def memory_traffic(file: ClaimFile) -> Iterator[Finding]:
    """The traffic of each row, then each speed-up against the one that bytes alone allow."""
    read = {
        name: read_bytes(file.models[row.model], file.schemes[row.scheme])
        for name, row in file.rows.items()
        if row.scheme is not None and row.model is not None and METRIC in row.values
    }
    for name, size in read.items():
        yield _traffic(file, name, size)
    for name, _, base in compared(file):
        if name in read and base in read:
            yield _speed_up(file, name, base, read[base] / read[name])


def _traffic(file: ClaimFile, row: str, size: float) -> Finding:
    speed = figure(file, row, METRIC) or exactly(0)
    traffic = times(speed, exactly(size / 1e9))
    limit = file.device.memory_bandwidth_bytes_s if file.device else None
    verdict: Verdict = "note"
    sentence = f"{said(size / 1e6, 4)} MB a token make {said(traffic.value)} GB/s of weights"
    if limit is None or file.device is None:
        sentence += "; the device's memory bandwidth is not given."
    else:
        share = 100 * traffic.value * 1e9 / limit
        sentence += f", {said(share, 2)} % of what {file.device.title} has in theory ({said(limit / 1e9)} GB/s)."
        if traffic.low * 1e9 > limit:
            single = any(one.name == "batch" and one.value == 1 for one in file.conditions)
            verdict = "contradiction" if single else "note"
            sentence += " No memory is that fast: the scheme, the device or the figure is another"
            sentence += (
                "." if single else ", or more than one sequence was decoded at once (a batch of 1 is not stated)."
            )
        else:
            verdict = "follows"
    return Finding(
        rule="bandwidth",
        verdict=verdict,
        row=row,
        metric=METRIC,
        sentence=sentence,
        unit="GB/s",
        recomputed=traffic,
        others={} if limit is None else {"theoretical": exactly(limit / 1e9)},
    )


def _speed_up(file: ClaimFile, row: str, base: str, allowed: float) -> Finding:
    value, from_ = figure(file, row, METRIC) or exactly(0), figure(file, base, METRIC) or exactly(0)
    measured = times_better(METRIC, value, from_)
    sentence = f"Fewer bytes alone would allow {said(allowed)} ×, printed figures give {spread(measured, '×')}"
    reached = over(measured, exactly(allowed))
    if measured.low > allowed:
        sentence += ": more, so the baseline does not read as fast as it could, or is limited by something else."
    elif measured.high < allowed:
        sentence += f": {said(100 * reached.value, 2)} % of it; the rest goes into unpacking and what does not shrink."
    else:
        sentence += ": the same within rounding."
    return Finding(
        rule="bandwidth",
        verdict="note" if measured.low > allowed else "follows",
        row=row,
        metric=METRIC,
        sentence=sentence,
        unit="×",
        recomputed=exactly(allowed),
        printed=measured,
    )
