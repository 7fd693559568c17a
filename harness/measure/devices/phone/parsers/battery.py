"""`dumpsys battery`."""

import re

from harness.measure.devices.phone.parsers.text import no_service
from harness.values import Charging, Value

PLUGS = {"AC": "ac", "USB": "usb", "Wireless": "wireless", "Dock": "dock"}
CHARGING = 2
"""Of `status`: 1 unknown, 2 charging, 3 discharging, 4 not charging, 5 full."""
MOST_CELSIUS = 100.0


class Battery(Value, frozen=True):
    percent: float | None = None
    celsius: float | None = None
    millivolts: int | None = None
    microampere_hours: int | None = None
    plugged: tuple[str, ...] = ()
    charging: Charging | None = None
    missing: str | None = None
    """Why nothing was seen."""


def parse_battery(text: str) -> Battery:
    """The battery, or why it is not known. What a test has frozen (`dumpsys battery unplug`) is no battery's state."""
    if "UPDATES STOPPED" in text:
        return Battery(missing="its values are frozen (`dumpsys battery reset` frees them)")
    level, scale = _number("level", text), _number("scale", text)
    plugs = dict(re.findall(r"^\s*(AC|USB|Wireless|Dock) powered: (true|false)\s*$", text, re.MULTILINE))
    if level is None and not plugs:
        return Battery(missing=no_service(text) or "`dumpsys battery` says nothing of it")
    tenths, volts = _number("temperature", text), _number("voltage", text)
    plugged = tuple(word for name, word in PLUGS.items() if plugs.get(name) == "true")
    return Battery(
        percent=100 * level / scale if level is not None and scale and 0 <= level <= scale else None,
        celsius=tenths / 10 if tenths is not None and 0 < tenths / 10 < MOST_CELSIUS else None,
        millivolts=_millivolts(volts),
        microampere_hours=_number("Charge counter", text),
        plugged=plugged,
        charging=_charging(plugged, _number("status", text)) if plugs else None,
    )


def _charging(plugged: tuple[str, ...], status: int | None) -> Charging | None:
    if not plugged:
        return "unplugged"
    if status is None:
        return None
    return "charging" if status == CHARGING else "held"


def _millivolts(value: int | None) -> int | None:
    """Some phones say volts, some microvolts."""
    if value is None or value <= 0:
        return None
    if value < 100:
        return value * 1000
    return value // 1000 if value >= 100_000 else value


def _number(name: str, text: str) -> int | None:
    found = re.search(rf"^\s*{re.escape(name)}: (-?\d{{1,12}})\s*$", text, re.MULTILINE)
    return int(found.group(1)) if found else None
