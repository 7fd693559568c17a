"""What the sampler on a phone wrote beside a program: temperatures, clocks, thermal status, battery."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from harness.measure.devices.phone.temperatures import celsius, fits

SEVERE = 2
"""Thermal status from which a window is no good: `moderate`, the first that throttles by design."""
GAP = 3.0
"""Periods without a line from which it is a gap: the sampler was stopped, or the phone slept."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: what the columns are."""

    boot_id: str
    zones: tuple[str, ...]
    clocks: tuple[str, ...]
    top_khz: tuple[int | None, ...]
    """Highest clock of the hardware, one a cluster."""
    period_s: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One line; None is what could not be read."""

    t_ms: int | None
    """Since the phone's boot."""
    zone: tuple[int | None, ...]
    """As the zones count: m°C or whole °C."""
    khz: tuple[int | None, ...]
    most_khz: tuple[int | None, ...]
    """What the system allows at the moment."""
    status: int | msgspec.UnsetType | None = msgspec.UNSET
    """Unset where it was not asked: asking disturbs."""
    skin_milli: int | None = None
    """As the thermal service has it, where it was asked; `cpu_milli` likewise."""
    cpu_milli: int | None = None
    level: int | None = None
    """Battery, %."""
    battery_deci: int | None = None
    """Battery, 0.1 °C."""
    current: int | None = None
    """Battery, in the phone's own unit and sign."""
    powered: bool | None = None
    """By a cable or a pad."""


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """A samples file."""

    head: Head | None
    lines: tuple[Sample, ...]
    broken: int
    """Lines that are none: torn, or with another number of columns."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was sampled from here to there; a clock that went back gives `until_ms` below `from_ms`."""

    from_ms: int
    until_ms: int


class ClockSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster during a window."""

    name: str
    lowest_most_share: float | None
    """The lowest clock that the system allowed, over the highest of the hardware."""
    fell: bool | None
    """The system allowed less than it had before or after."""


class HeatSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one window, summed up."""

    samples: int
    hottest_c: float | None
    worst_status: int | None
    clocks: tuple[ClockSeen, ...]
    gaps: tuple[Gap, ...]
    missing: dict[str, str]
    """Field → why it is None."""
    discard: str | None
    """Why a window is to be repeated."""


def parse_samples(data: bytes) -> Samples:
    """Read a samples file. A torn line is counted; after a second head only what follows it counts."""
    head: Head | None = None
    lines: list[Sample] = []
    broken = 0
    for line in data.split(b"\n"):
        if not line:
            continue
        try:
            if b'"boot_id"' in line:
                head, lines = msgspec.json.decode(line, type=Head), []
            else:
                lines.append(_fitting(msgspec.json.decode(line, type=Sample), head))
        except (msgspec.MsgspecError, RecursionError, ValueError):
            broken += 1
    return Samples(head=head, lines=tuple(lines), broken=broken)


def _fitting(sample: Sample, head: Head | None) -> Sample:
    if head is None:
        raise ValueError("a line before the head")
    clocks = len(head.clocks)
    if len(sample.zone) != len(head.zones) or len(sample.khz) != clocks or len(sample.most_khz) != clocks:
        raise ValueError("another number of columns than the head's")
    return sample


def summarise(
    samples: Samples, start_ms: int, end_ms: int, used: Sequence[str] | None = None, skin: Sequence[str] = ()
) -> HeatSeen:
    """The window from `start_ms` to `end_ms` of the phone's uptime.

    `used` are the clusters that the program ran on (None: all); only their clocks discard it. `skin` are patterns of
    zones that are of the surface: the hottest is that of the processor.
    """
    head = samples.head
    if head is None:
        return _nothing("the sampler wrote nothing")
    window = [one for one in samples.lines if one.t_ms is not None and start_ms <= one.t_ms <= end_ms]
    if not window:
        return _nothing("no sample in the window")
    inner = [n for n, name in enumerate(head.zones) if not fits(name, skin)]
    heat = [c for one in window for n in inner if (c := celsius(one.zone[n])) is not None]
    heat += [one.cpu_milli / 1000 for one in window if one.cpu_milli]
    hottest = max(heat, default=None)
    asked = [one.status for one in window if one.status is not msgspec.UNSET]
    statuses = [one for one in asked if one is not None]
    clocks = tuple(_clock(head, samples.lines, window, column) for column in range(len(head.clocks)))
    missing = {}
    if hottest is None:
        missing["hottest_c"] = "no thermal zone of the processor can be read"
    if not statuses:
        missing["worst_status"] = "the thermal service does not answer" if asked else "not asked in this window"
    if not clocks:
        missing["clocks"] = "no clock can be read"
    worst = max(statuses, default=None)
    return HeatSeen(
        samples=len(window),
        hottest_c=hottest,
        worst_status=worst,
        clocks=clocks,
        gaps=gaps(samples, start_ms, end_ms),
        missing=missing,
        discard=_discard(worst, [one for one in clocks if used is None or one.name in used]),
    )


def throttled_at(samples: Samples, start_ms: int, end_ms: int, used: Sequence[str] | None = None) -> int | None:
    """Milliseconds from `start_ms` until the system allowed less than the most that it allowed in all samples, or the
    thermal status reached `SEVERE`; None where neither happened, or nothing was seen.

    `used` as in `summarise`.
    """
    head = samples.head
    window = [one for one in samples.lines if one.t_ms is not None and start_ms <= one.t_ms <= end_ms]
    if head is None or not window:
        return None
    columns = [n for n, name in enumerate(head.clocks) if used is None or name in used]
    best = [
        max((khz for one in samples.lines if (khz := one.most_khz[n])), default=None) for n in range(len(head.clocks))
    ]
    for one in window:
        fallen = any((now := one.most_khz[n]) and (then := best[n]) and now < then for n in columns)
        hot = isinstance(one.status, int) and one.status >= SEVERE
        if fallen or hot:
            assert one.t_ms is not None
            return one.t_ms - start_ms
    return None


def gaps(samples: Samples, start_ms: int, end_ms: int) -> tuple[Gap, ...]:
    """Where the sampler was silent in a window, its two ends included, or the clock went back."""
    if samples.head is None:
        return (Gap(from_ms=start_ms, until_ms=end_ms),)
    longest = GAP * samples.head.period_s * 1000
    times = [one.t_ms for one in samples.lines if one.t_ms is not None]
    inside = [start_ms, *(t for t in times if start_ms < t < end_ms), end_ms]
    silent = [Gap(from_ms=a, until_ms=b) for a, b in pairwise(inside) if b - a > longest]
    return tuple(silent + [Gap(from_ms=a, until_ms=b) for a, b in pairwise(times) if b < a])


def _clock(head: Head, every: Sequence[Sample], window: Sequence[Sample], column: int) -> ClockSeen:
    top = head.top_khz[column] if column < len(head.top_khz) else None
    allowed = [khz for one in window if (khz := one.most_khz[column])]
    best = max((khz for one in every if (khz := one.most_khz[column])), default=None)
    return ClockSeen(
        name=head.clocks[column],
        lowest_most_share=min(allowed) / top if allowed and top else None,
        fell=min(allowed) < best if allowed and best else None,
    )


def _discard(worst: int | None, clocks: Sequence[ClockSeen]) -> str | None:
    if worst is not None and worst >= SEVERE:
        return f"thermal status {worst}"
    fallen = [one for one in clocks if one.fell]
    if not fallen:
        return None
    low = min(fallen, key=lambda one: one.lowest_most_share or 1.0)
    share = "" if low.lowest_most_share is None else f" to {low.lowest_most_share:.0%} of the hardware's"
    return f"the highest clock that the system allows fell{share} ({low.name})"


def _nothing(why: str) -> HeatSeen:
    return HeatSeen(
        samples=0,
        hottest_c=None,
        worst_status=None,
        clocks=(),
        gaps=(),
        missing={"hottest_c": why, "worst_status": why, "clocks": why},
        discard=None,
    )
