"""What makes the timed windows of one process doubtful. Pure."""

from collections.abc import Sequence
from statistics import mean, stdev

from harness.values import BandwidthSeen, Observation, Stretch, Timing

OTHER_LOAD_CORES = 0.3
SHORTEST_WALL_NS = 200_000_000
"""Windows that are shorter together say nothing of other load: /proc/stat counts in ticks of 10 ms a core."""
VARIATION = 0.10
MOST_WAITING = 0.03
"""Share of the timed windows that a thread may wait for a CPU."""
MOST_CANARY_LOSS = 0.03
"""The same fixed work took so much longer: the machine was slower, whatever its sensors say."""


def noise(seen: Sequence[Observation], discards: Sequence[Observation] = ()) -> list[str]:
    """What makes the timed windows of one process doubtful; discarded ones only tell how fast it had been."""
    windows = [o for o in seen if isinstance(o, Timing | BandwidthSeen | Stretch)]
    if not windows:
        return []
    doubts = []
    load = other_load_cores(windows)
    if load is not None and load > OTHER_LOAD_CORES:
        doubts.append(f"other load {load:.2f} cores during the timed windows")
    faults = sum(w.major_faults or 0 for w in windows if not isinstance(w, Stretch))
    if faults:
        doubts.append(f"{faults} major page faults in timed windows")
    waited = waiting_share([w for w in windows if isinstance(w, Timing)])
    if waited is not None and waited > MOST_WAITING:
        doubts.append(f"a thread of the model waited {waited:.0%} of the timed windows for a CPU")
    timings, gone = ([w for w in some if isinstance(w, Timing)] for some in (windows, discards))
    loss = canary_loss(timings, gone)
    if loss is not None and loss > MOST_CANARY_LOSS:
        doubts.append(f"beside a timed window the machine was {loss:.0%} slower than at its best (canary)")
    for what, values in _repeated([w for w in windows if not isinstance(w, Stretch)]).items():
        if len(values) >= 2 and (spread := stdev(values) / mean(values)) > VARIATION:
            doubts.append(f"{what} varies by {spread:.0%} between repetitions")
    return doubts


def waiting_share(windows: Sequence[Timing]) -> float | None:
    """Share of these windows that the thread which had to wait longest for a CPU waited; None where unseen."""
    wall = sum(w.wall_ns for w in windows)
    waits = [max((t.wait_ns for t in w.threads if t.wait_ns is not None), default=None) for w in windows]
    seen = [wait for wait in waits if wait is not None]
    return sum(seen) / wall if seen and wall else None


def canary_loss(windows: Sequence[Timing], discards: Sequence[Timing] = ()) -> float | None:
    """Largest share of time lost by a canary beside these windows, against the fastest of the process.

    None without a canary. Where the machine slowed down for good, the fast ones stand beside discarded windows.
    """
    seen = [c for w in windows for c in (w.canary_before, w.canary_after) if c is not None]
    every = [*seen, *(c for w in discards for c in (w.canary_before, w.canary_after) if c is not None)]
    if not seen:
        return None
    compute, read = min(c.compute_ns for c in every), min(c.read_ns for c in every)
    return max(max(c.compute_ns / compute, c.read_ns / read) for c in seen) - 1


def other_load_cores(windows: Sequence[Timing | BandwidthSeen | Stretch]) -> float | None:
    """Cores that others kept busy, or a hypervisor took away, during the windows together.

    None where the machine does not say, or where the windows are too short to tell.
    """
    busy = wall = 0
    for window in windows:
        if window.machine_busy_ns is None or window.cpu_ns is None:
            return None
        busy += window.machine_busy_ns - window.cpu_ns + (window.machine_steal_ns or 0)
        wall += _wall_ns(window)
    return max(0, busy) / wall if wall >= SHORTEST_WALL_NS else None  # summed first: ticks round both ways


def _wall_ns(window: Timing | BandwidthSeen | Stretch) -> int:
    match window:
        case Timing():
            return window.wall_ns
        case BandwidthSeen():
            return window.ns
        case Stretch():
            return window.prefill_ns + window.decode_ns


def _repeated(windows: Sequence[Timing | BandwidthSeen]) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {"prefill": [], "decode": [], "read bandwidth": []}
    for window in windows:
        if isinstance(window, BandwidthSeen):
            rates["read bandwidth"].append(window.bytes / window.ns)
            continue
        rates["prefill"].append(1e9 / window.logits_ns)
        if len(window.token_ns) >= 2:
            rates["decode"].append(1e9 / (window.token_ns[-1] - window.token_ns[0]))
    return rates
