"""What can be read off a phone and does not change while it is measured."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone.asking import Answer, ask
from harness.measure.devices.phone.gate import zones_of
from harness.measure.devices.phone.parsers.cpus import (
    CpuClock,
    clusters,
    common_features,
    in_words,
    parse_cpufreq,
    usable_cpus,
)
from harness.measure.devices.phone.parsers.proc import parse_cpuinfo, parse_meminfo
from harness.measure.devices.phone.parsers.properties import parse_getprop
from harness.measure.devices.phone.parsers.text import cpu_list, whole
from harness.measure.devices.phone.parsers.thermal import (
    HalTemperature,
    Place,
    of_types,
    parse_thermalservice,
    parse_zones,
)
from harness.values import CoreCluster, DeviceFacts, PhoneFacts, PhoneSpec

CPUS = "/sys/devices/system/cpu"
ZONES = (
    "for z in /sys/class/thermal/thermal_zone*; do t=; v=; "
    '{ read -r t < "$z/type"; read -r v < "$z/temp"; } 2>/dev/null; echo "$z|$t|$v"; done'
)
QUESTIONS = {
    "properties": "getprop",
    "memory": "cat /proc/meminfo",
    "cpuinfo": "cat /proc/cpuinfo",
    "clocks": (
        f"for c in {CPUS}/cpu[0-9]*; do "
        "for f in cpufreq/related_cpus cpufreq/cpuinfo_max_freq cpufreq/scaling_governor cpu_capacity; do "
        'v=; { read -r v < "$c/$f"; } 2>/dev/null; [ -n "$v" ] && echo "$c/$f $v"; done; done'
    ),
    "possible": f"cat {CPUS}/possible",
    "zones": ZONES,
    "thermal": "dumpsys thermalservice",
    "kernel": "uname -r",
    "machine": "uname -m",
}
MEMORY_STEP = 16 << 20
"""Memory is told in such steps: some kernels keep a few pages more or less at each start, and it is one phone still."""


def read_phone_facts(connection: Connection, device: str, spec: PhoneSpec) -> DeviceFacts:
    """Facts of the phone behind a connection; what could not be read has its reason in `missing`.

    Raises:
        DeviceError: the phone is out of reach.
    """
    return facts_from(ask(connection, QUESTIONS), device, spec)


def facts_from(said: Mapping[str, Answer], device: str, spec: PhoneSpec) -> DeviceFacts:
    """The same from the answers. Pure."""
    properties = parse_getprop(said["properties"].text)
    clocks = parse_cpufreq(said["clocks"].text)
    possible = cpu_list(said["possible"].text)
    cores = clusters(parse_cpuinfo(said["cpuinfo"].text), clocks, possible)
    known = {cpu for cluster in cores for cpu in cluster.cpus}
    usable = usable_cpus(cores, spec.affinity)
    phone = _phone(said, properties, cores, spec)
    memory = parse_meminfo(said["memory"].text).get("MemTotal")
    serial = properties.get("ro.serialno") or properties.get("ro.boot.serialno") or ""
    facts = DeviceFacts(
        device=device,
        model=properties.get("ro.product.model") or "unknown phone",
        os=_system(phone, said["kernel"].text.strip()),
        arch=said["machine"].text.strip() or "unknown",
        cpu=", ".join(part for part in (phone.soc or phone.platform, in_words(cores)) if part) or "unknown",
        logical_cpus=len(known) or 1,
        usable_cores=len(usable) or 1,
        memory_bytes=memory // MEMORY_STEP * MEMORY_STEP if memory else None,
        llc_bytes=None,
        cpu_flags=common_features(cores, usable),
        governor=_governor(clocks, usable),
        host_hash=hashlib.sha256(serial.encode()).hexdigest()[:16] if serial else "",
        phone=phone,
    )
    return _with_reasons(facts, said)


def _phone(
    said: Mapping[str, Answer], properties: dict[str, str], cores: tuple[CoreCluster, ...], spec: PhoneSpec
) -> PhoneFacts:
    zones = parse_zones(said["zones"].text)
    sensors = parse_thermalservice(said["thermal"].text).temperatures
    api_level = whole(properties.get("ro.build.version.sdk"))
    return PhoneFacts(
        clusters=cores,
        manufacturer=properties.get("ro.product.manufacturer") or None,
        soc=properties.get("ro.soc.model") or None,
        platform=properties.get("ro.board.platform") or None,
        android=properties.get("ro.build.version.release") or None,
        api_level=api_level if api_level and api_level > 0 else None,
        fingerprint=properties.get("ro.build.fingerprint") or None,
        cpu_zones=tuple(sorted({z.type for z in of_types(zones, zones_of(spec.cool_down).cpu)})),
        skin_zones=tuple(sorted({z.type for z in of_types(zones, zones_of(spec.cool_down).skin)})),
        cpu_sensors=_readable(sensors, "cpu"),
        skin_sensors=_readable(sensors, "skin"),
    )


def _readable(sensors: Iterable[HalTemperature], place: Place) -> tuple[str, ...]:
    return tuple(sorted({one.name for one in sensors if one.place == place and one.celsius is not None}))


def _with_reasons(facts: DeviceFacts, said: Mapping[str, Answer]) -> DeviceFacts:
    """Why a field was not seen: what the phone said, or what it left out."""
    phone = facts.phone
    assert isinstance(phone, PhoneFacts)
    absent = {
        "memory_bytes": (facts.memory_bytes is None, "memory", "/proc/meminfo says no MemTotal"),
        "cpu_flags": (not facts.cpu_flags, "cpuinfo", "/proc/cpuinfo lists no features"),
        "governor": (facts.governor is None, "clocks", "cpufreq cannot be read"),
        "clusters": (not phone.clusters, "cpuinfo", "the kernel describes no CPU"),
        "host_hash": (not facts.host_hash, "properties", "the phone says no serial number"),
        "soc": (phone.soc is None, "properties", "no ro.soc.model, as before Android 12"),
        "fingerprint": (phone.fingerprint is None, "properties", "no ro.build.fingerprint"),
        "cpu_zones": (not phone.cpu_zones, "zones", "no thermal zone of the CPU can be read"),
        "skin_zones": (not phone.skin_zones, "zones", "no thermal zone of the surface can be read"),
        "cpu_sensors": (not phone.cpu_sensors, "thermal", _silent(said["thermal"], "CPU")),
        "skin_sensors": (not phone.skin_sensors, "thermal", _silent(said["thermal"], "skin")),
    }
    missing = {field: said[question].why_not or why for field, (lacks, question, why) in absent.items() if lacks}
    missing["llc_bytes"] = "phones do not describe their last cache"
    return msgspec.structs.replace(facts, missing=missing)


def _silent(thermal: Answer, place: str) -> str:
    return parse_thermalservice(thermal.text).missing or f"the thermal service reads no {place} sensor"


def _system(phone: PhoneFacts, kernel: str) -> str:
    android = f"Android {phone.android}" if phone.android else "Android"
    level = f" (API {phone.api_level})" if phone.api_level else ""
    return f"{android}{level}" + (f", kernel {kernel}" if kernel else "")


def _governor(clocks: dict[int, CpuClock], cpus: tuple[int, ...]) -> str | None:
    """Of the CPUs that are used."""
    found = sorted({clock.governor for cpu in cpus if (clock := clocks.get(cpu)) and clock.governor})
    return ", ".join(found) or None
