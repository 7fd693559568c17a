"""Heat: `dumpsys thermalservice` and /sys/class/thermal.

A sensor that shows 0 °C or something no phone survives is one that is not there: unknown, never cool.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from harness.measure.devices.phone.parsers.text import no_service
from harness.measure.devices.phone.temperatures import celsius, fits
from harness.values import Value

Place = Literal["cpu", "skin", "battery", "other"]
TYPES: dict[int, Place] = {0: "cpu", 2: "battery", 3: "skin"}
"""Android's TemperatureType; others are of no use here, and 6 to 8 are no temperatures at all."""
NAMED: dict[str, Place] = {"TYPE_CPU": "cpu", "TYPE_BATTERY": "battery", "TYPE_SKIN": "skin"}
"""Some makers number the types otherwise, and name the sensor after its type."""
CURRENT = "Current temperatures from HAL:"
COLDEST_C, HOTTEST_C = -30.0, 150.0


class HalTemperature(Value, frozen=True):
    name: str
    place: Place
    celsius: float | None
    severity: int
    """The sensor's own throttling status."""


class Thermal(Value, frozen=True):
    """What Android's thermal service says."""

    status: int | None
    """0 none, 1 light, 2 moderate, 3 severe, 4 critical, 5 emergency, 6 shutdown."""
    temperatures: tuple[HalTemperature, ...]
    missing: str | None
    """Why there is no status or no temperature."""

    def hottest(self, place: Place) -> float | None:
        return max((t.celsius for t in self.temperatures if t.place == place and t.celsius is not None), default=None)


class Zone(Value, frozen=True):
    """One zone of /sys/class/thermal."""

    number: int
    type: str
    celsius: float | None


def parse_thermalservice(text: str) -> Thermal:
    """Only current readings count: cached ones may be hours old."""
    status = re.search(r"^Thermal Status: (\d)\s*$", text, re.MULTILINE)
    overridden = re.search(r"^IsStatusOverride: true", text, re.MULTILINE) is not None
    missing = no_service(text)
    if overridden:
        missing = "somebody set the status by hand (`cmd thermalservice reset` ends that)"
    elif status is None:
        missing = missing or "the thermal service says no status"
    elif CURRENT not in text:
        missing = "the thermal service reads no sensor"
    return Thermal(
        status=int(status.group(1)) if status and not overridden else None,
        temperatures=tuple(_current(text)),
        missing=missing,
    )


def _current(text: str) -> Iterable[HalTemperature]:
    inside = False
    for line in text.splitlines():
        if line.strip() == CURRENT:
            inside = True
        elif inside and (
            found := re.search(r"Temperature\{mValue=([^,}]+), mType=(-?\d+), mName=(.*), mStatus=(-?\d+)\}", line)
        ):
            value, kind, name, severity = found.groups()
            place = NAMED.get(name.strip(), TYPES.get(int(kind), "other"))
            yield HalTemperature(name=name.strip(), place=place, celsius=_plausible(value), severity=int(severity))
        elif inside and line.strip():
            return


def parse_zones(text: str) -> tuple[Zone, ...]:
    """Lines `…/thermal_zoneN|TYPE|TEMPERATURE`; a temperature that cannot be read is empty."""
    found = re.findall(r"thermal_zone(\d{1,4})\|([^|\r\n]*)\|([^|\r\n]*?)[ \t\r]*$", text, re.MULTILINE)
    return tuple(Zone(number=int(n), type=kind.strip(), celsius=_of_zone(value)) for n, kind, value in found)


def of_types(zones: Sequence[Zone], patterns: Sequence[str]) -> tuple[Zone, ...]:
    """Readable zones whose type fits one of the patterns."""
    readable = (zone for zone in zones if zone.celsius is not None)
    return tuple(zone for zone in readable if fits(zone.type, patterns))


def hottest(zones: Iterable[Zone]) -> float | None:
    return max((zone.celsius for zone in zones if zone.celsius is not None), default=None)


def _of_zone(text: str) -> float | None:
    found = re.fullmatch(r"\d{1,9}", text.strip())
    return celsius(int(found.group())) if found else None


def _plausible(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value != 0 and COLDEST_C < value < HOTTEST_C else None
