"""The computer of the stand-in: processes with pids, an uptime and a boot of their own, above one folder."""

import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

BOOT = """
mount -t proc proc "$1/proc" || exit 1
cd "$1/standin/proc" && find . -type f | while read -r file; do mount --bind "$file" "$1/proc/$file" || exit 1; done
trap '' CHLD
echo booted
exec sleep 2147483647
"""
UPTIME_AT_BOOT_S = 100
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
ENVIRONMENT = {
    "PATH": "/system/bin",
    "HOME": "/",
    "TMPDIR": "/data/local/tmp",
    "ANDROID_DATA": "/data",
    "ANDROID_ROOT": "/system",
    "SHELL": "/system/bin/sh",
    "USER": "shell",
}


class BootError(RuntimeError):
    """This machine does not let the stand-in have namespaces."""


class Machine:
    """Must be made in a mount namespace of its own, with the rights to mount."""

    def __init__(self, root: Path, *, quota_bytes: int | None) -> None:
        self.root = root
        self._init: subprocess.Popen[str] | None = None
        self._pid = 0
        _mount("--rbind", "/dev", root / "dev")
        data = root / "data"
        if quota_bytes is None:
            _mount("--bind", data, data)
        else:
            _mount("-t", "tmpfs", "-o", f"size={quota_bytes},mode=755", "tmpfs", data)
        (data / "local" / "tmp").mkdir(parents=True, exist_ok=True)
        _mount("--bind", root / "sdcard", root / "sdcard")
        _mount("-o", "remount,bind,noexec", root / "sdcard")
        self.boot()

    def boot(self) -> None:
        boot_id = self.root / "standin/proc/sys/kernel/random/boot_id"
        boot_id.parent.mkdir(parents=True, exist_ok=True)
        boot_id.write_text(f"{uuid.uuid4()}\n")
        offset = UPTIME_AT_BOOT_S - int(time.clock_gettime(time.CLOCK_BOOTTIME))
        argv = [_tool("setpriv"), "--pdeathsig", "KILL", _tool("unshare"), "--fork", "--kill-child", "--pid"]
        argv += ["--time", "--boottime", str(offset), "/bin/sh", "-c", BOOT, "sh", str(self.root)]
        self._init = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._init.stdout is not None
        if self._init.stdout.readline() != "booted\n":
            raise BootError("namespaces for processes and clocks, and a /proc of their own, are not to be had")
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()
        self._pid = int(children[0])

    def halt(self) -> None:
        """End every process of the phone, as a battery that falls out does."""
        if self._init is not None:
            self._init.kill()
            self._init.communicate()
            self._init = None
            subprocess.run([_tool("umount"), "-R", "-l", self.root / "proc"], check=True)

    def end_shells(self) -> None:
        """Everything that adbd has started, and what that started in turn, whatever session it is in."""
        argv = [_tool("nsenter"), "-t", str(self._pid), "-p", "/bin/sh", "-c", "kill -9 -1 2>/dev/null; true"]
        subprocess.run(argv, check=True)

    def forbid_execution(self, forbid: bool) -> None:
        """Of everything below /data."""
        _mount("-o", f"remount,bind,{'noexec' if forbid else 'exec'}", self.root / "data")

    def limit_space(self, quota_bytes: int) -> None:
        """Only where there has been a quota from the start."""
        _mount("-o", f"remount,size={quota_bytes}", self.root / "data")

    def start(self, command: str, *, merged: bool) -> "subprocess.Popen[bytes]":
        """A command in the phone's shell, without the rights that let root read what others may not."""
        rights = ["--bounding-set=-all,+sys_chroot", "--inh-caps=-all"]
        argv = [_tool("nsenter"), "-t", str(self._pid), "-p", "-T", _tool("setpriv"), *rights]
        argv += [_tool("chroot"), str(self.root), "/system/bin/sh", "-c", command]
        return subprocess.Popen(
            [os.fsencode(word) for word in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
        )


def run_aarch64(qemu: str, folder: Path) -> None:
    """Let this user namespace execute programs of aarch64.

    Machines with binfmt set up for all of them, by Debian's package outside of containers, need nothing.

    Raises:
        BootError: the kernel has no binfmt_misc for each user namespace.
    """
    if _registered(Path("/proc/sys/fs/binfmt_misc")):
        return
    if Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]:
        raise BootError("programs of aarch64 cannot be run: no user namespaces, and no binfmt for the whole machine")
    folder.mkdir(exist_ok=True)
    try:
        _mount("-t", "binfmt_misc", "binfmt_misc", folder)
        (folder / "register").write_text(f":standin-aarch64:M::{MAGIC}:{MASK}:{qemu}:F")
    except (OSError, subprocess.CalledProcessError) as error:
        raise BootError("programs of aarch64 cannot be run: no binfmt_misc of one's own (Linux 6.7)") from error


def _registered(folder: Path) -> bool:
    entry = folder / "qemu-aarch64"
    text = entry.read_text() if entry.exists() else ""
    return text.startswith("enabled") and "F" in text.partition("flags:")[2].split("\n")[0]


def in_namespaces(argv: list[str]) -> list[str]:
    """A command line that runs another one where it may mount: in a user namespace, or as root without one."""
    mapped = ["--user", "--map-root-user"] if _may("--user", "--map-root-user", "--mount") else []
    return [_tool("unshare"), *mapped, "--mount", "--propagation", "private", *argv]


def _may(*wish: str) -> bool:
    done = subprocess.run([_tool("unshare"), *wish, "true"], capture_output=True, check=False)
    return done.returncode == 0


def _mount(*words: str | Path) -> None:
    subprocess.run([_tool("mount"), *words], check=True, capture_output=True)


def _tool(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise BootError(f"{name} is not installed (Debian, Ubuntu: util-linux, mount, coreutils)")
    return found
