"""How fast the CPUs run and who decides: governor, turbo, heat, power. Read from a tree, as the kernel shows it."""

import re
from collections.abc import Iterable
from pathlib import Path

from harness.doctor.kernel import number, text
from harness.health import Check

CPU = Path("sys/devices/system/cpu")
STEADY = "performance"
NEAR_TRIP_C = 10.0
HOTTEST_C = 150.0
"""Trip points above are placeholders, as are those at or below 0."""


def clock_checks(root: Path, cpus: Iterable[int]) -> tuple[Check, ...]:
    return (_governor(root, cpus), _turbo(root), _thermal(root), _power(root))


def _governor(root: Path, cpus: Iterable[int]) -> Check:
    files = [root / CPU / f"cpu{cpu}/cpufreq/scaling_governor" for cpu in sorted(cpus)]
    names = sorted({body.strip() for file in files if (body := text(file))})
    if not names:
        why = "no cpufreq on this machine (usual for a virtual one): the clock is decided elsewhere"
        return Check(name="governor", state="unknown", seen=None, reason=why)
    steady = names == [STEADY]
    return Check(
        name="governor",
        state="good" if steady else "doubtful",
        seen=", ".join(names),
        effect="" if steady else "the clock ramps up in the first milliseconds: short prefills lose most",
        advice="" if steady else "`cpupower frequency-set -g performance` as root",
    )


def _turbo(root: Path) -> Check:
    off, boost = number(root / CPU / "intel_pstate/no_turbo"), number(root / CPU / "cpufreq/boost")
    if off is None and boost is None:
        why = "neither intel_pstate/no_turbo nor cpufreq/boost is shown"
        return Check(name="turbo", state="unknown", seen=None, reason=why)
    steady = off == 1 if off is not None else boost == 0
    switch = "`echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo`"
    if off is None:
        switch = "`echo 0 > /sys/devices/system/cpu/cpufreq/boost`"
    return Check(
        name="turbo",
        state="good" if steady else "doubtful",
        seen="off" if steady else "on",
        effect="" if steady else "the clock falls with heat and with the number of busy cores: rounds drift",
        advice="" if steady else f"{switch} as root, or say that it was on",
    )


def _thermal(root: Path) -> Check:
    zones = [zone for folder in sorted((root / "sys/class/thermal").glob("thermal_zone*")) if (zone := _zone(folder))]
    if not zones:
        return Check(name="heat", state="unknown", seen=None, reason="no thermal zone is shown")
    hottest = max(celsius for _, celsius, _ in zones)
    near = [(trip - celsius, kind, celsius, trip) for kind, celsius, trip in zones if trip is not None]
    if not near:
        why = f"no zone has a trip point; the hottest of {len(zones)} zones shows {hottest:.0f} °C"
        return Check(name="heat", state="unknown", seen=None, reason=why, values={"hottest_celsius": hottest})
    margin, kind, celsius, trip = min(near)
    bad, doubtful = margin <= 0, margin < NEAR_TRIP_C
    return Check(
        name="heat",
        state="bad" if bad else "doubtful" if doubtful else "good",
        seen=f"{kind}: {celsius:.0f} °C, slowed down at {trip:.0f} °C ({len(zones)} zones, hottest {hottest:.0f} °C)",
        effect="the clock is lowered within a run: what is measured last looks slow" if doubtful else "",
        advice="let it cool down, and look at fan and dust" if doubtful else "",
        values={"hottest_celsius": hottest, "margin_celsius": margin},
    )


def _zone(folder: Path) -> tuple[str, float, float | None] | None:
    """(kind, °C, lowest trip point that slows down or stops the machine)."""
    milli = number(folder / "temp")
    if milli is None or not 0 < milli / 1000 < HOTTEST_C:  # broken sensors read 0 or far below
        return None
    trips = []
    for file in folder.glob("trip_point_*_type"):
        limit = number(file.with_name(file.name.replace("_type", "_temp")))
        kind = (text(file) or "").strip()
        if kind in ("passive", "hot", "critical") and limit is not None and 0 < limit / 1000 < HOTTEST_C:
            trips.append(limit / 1000)
    name = re.sub(r"\s+", " ", (text(folder / "type") or "").strip()) or folder.name
    return name, milli / 1000, min(trips, default=None)


def _power(root: Path) -> Check:
    folders = sorted((root / "sys/class/power_supply").glob("*"))
    kinds = {folder: (text(folder / "type") or "").strip() for folder in folders}
    # A battery with scope `Device` belongs to a mouse or a keyboard.
    own = [f for f, kind in kinds.items() if kind == "Battery" and (text(f / "scope") or "").strip() != "Device"]
    mains = [f for f, kind in kinds.items() if kind in ("Mains", "USB") and number(f / "online") == 1]
    if not own and not mains:
        why = "no power supply is shown (usual for a server or a virtual machine)"
        return Check(name="power", state="unknown", seen=None, reason=why)
    drained = any((text(folder / "status") or "").strip() == "Discharging" for folder in own)
    return Check(
        name="power",
        state="bad" if drained else "good",
        seen="battery" if drained else "mains",
        effect="clocks are lowered to save power, and change with the charge" if drained else "",
        advice="plug it in" if drained else "",
    )
