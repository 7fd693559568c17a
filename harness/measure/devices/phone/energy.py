"""Energy from the battery's level: honest only off the cable and over minutes, and only for comparisons."""

from itertools import pairwise

import msgspec

from harness.measure.devices.phone.samples import Sample, Samples

SHORTEST_MS = 5 * 60 * 1000


class BatteryDrop(msgspec.Struct, frozen=True, kw_only=True):
    """By how many percent the battery's level fell in a window; None with a reason where that says nothing.

    The level is told in whole percents: the true drop lies within one of what was read.
    """

    percent: int | None
    missing: str | None = None


def battery_drop(samples: Samples, start_ms: int, end_ms: int) -> BatteryDrop:
    """The drop between `start_ms` and `end_ms` of the phone's uptime."""
    asked = [one for one in samples.lines if one.t_ms is not None and start_ms <= one.t_ms <= end_ms]
    told = [one for one in asked if one.level is not None or one.powered is not None]
    why = _why_not(told, end_ms - start_ms)
    if why is not None:
        return BatteryDrop(percent=None, missing=why)
    first, last = told[0].level, told[-1].level
    assert first is not None and last is not None
    drop = first - last
    if drop < 2:
        return BatteryDrop(percent=None, missing=f"the battery's level fell by {max(drop, 0)} %: too little to tell")
    return BatteryDrop(percent=drop)


def _why_not(told: list[Sample], length_ms: int) -> str | None:
    if not told:
        return "the battery does not say its level"
    if any(one.powered is None or one.level is None for one in told):
        return "the battery does not always say its level and whether a cable feeds it"
    if any(one.powered for one in told):
        return "a cable fed the phone"
    times = [one.t_ms for one in told if one.t_ms is not None]
    if length_ms < SHORTEST_MS or times[-1] - times[0] < SHORTEST_MS * 9 // 10:
        return f"shorter than {SHORTEST_MS // 60_000} minutes"
    if any(b <= a for a, b in pairwise(times)):
        return "the phone's clock jumped"
    return None
