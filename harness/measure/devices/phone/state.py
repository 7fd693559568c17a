"""How a phone is right now: charge, heat, screen, room, other work."""

import hashlib
from collections.abc import Mapping

import msgspec

from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone.asking import Answer, ask
from harness.measure.devices.phone.facts import ZONES
from harness.measure.devices.phone.gate import zones_of
from harness.measure.devices.phone.parsers.battery import parse_battery
from harness.measure.devices.phone.parsers.power import parse_screen
from harness.measure.devices.phone.parsers.proc import busy_cores, parse_meminfo, parse_uptime
from harness.measure.devices.phone.parsers.processes import parse_top
from harness.measure.devices.phone.parsers.properties import parse_settings, switch
from harness.measure.devices.phone.parsers.storage import parse_df
from harness.measure.devices.phone.parsers.text import no_service
from harness.measure.devices.phone.parsers.thermal import (
    Thermal,
    hottest,
    of_types,
    parse_thermalservice,
    parse_zones,
)
from harness.values import PhoneSpec, PhoneState

PUSHED_TO = "/data/local/tmp"
# The phone's own services work while they are asked: what else is at work is looked at before them.
QUESTIONS = {
    "work": (
        'for n in 1 2; do read -r u < /proc/uptime; echo "$u"; read -r s < /proc/stat; echo "$s"; '
        "[ $n = 1 ] && sleep 1; done"
    ),
    "memory": "cat /proc/meminfo",
    "boot": "cat /proc/sys/kernel/random/boot_id",
    "uptime": "cat /proc/uptime",
    "storage": f"df -k {PUSHED_TO}",
    "zones": ZONES,
    "thermal": "dumpsys thermalservice",
    "battery": "dumpsys battery",
    "screen": (
        "dumpsys power | grep -E 'mWakefulness=|Display Power: state='; "
        "dumpsys display | grep -E 'mScreenState=|mGlobalDisplayState='"
    ),
    "settings": 'for k in low_power airplane_mode_on; do echo "$k=$(settings get global $k)"; done',
    "top": "top -b -n 2 -d 1 -m 12",
}


def read_phone_state(connection: Connection, spec: PhoneSpec) -> PhoneState:
    """The phone's state; takes some seconds. What could not be read has its reason in `missing`.

    Raises:
        DeviceError: the phone is out of reach.
    """
    return state_from(ask(connection, QUESTIONS), spec)


def state_from(said: Mapping[str, Answer], spec: PhoneSpec) -> PhoneState:
    """The same from the answers. Pure."""
    battery = parse_battery(said["battery"].text)
    settings = parse_settings(said["settings"].text)
    thermal = parse_thermalservice(said["thermal"].text)
    zones = parse_zones(said["zones"].text)
    boot = said["boot"].text.strip()
    state = PhoneState(
        boot_hash=hashlib.sha256(boot.encode()).hexdigest()[:16] if boot and said["boot"].why_not is None else None,
        uptime_s=parse_uptime(said["uptime"].text),
        battery_percent=battery.percent,
        battery_c=battery.celsius,
        battery_mv=battery.millivolts,
        battery_uah=battery.microampere_hours,
        charging=battery.charging,
        plugged=battery.plugged,
        screen_on=parse_screen(said["screen"].text),
        power_save=switch(settings.get("low_power") or ("0" if "low_power" in settings else None)),
        airplane=switch(settings.get("airplane_mode_on")),
        thermal_status=thermal.status,
        cpu_c=_highest(hottest(of_types(zones, zones_of(spec.cool_down).cpu)), thermal.hottest("cpu")),
        skin_c=_highest(hottest(of_types(zones, zones_of(spec.cool_down).skin)), thermal.hottest("skin")),
        available_bytes=parse_meminfo(said["memory"].text).get("MemAvailable"),
        free_bytes=parse_df(said["storage"].text),
        busy_cores=busy_cores(said["work"].text),
        busiest=parse_top(said["top"].text),
    )
    return msgspec.structs.replace(state, missing=_missing(state, said, battery.missing, thermal))


def _missing(state: PhoneState, said: Mapping[str, Answer], battery: str | None, thermal: Thermal) -> dict[str, str]:
    heat = thermal.missing or "the thermal service has no such sensor"
    charge = battery or "`dumpsys battery` leaves it out"
    reasons = {
        "boot_hash": ("boot", "the kernel says no boot_id"),
        "uptime_s": ("uptime", "/proc/uptime cannot be read"),
        "battery_percent": ("battery", charge),
        "battery_c": ("battery", charge),
        "battery_mv": ("battery", charge),
        "battery_uah": ("battery", charge),
        "charging": ("battery", charge),
        "screen_on": ("screen", "neither `dumpsys power` nor `dumpsys display` says it"),
        "power_save": ("settings", "`settings get global low_power` gave nothing"),
        "airplane": ("settings", "`settings get global airplane_mode_on` gave nothing"),
        "thermal_status": ("thermal", thermal.missing or "the thermal service says no status"),
        "cpu_c": ("zones", f"no zone of the CPU can be read, and {heat}"),
        "skin_c": ("zones", f"no zone of the surface can be read, and {heat}"),
        "available_bytes": ("memory", "/proc/meminfo says no MemAvailable"),
        "free_bytes": ("storage", no_service(said["storage"].text) or f"`df -k {PUSHED_TO}` gave no table"),
        "busy_cores": ("work", "/proc/stat cannot be read"),
    }
    return {
        field: said[question].why_not or why
        for field, (question, why) in reasons.items()
        if getattr(state, field) is None
    }


def _highest(*temperatures: float | None) -> float | None:
    return max((t for t in temperatures if t is not None), default=None)
