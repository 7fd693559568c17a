"""The phone's file system: a folder with a shell, Android's commands, and what its kernel would tell."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.standin.phone import Phone

SHELLS = (
    "/usr/lib/*-linux-musl*/bin/mksh",
    "/usr/lib/*dietlibc*/bin/mksh",
    "/bin/mksh-static",
    "/usr/lib/klibc/bin/mksh",
)
FOLDERS = ("data/local/tmp", "proc", "dev", "sdcard", "system/bin", "standin/settings", "standin/dumpsys")
GETPROP = """#!/system/bin/sh
if [ -z "$1" ]; then sed 's/^\\([^=]*\\)=\\(.*\\)$/[\\1]: [\\2]/' /standin/properties
else
  while IFS='=' read -r key value; do [ "$key" = "$1" ] && echo "$value" && exit; done < /standin/properties
  echo "$2"
fi
"""
DUMPSYS = """#!/system/bin/sh
if [ -r "/standin/dumpsys/$1" ]; then cat "/standin/dumpsys/$1"; else echo "Can't find service: $1" >&2; exit 20; fi
"""
SETTINGS = """#!/system/bin/sh
mkdir -p "/standin/settings/$2"
file="/standin/settings/$2/$3"
echo "settings $*" >> /standin/commands.log
case $1 in
get) if [ -f "$file" ]; then cat "$file"; else echo null; fi ;;
put) echo "$4" > "$file" ;;
delete) if [ -f "$file" ]; then rm "$file"; echo 'Deleted 1 rows'; else echo 'Deleted 0 rows'; fi ;;
*) echo "Unknown command: $1" >&2; exit 255 ;;
esac
"""
COMMAND = """#!/system/bin/sh
echo "cmd $*" >> /standin/commands.log
"""
NOHUP = """#!/system/bin/sh
trap '' HUP
exec "$@"
"""


def find_shell() -> Path | None:
    """A mksh that needs no library: it is copied to where there are none."""
    for pattern in SHELLS:
        for found in sorted(Path("/").glob(pattern.lstrip("/"))):
            if _needs_no_library(found):
                return found
    return None


def find_busybox() -> Path | None:
    found = shutil.which("busybox")
    return Path(found) if found and _needs_no_library(Path(found)) else None


def make_root(root: Path, phone: Phone, shell: Path, busybox: Path) -> None:
    """Write all files of a phone below `root`, which may exist."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    programs = root / "system" / "bin"
    shutil.copy(shell, programs / "sh")
    shutil.copy(busybox, programs / "busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet not in ("sh", "busybox") and not (programs / applet).is_symlink():
            (programs / applet).symlink_to("busybox")
    ours = {"getprop": GETPROP, "dumpsys": DUMPSYS, "settings": SETTINGS, "cmd": COMMAND, "nohup": NOHUP}
    for name, text in ours.items():
        (programs / name).unlink(missing_ok=True)
        _write(root, f"system/bin/{name}", text, 0o755)
    _write(root, "standin/properties", "".join(f"{k}={v}\n" for k, v in phone.all_properties().items()))
    _write(root, "standin/dumpsys/battery", battery_text(phone))
    _write(root, "standin/dumpsys/thermalservice", thermal_text(phone))
    _write(root, "standin/dumpsys/power", "mWakefulness=Asleep\nmIsPowered=true\nmStayOn=false\n")
    _write(root, "standin/settings/system/screen_brightness", "102\n")
    _write(root, "standin/settings/global/airplane_mode_on", "0\n")
    _write(root, "standin/proc/meminfo", memory_text(phone))
    _write(root, "standin/proc/cpuinfo", "".join(_cpuinfo(phone)))
    _write_sensors(root, phone)


def battery_text(phone: Phone) -> str:
    seen = phone.battery
    return (
        "Current Battery Service state:\n"
        f"  AC powered: false\n  USB powered: {str(seen.usb).lower()}\n  Wireless powered: false\n"
        f"  Max charging current: 500000\n  Charge counter: 4300000\n  status: {seen.status}\n  health: 2\n"
        f"  present: true\n  level: {seen.level}\n  scale: 100\n  voltage: {seen.millivolts}\n"
        f"  temperature: {seen.celsius * 10:.0f}\n  technology: Li-ion\n"
    )


def thermal_text(phone: Phone) -> str:
    """As Android 14 prints it."""
    kinds = (("cpu", 0), ("battery", 2), ("shell", 3))
    readings = "".join(
        f"\tTemperature{{mValue={zone.celsius}, mType={kind}, mName={zone.type}, mStatus={phone.thermal_status}}}\n"
        for zone in phone.zones
        for start, kind in kinds
        if zone.type.startswith(start)
    )
    return (
        f"IsStatusOverride: false\nThermalEventListeners:\n\tcallbacks: 1\nThermal Status: {phone.thermal_status}\n"
        f"Cached temperatures:\n{readings}HAL Ready: true\nCurrent temperatures from HAL:\n{readings}"
        "Current cooling devices from HAL:\n"
    )


def memory_text(phone: Phone) -> str:
    told = {
        "MemTotal": phone.memory_bytes,
        "MemFree": phone.available_bytes // 2,
        "MemAvailable": phone.available_bytes,
        "SwapTotal": phone.swap_bytes,
        "SwapFree": phone.swap_bytes,
    }
    return "".join(f"{name + ':':<15}{size // 1024:>10} kB\n" for name, size in told.items())


def _cpuinfo(phone: Phone) -> Iterable[str]:
    for number, core in enumerate(phone.cores):
        yield (
            f"processor\t: {number}\nBogoMIPS\t: 38.40\nFeatures\t: {phone.cpu_features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {core.part}\nCPU revision\t: 0\n\n"
        )


def _write_sensors(root: Path, phone: Phone) -> None:
    for number, zone in enumerate(phone.zones):
        folder = f"sys/class/thermal/thermal_zone{number}"
        _write(root, f"{folder}/type", zone.type + "\n")
        _write(root, f"{folder}/temp", f"{zone.celsius * 1000:.0f}\n", 0o644 if zone.readable else 0)
    _write(root, "sys/class/power_supply/battery/current_now", "-512000\n", 0)
    _write(root, "sys/class/power_supply/battery/capacity", f"{phone.battery.level}\n")
    last = len(phone.cores) - 1
    for name in ("possible", "present", "online"):
        _write(root, f"sys/devices/system/cpu/{name}", f"0-{last}\n")
    for number, core in enumerate(phone.cores):
        folder = f"sys/devices/system/cpu/cpu{number}/cpufreq"
        mates = [str(other) for other, one in enumerate(phone.cores) if one.policy == core.policy]
        facts = {
            "cpuinfo_max_freq": core.max_khz,
            "cpuinfo_min_freq": core.min_khz,
            "scaling_max_freq": core.max_khz,
            "scaling_min_freq": core.min_khz,
            "scaling_cur_freq": core.max_khz,
            "related_cpus": " ".join(mates),
            "scaling_governor": "walt",
        }
        for name, value in facts.items():
            _write(root, f"{folder}/{name}", f"{value}\n")


def _write(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _needs_no_library(program: Path) -> bool:
    """Whether an ELF file asks for no interpreter."""
    with open(program, "rb") as file:
        head = file.read(64)
        if head[:5] != b"\x7fELF\x02":
            return False
        start, size, count = int.from_bytes(head[32:40], "little"), head[54], int.from_bytes(head[56:58], "little")
        file.seek(start)
        table = file.read(size * count)
    return all(int.from_bytes(table[i : i + 4], "little") != 3 for i in range(0, len(table), size))


def inside(root: Path, path: str) -> Path:
    """A path of the phone as a path of this machine; `..` does not lead out."""
    return root / os.path.normpath("/" + path).lstrip("/")
