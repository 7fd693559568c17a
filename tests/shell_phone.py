"""A folder that a phone's wrapper takes for its phone: a shell of its own, few tools, sensors that are files."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.errors import DeviceLostError
from harness.measure.devices.adb.connection import Completed, RemoteFile
from harness.measure.devices.phone import job, wrapper
from harness.measure.devices.phone.job import JobState, JobWish

SHELLS = {"mksh": "mksh", "dash": "dash", "ash": "busybox"}
PACKAGES = {"mksh": "mksh", "dash": "dash", "busybox": "busybox-static"}
TOOLS = (
    *("cat", "chmod", "df", "env", "head", "ln", "ls", "mkdir", "mv", "readlink", "rm", "rmdir", "setsid", "sha256sum"),
    *("sleep", "sort", "stat", "tail", "taskset", "timeout"),
)
"""All that the wrapper and this test's programs may call."""
DEADLINE_S = 60.0
TURN_S = 0.05
"""Between two looks of the wrapper, instead of a second."""
FAKES = {
    "settings": """#!/bin/sh
# settings get|put|delete SPACE KEY [VALUE], kept as files
[ ! -e "$FAKE/settings.down" ] || { echo "Can't find service: settings" >&2; exit 20; }
f=$FAKE/settings/$2.$3
echo "$*" >>"$FAKE/settings.log"
case $1 in
get) if [ -e "$f" ]; then cat "$f"; else echo null; fi ;;
put) [ "$4" != null ] || exit 9; [ ! -e "$f.denied" ] || exit 255; echo "$4" >"$f" ;;
delete) rm -f "$f"; echo "Deleted 1 rows" ;;
esac
""",
    "dumpsys": """#!/bin/sh
if [ -e "$FAKE/dumpsys.$1" ]; then cat "$FAKE/dumpsys.$1"; else echo "Can't find service: $1"; exit 1; fi
""",
    "input": """#!/bin/sh
echo "input $* at brightness $(cat "$FAKE/settings/system.screen_brightness")" >>"$FAKE/input.log"
""",
    "cmd": """#!/bin/sh
echo "$*" >>"$FAKE/cmd.log"
[ ! -e "$FAKE/cmd.refuses" ]
""",
}


class ShellPhone:
    """A phone that is a folder on this machine, asked as through a cable; `lost` pulls it."""

    def __init__(self, home: Path, shell: str) -> None:
        self.name = "the folder"
        self.home, self.root, self.fake, self.sys = home, home / "bench", home / "fake", home / "sysroot"
        self.bin = home / "bin"
        self.lost = False
        self.cut_at: int | None = None
        for folder in (self.root, self.fake / "settings", self.bin, self.sys / "proc/sys/kernel/random"):
            folder.mkdir(parents=True)
        (self.bin / "sh").symlink_to(found(SHELLS[shell]))
        busybox = shutil.which("busybox")
        for tool in TOOLS:
            (self.bin / tool).symlink_to(busybox if busybox and shell != "dash" else found(tool))
        for name, text in FAKES.items():
            write_program(self.bin / name, text)
        self.boot("11111111-1111-4111-8111-111111111111")
        (self.sys / "proc/uptime").symlink_to("/proc/uptime")
        # By its path: busybox would take its own for a shell that is only named.
        self.environment = {"SYSROOT": str(self.sys), "BENCH_SH": str(self.bin / "sh")}

    def shell(self, script: str, *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        self._reach()
        # A session of its own, as each command of a phone is.
        done = subprocess.run(
            [self.bin / "sh", "-c", script],
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            env=self.env,
            start_new_session=True,
            check=False,
        )
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        stdout = done.stdout if self.cut_at is None else done.stdout[: self.cut_at]
        return Completed(exit_code=code, stdout=stdout, stderr=done.stderr)

    def push(self, source: Path, target: str, on_bytes: Callable[[int], None] | None = None) -> None:
        self._reach()
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    def stat(self, path: str) -> RemoteFile | None:
        self._reach()
        if not Path(path).exists():
            return None
        seen = Path(path).stat()
        return RemoteFile(size_bytes=seen.st_size, mode=seen.st_mode, modified_s=int(seen.st_mtime))

    def close(self) -> None:
        """Ends whatever a test left running on this phone."""
        mark = f"FAKE={self.fake}".encode()
        while left := [pid for pid in _processes() if mark in _environment(pid).split(b"\0")]:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "FAKE": str(self.fake)}

    def _reach(self) -> None:
        if self.lost:
            raise DeviceLostError(f"{self.name}: the cable is pulled")

    def boot(self, boot_id: str) -> None:
        """Another boot_id; processes are the test's matter."""
        (self.sys / "proc/sys/kernel/random/boot_id").write_text(boot_id + "\n")

    def uptime(self, seconds: float) -> None:
        """From now on the clock is what the test says."""
        put(self.sys / "proc/uptime", f"{seconds:.2f} 0.00\n")

    def zone(self, index: int, kind: str, value: int | None) -> None:
        """A thermal zone; None: it cannot be read."""
        folder = self.sys / f"sys/class/thermal/thermal_zone{index}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "type").write_text(kind + "\n")
        put(folder / "temp", None if value is None else f"{value}\n")

    def clock(self, name: str, now: int, most: int, top: int) -> None:
        folder = self.sys / "sys/devices/system/cpu/cpufreq" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, khz in (("scaling_cur_freq", now), ("scaling_max_freq", most), ("cpuinfo_max_freq", top)):
            put(folder / file, f"{khz}\n")

    def thermal(self, status: int | None, cpu: str | None = None, skin: str | None = None) -> None:
        """What the thermal service says; None: it does not answer."""
        file = self.fake / "dumpsys.thermalservice"
        if status is None:
            return put(file, None)
        lines = ["IsStatusOverride: false", f"Thermal Status: {status}", "Cached temperatures:"]
        lines += ["\tTemperature{mValue=99.9, mType=3, mName=skin, mStatus=0}", "HAL Ready: true"]
        lines += ["Current temperatures from HAL:"]
        if cpu is not None:
            lines.append(f"\tTemperature{{mValue={cpu}, mType=0, mName=CPU0, mStatus=0}}")
        if skin is not None:
            lines.append(f"\tTemperature{{mValue={skin}, mType=3, mName=skin, mStatus=0}}")
        lines += ["Current cooling devices from HAL:", "\tCoolingDevice{mValue=0, mType=2, mName=cpu0}"]
        return put(file, "\n".join(lines) + "\n")

    def setting(self, space: str, key: str, value: str | None) -> None:
        file = self.fake / "settings" / f"{space}.{key}"
        file.unlink(missing_ok=True)
        if value is not None:
            file.write_text(value + "\n")

    def settings(self) -> dict[str, str]:
        return {one.name: one.read_text().strip() for one in (self.fake / "settings").iterdir()}


class Session:
    """An installed wrapper on a shell phone, and the jobs that a test starts with it."""

    def __init__(self, phone: ShellPhone) -> None:
        self.phone = phone
        self.wrapper = wrapper.install(phone, str(phone.root), phone.environment)

    def folder(self, name: str = "one") -> Path:
        return self.phone.root / "jobs" / name

    def wish(self, *argv: str, name: str = "one", **more: object) -> JobWish:
        plain = JobWish(folder=str(self.folder(name)), owner="me.run1", argv=argv, limit_s=300, poll_s=TURN_S)
        return msgspec.structs.replace(plain, **more)

    def start(self, *argv: str, name: str = "one", **more: object) -> Path:
        wish = self.wish(*argv, name=name, **more)
        assert job.start(self.phone, self.wrapper, wish)
        return self.folder(name)

    def poll(self, name: str = "one") -> JobState:
        return job.poll(self.phone, self.wrapper, str(self.folder(name)))

    def phase(self, name: str, *wanted: str) -> JobState:
        """Wait for a phase."""
        return wait_for(lambda: (seen := self.poll(name)).phase in wanted and seen)

    def pid(self, role: str, name: str = "one") -> int:
        """Of a living process of a job: supervisor, guard, runner, sampler, program."""
        file = self.folder(name) / "run" / role
        return wait_for(lambda: file.exists() and int(file.read_text().split()[0]))


def _processes() -> list[int]:
    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def wait_for(look: Callable[[], Any]) -> Any:
    """What `look` gives once it is true.

    Raises:
        AssertionError: it never is.
    """
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.02)
    raise AssertionError("it did not come in time")


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def put(path: Path, text: str | None) -> None:
    """A sensor changes at once: nobody reads half a number. None: it is gone."""
    if text is None:
        return path.unlink(missing_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)
    return None


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def found(program: str) -> str:
    """Skips where the machine lacks it, fails in CI."""
    path = shutil.which(program)
    if path is not None:
        return path
    message = f"{program} is not installed (Debian, Ubuntu: apt-get install {PACKAGES.get(program, 'coreutils')})"
    if os.environ.get("CI") or os.environ.get("BENCH_REQUIRE_ALL"):
        pytest.fail(message)
    pytest.skip(message)
