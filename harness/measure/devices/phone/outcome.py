"""What is left of a job on a phone → what the host knows of it. Pure."""

import hashlib
import signal
from collections.abc import Sequence
from statistics import median

import msgspec

from harness.measure.devices.phone import gate, settings
from harness.measure.devices.phone.energy import battery_drop
from harness.measure.devices.phone.gate import GateStep, parse_trace
from harness.measure.devices.phone.job import Ended, JobState, parse_cores
from harness.measure.devices.phone.samples import Samples, gaps, parse_samples, summarise, throttled_at
from harness.measure.devices.phone.temperatures import SKIN_ZONES, celsius
from harness.measure.jobs import Outcome
from harness.values import ClusterSeen, CoreCluster, PhoneFacts, ProcessSeen, Surroundings

DENIED, MISSING = 126, 127
FIELDS = {"hottest_c": "cpu_highest_c", "worst_status": "thermal_status", "clocks": "clusters"}
"""Of what the samples say → of the surroundings."""
LONGEST_SILENCE_MS = 10_000


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """A job's files, as they were fetched."""

    state: JobState
    events: bytes
    stderr: bytes
    samples: bytes
    gate: bytes
    settings: bytes = b""
    cores: tuple[int, ...] = ()
    """CPUs that were asked for."""
    skin_zones: tuple[str, ...] = ()
    """Types of the zones that are of the surface, as far as they are known."""
    killed_for_memory: bool = False
    """The phone's low-memory killer said that it struck."""


def outcome_of(remains: Remains, phone: PhoneFacts) -> Outcome:
    """The outcome of a job that has ended; of one that is gone, what it left and why that is all."""
    state = remains.state
    samples = parse_samples(remains.samples)
    ended = state.rc
    process = _process(ended)
    around, worthless = _surroundings(remains, samples, phone)
    return Outcome(
        process=process,
        events=remains.events,
        stderr_tail=_said(remains.stderr, ended),
        timed_out=ended is not None and ended.cause == "timed_out",
        out_of_memory=process.signal == "SIGKILL" and remains.killed_for_memory,
        surroundings=around,
        worthless=worthless,
        doubts=(*_doubts(remains, timed=around is not None), *_silences(samples, ended)),
        lost=_lost(state),
    )


def died(state: JobState) -> bool:
    """Whether nobody saw how the program ended: no fault of the program's."""
    return state.phase == "gone" or (state.phase == "ended" and (state.rc is None or state.rc.cause == "lost"))


def _lost(state: JobState) -> str | None:
    if not died(state):
        return None
    if state.phase == "gone":
        return "the phone was started anew, or all processes of the job died, more than once while it ran"
    return "the job's processes died on the phone, and nobody saw how the program ended"


def _process(ended: Ended | None) -> ProcessSeen:
    number = ended.signal if ended else None
    took = ended.end_ms - ended.start_ms if ended and ended.end_ms is not None and ended.start_ms is not None else 0
    known = number is not None and number in {s.value for s in signal.Signals}
    return ProcessSeen(
        exit_code=ended.code if ended and number is None else None,
        signal=None if number is None else signal.Signals(number).name if known else f"signal {number}",
        wall_ns=max(0, took) * 1_000_000,
        user_ns=None,
        system_ns=None,
        major_faults=None,
    )


def _said(stderr: bytes, ended: Ended | None) -> str:
    text = stderr.decode(errors="replace")
    if ended is not None and ended.code == DENIED:
        text += "\nthe phone does not let the program be executed (exit code 126)"
    if ended is not None and ended.code == MISSING:
        text += "\nthe phone does not find the program (exit code 127)"
    return text


def _silences(samples: Samples, ended: Ended | None) -> tuple[str, ...]:
    """While nobody looked, the phone may have been hot or slow."""
    if samples.head is None or ended is None or ended.start_ms is None or ended.end_ms is None:
        return ()
    silent = sum(max(0, gap.until_ms - gap.from_ms) for gap in gaps(samples, ended.start_ms, ended.end_ms))
    return (f"the sampler saw nothing for {silent / 1000:.0f} s of the job",) if silent > LONGEST_SILENCE_MS else ()


def _doubts(remains: Remains, *, timed: bool) -> tuple[str, ...]:
    """A setting that is refused is no doubt about answers, of which no time is taken."""
    found = []
    waited = gate.seen(remains.state.gate, remains.gate)
    if waited is not None and (why := gate.doubt(waited)) is not None:
        found.append(why)
    if remains.cores and (why := _misplaced(remains.cores, remains.state.affinity)) is not None:
        found.append(why)
    return (*found, *settings.doubts(settings.parse_settings(remains.settings))) if timed else tuple(found)


def _misplaced(wanted: Sequence[int], seen: str | None) -> str | None:
    allowed = _cores(seen)
    if allowed is None:
        return "which cores the program could use was not seen"
    return None if set(allowed) == set(wanted) else f"the program could use the cores {seen}, not those asked for"


def _cores(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(sorted(parse_cores(text)))
    except ValueError:
        return None


def _surroundings(remains: Remains, samples: Samples, phone: PhoneFacts) -> tuple[Surroundings | None, str | None]:
    """What the sensors saw, and why the timed windows are worthless; both None for a job that nobody sampled."""
    state = remains.state
    if state.gate is None and not remains.samples:
        return None, None
    steps = parse_trace(remains.gate)
    last = steps[-1] if steps else None
    start = state.rc.start_ms if state.rc else None
    end = state.rc.end_ms if state.rc else None
    first_ms, last_ms = (0, 1 << 62) if start is None or end is None else (start, end)
    used = _names_of(samples, remains.cores, phone)
    heat = summarise(samples, first_ms, last_ms, used, (*SKIN_ZONES, *remains.skin_zones))
    levels = [one.level for one in samples.lines if one.level is not None]
    missing = {FIELDS.get(name, name): why for name, why in heat.missing.items()}
    if last is not None and last.cpu_milli is None:
        missing["cpu_before_c"] = "no zone of the processor can be read"
    result = state.gate.result if state.gate else "none"
    drop = battery_drop(samples, first_ms, last_ms)
    changed = settings.parse_settings(remains.settings)
    if drop.missing is not None:
        missing["battery_drop_percent"] = drop.missing
    return (
        Surroundings(
            gate="not_settled" if result == "stopped" else result,
            gate_s=float(state.gate.waited_s) if state.gate else None,
            cpu_before_c=_celsius(last, "cpu_milli"),
            cpu_highest_c=heat.hottest_c,
            skin_before_c=_celsius(last, "skin_milli"),
            skin_highest_c=_skin(samples, remains.skin_zones),
            thermal_status=heat.worst_status,
            clusters=_clusters(samples, phone),
            affinity=remains.cores,
            allowed=_cores(state.affinity),
            battery_before_percent=levels[0] if levels else None,
            battery_after_percent=levels[-1] if levels else None,
            battery_drop_percent=drop.percent,
            throttled_after_s=None if (at := throttled_at(samples, first_ms, last_ms, used)) is None else at / 1000,
            charging=_charging(samples),
            settings=changed.settings,
            fixed_performance=changed.fixed_performance,
            samples=heat.samples,
            boot_hash=hashlib.sha256(state.boot_id.encode()).hexdigest()[:16],
            missing=missing,
        ),
        heat.discard,
    )


def _celsius(step: GateStep | None, field: str) -> float | None:
    milli = getattr(step, field) if step is not None else None
    return None if milli is None else milli / 1000


def _skin(samples: Samples, types: Sequence[str]) -> float | None:
    seen = [one.skin_milli / 1000 for one in samples.lines if one.skin_milli]
    columns = [n for n, name in enumerate(samples.head.zones if samples.head else ()) if name in types]
    seen += [c for one in samples.lines for n in columns if (c := celsius(one.zone[n])) is not None]
    return max(seen, default=None)


def _charging(samples: Samples) -> str | None:
    told = {one.powered for one in samples.lines if one.powered is not None}
    return None if not told else "plugged" if told == {True} else "unplugged" if told == {False} else "changed"


def _names_of(samples: Samples, cores: Sequence[int], phone: PhoneFacts) -> tuple[str, ...] | None:
    """The sampler's names of the clusters that these cores are of; None: all."""
    if not cores or samples.head is None:
        return None
    return tuple(name for name in samples.head.clocks if set(_cpus(name, phone)) & set(cores))


def _cpus(name: str, phone: PhoneFacts) -> tuple[int, ...]:
    """`policy4` is the cluster that begins with CPU 4, `cpu4` that core alone."""
    number = name.removeprefix("policy").removeprefix("cpu")
    if not number.isdigit():
        return ()
    first = int(number)
    if name.startswith("policy"):
        of_cluster: list[CoreCluster] = [c for c in phone.clusters if first in c.cpus]
        return of_cluster[0].cpus if of_cluster else (first,)
    return (first,)


def _clusters(samples: Samples, phone: PhoneFacts) -> tuple[ClusterSeen, ...]:
    head = samples.head
    if head is None:
        return ()
    found = []
    for column, name in enumerate(head.clocks):
        now = [khz for one in samples.lines if (khz := one.khz[column])]
        cap = [khz for one in samples.lines if (khz := one.most_khz[column])]
        found.append(
            ClusterSeen(
                cpus=_cpus(name, phone),
                most_khz=head.top_khz[column] if column < len(head.top_khz) else None,
                median_khz=round(median(now)) if now else None,
                lowest_khz=min(now, default=None),
                cap_khz=min(cap, default=None),
            )
        )
    return tuple(found)
