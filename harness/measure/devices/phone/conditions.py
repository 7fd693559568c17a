"""How busy a phone is just before a job."""

import re
from collections.abc import Mapping

from harness.measure.devices.phone.asking import Answer
from harness.measure.devices.phone.parsers.battery import parse_battery
from harness.measure.devices.phone.parsers.proc import parse_meminfo
from harness.measure.jobs import Conditions

CONDITIONS = {"load": "cat /proc/loadavg", "memory": "cat /proc/meminfo", "battery": "dumpsys battery"}


def conditions_from(said: Mapping[str, Answer]) -> Conditions:
    """The answers to `CONDITIONS`. Pure."""
    load = re.match(r"(\d{1,6}\.\d{1,4}) ", said["load"].text)
    charging = parse_battery(said["battery"].text).charging
    return Conditions(
        load_average=float(load.group(1)) if load else None,
        available_bytes=parse_meminfo(said["memory"].text).get("MemAvailable"),
        power=None if charging is None else "battery" if charging == "unplugged" else "mains",
    )
