"""The cool-down gate before a job: what it waits for, and what came of it.

The wrapper waits on the phone. It has settled once the thermal status is 0, the skin is at most 35 °C and at most
2 °C above the start of the session, and the hottest CPU zone is below its limit, all without a break for 30 s. A
sensor that cannot be read is never taken for cool: what can be read must be cool for as long, the wait is longer,
and the result is `unknown`.
"""

from typing import Literal

import msgspec

from harness.errors import InputError
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone.temperatures import CPU_ZONES, SKIN_ZONES, any_case
from harness.measure.devices.phone.wrapper import Wrapper, ask
from harness.values.phones import CoolDown

Result = Literal["settled", "not_settled", "unknown", "stopped"]
_PATTERN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:*?[]-")


class Zones(msgspec.Struct, frozen=True, kw_only=True):
    """Thermal zones by their type, as patterns of a shell (`*`, `?`, `[ab]`), upper and lower case alike.

    Beside them the thermal service is asked for its CPU and skin temperatures.
    """

    cpu: tuple[str, ...] = CPU_ZONES
    skin: tuple[str, ...] = SKIN_ZONES


class GateWish(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a cool-down, in whole seconds and °C."""

    least_s: int = 60
    most_s: int = 300
    blind_s: int = 180
    """So long is waited at least where a sensor cannot be read."""
    stable_s: int = 30
    poll_s: float = 5.0
    skin_most_c: float = 35.0
    skin_rise_c: float = 2.0
    skin_start_c: float | None
    """The skin at the start of the session; None: it could not be read, and the gate cannot settle."""
    cpu_most_c: float = 45.0


class Heat(msgspec.Struct, frozen=True, kw_only=True):
    """One reading; None is what could not be read."""

    t_ms: int | None
    """Since the phone's boot."""
    status: int | None
    """Of the thermal service: 0 none … 6 shutdown."""
    skin_milli: int | None
    cpu_milli: int | None
    """Hottest zone, m°C."""


class GateStep(Heat, frozen=True, kw_only=True):
    """One reading of the gate, and what it was taken for."""

    judged: Literal["cool", "blind", "hot"]


class GateEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a wait ended."""

    result: Result
    waited_s: int


class GateSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A whole wait."""

    result: Result
    waited_s: int
    steps: tuple[GateStep, ...]


def wish_of(cool: CoolDown, skin_start_c: float | None) -> GateWish:
    """The gate of a phone as devices.yaml describes it."""
    return GateWish(
        least_s=round(cool.least_s),
        most_s=round(cool.most_s),
        blind_s=round(min(180.0, cool.most_s)),
        stable_s=round(cool.stable_s),
        poll_s=min(5.0, max(0.2, cool.stable_s / 3)),
        skin_most_c=cool.skin_c,
        skin_rise_c=cool.skin_rise_c,
        skin_start_c=skin_start_c,
        cpu_most_c=cool.cpu_c,
    )


def zones_of(cool: CoolDown) -> Zones:
    """The named zones, or else the usual ones."""
    return Zones(cpu=cool.cpu_zones or CPU_ZONES, skin=cool.skin_zones or SKIN_ZONES)


def conf_lines(wish: GateWish) -> list[str]:
    """A wish in the words of wrapper.conf."""
    lines = [
        "gate 1",
        f"gate_least_s {wish.least_s}",
        f"gate_most_s {max(wish.most_s, wish.least_s)}",
        f"gate_blind_s {wish.blind_s}",
        f"gate_stable_s {wish.stable_s}",
        f"gate_poll_s {wish.poll_s:g}",
        f"skin_most_milli {_milli(wish.skin_most_c)}",
        f"skin_rise_milli {_milli(wish.skin_rise_c)}",
        f"cpu_most_milli {_milli(wish.cpu_most_c)}",
    ]
    return lines if wish.skin_start_c is None else [*lines, f"skin_start_milli {_milli(wish.skin_start_c)}"]


def zone_lines(zones: Zones) -> list[str]:
    """Zones in the words of wrapper.conf.

    Raises:
        InputError: a pattern that the phone's shell would not take as one word.
    """
    for pattern in (*zones.cpu, *zones.skin):
        if not pattern or not set(pattern) <= _PATTERN:
            raise InputError(f"thermal zone {pattern!r}: letters, digits and ._:*?[]- only")
    return [f"cpu_zone {any_case(one)}" for one in zones.cpu] + [f"skin_zone {any_case(one)}" for one in zones.skin]


def read_heat(connection: Connection, wrapper: Wrapper, folder: str) -> Heat:
    """One reading now, with the zones of the job's folder: the start of a session.

    Raises:
        DeviceError, DeviceLostError: as `ask`.
    """
    return ask(connection, wrapper, "heat", folder, answer=Heat)


def parse_trace(trace: bytes) -> tuple[GateStep, ...]:
    """The job's gate.jsonl; torn and broken lines are left out."""
    steps = []
    for line in trace.split(b"\n"):
        try:
            steps.append(msgspec.json.decode(line, type=GateStep))
        except (msgspec.MsgspecError, RecursionError):
            continue
    return tuple(steps)


def seen(end: GateEnd | None, trace: bytes) -> GateSeen | None:
    """None where the job had no gate, or it has not ended."""
    return None if end is None else GateSeen(result=end.result, waited_s=end.waited_s, steps=parse_trace(trace))


def doubt(gate: GateSeen) -> str | None:
    """What a record says of a job that did not start cool for certain; None where it did."""
    last = gate.steps[-1] if gate.steps else None
    if gate.result == "settled":
        return None
    if gate.result == "stopped":
        return f"thermal_not_settled: stopped after {gate.waited_s} s of cool-down"
    if last is None:
        return f"thermal_{gate.result}: no reading in {gate.waited_s} s"
    parts = [
        "thermal status unknown" if last.status is None else f"thermal status {last.status}",
        "skin unknown" if last.skin_milli is None else f"skin {last.skin_milli / 1000:.1f} °C",
        "CPU unknown" if last.cpu_milli is None else f"hottest CPU zone {last.cpu_milli / 1000:.1f} °C",
    ]
    return f"thermal_{gate.result} after {gate.waited_s} s: {', '.join(parts)}"


def _milli(celsius: float) -> int:
    return round(celsius * 1000)
