"""The roofline of decode: no token faster than its bytes can be read."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from harness.analyse.levels import MeasuredCell
from harness.analyse.limits import Roof, RoofGain
from harness.analyse.pairs import compare_metric
from harness.analyse.places import Place, place
from harness.analyse.trials import observed
from harness.derivations import read_bytes_a_token
from harness.stats import bounds
from harness.values import Bandwidth, Files, Loaded, Timing

BYTES_UNSEEN = "the KV cache's bytes or the artifact's decode bytes were not seen"


def roofs(run: str, cells: Sequence[MeasuredCell], baselines: Sequence[str]) -> list[Roof]:
    """One a variant and workload that decodes; empty for a run that measures no bandwidth."""
    bandwidths = [c for c in cells if isinstance(c.seen.cell.workload, Bandwidth)]
    by_place = {place(c): c for c in cells}
    return [
        _roof(run, cell, bandwidth, by_place, baselines)
        for cell in cells
        if "bandwidth_share" in cell.metrics and (bandwidth := _bandwidth_of(cell, bandwidths)) is not None
    ]


def _bandwidth_of(cell: MeasuredCell, bandwidths: Sequence[MeasuredCell]) -> MeasuredCell | None:
    """By the cell's own runtime's threads, or else by any runtime's on that device."""
    here = [b for b in bandwidths if b.seen.cell.device == cell.seen.cell.device]
    return next((b for b in here if b.seen.runtime == cell.seen.runtime), here[0] if here else None)


def _roof(
    run: str,
    cell: MeasuredCell,
    bandwidth: MeasuredCell,
    by_place: Mapping[Place, MeasuredCell],
    baselines: Sequence[str],
) -> Roof:
    seen = cell.seen
    read, decode = bandwidth.metrics["read_bandwidth_bytes_s"], cell.metrics["decode_tok_s"]
    per_token = _bytes_a_token(cell)
    reasons = [f"no read bandwidth: {read.reason}"] if read.value is None else []
    if decode.value is None:
        reasons.append(decode.reason or "no decode")
    elif per_token is None:
        reasons.append(BYTES_UNSEEN)
    elif (share := cell.metrics["bandwidth_share"]).value is None and read.value is not None:
        reasons.append(share.reason or "no share")
    others = () if seen.cell.variant in baselines else baselines
    return Roof(
        run=run,
        variant=seen.cell.variant,
        runtime=seen.runtime,
        device=seen.cell.device,
        workload=seen.workload,
        bytes_a_token=per_token,
        tok_s=decode.value,
        bandwidth_bytes_s=read.value,
        allowed_tok_s=read.value / per_token if read.value and per_token else None,
        share=cell.metrics["bandwidth_share"].value,
        gains=tuple(_gains(cell, per_token, others, by_place)),
        reason="; ".join(reasons) or None,
    )


def _gains(
    cell: MeasuredCell, per_token: float | None, baselines: Sequence[str], by_place: Mapping[Place, MeasuredCell]
) -> Iterator[RoofGain]:
    for name in baselines:
        other = by_place.get(place(cell, name))
        others = _bytes_a_token(other) if other else None
        compared = compare_metric(cell, other, "decode_tok_s")
        low, high = bounds(compared.ratio_interval)
        allowed = others / per_token if others and per_token else None
        yield RoofGain(baseline=name, allowed=allowed, measured=compared.ratio, low=low, high=high)


def _bytes_a_token(cell: MeasuredCell) -> float | None:
    found = []
    for record in cell.seen.counted:
        files, loaded, timings = observed([record], Files), observed([record], Loaded), observed([record], Timing)
        if files and loaded and timings:
            found.append(read_bytes_a_token(files[0], loaded[0], timings[0]))
    known = [one for one in found if one is not None]
    return median(known) if known else None
