"""The test's side: starts a stand-in, and is its owner's hand."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.standin.files import find_busybox, find_shell, make_root
from tests.standin.machine import in_namespaces
from tests.standin.phone import ONEPLUS_12, Phone

PROJECT = Path(__file__).parents[2]


class StandInError(RuntimeError):
    """The stand-in cannot be had here, or did not do as told."""


def what_is_missing(*, aarch64: bool = False) -> str | None:
    """Why no stand-in can be started here, and what to install; None: one can."""
    missing = [
        package
        for package, there in (
            ("mksh", find_shell() is not None),
            ("busybox-static", find_busybox() is not None),
            ("qemu-user-static", not aarch64 or shutil.which("qemu-aarch64-static") is not None),
        )
        if not there
    ]
    return f"not installed (Debian, Ubuntu: apt-get install {' '.join(missing)})" if missing else None


class StandIn:
    """A phone that runs until `stop`."""

    def __init__(
        self,
        folder: Path,
        phone: Phone = ONEPLUS_12,
        *,
        aarch64: bool = False,
        quota_bytes: int | None = None,
        port: int = 0,
    ) -> None:
        """`quota_bytes`: /data is in memory and no larger.

        Raises:
            StandInError: this machine lacks a package, or forbids namespaces.
        """
        if missing := what_is_missing(aarch64=aarch64):
            raise StandInError(missing)
        self.phone, self.root = phone, folder / "root"
        shell, busybox = find_shell(), find_busybox()
        assert shell is not None
        assert busybox is not None
        make_root(self.root, phone, shell, busybox)
        (folder / "phone.json").write_bytes(msgspec.json.encode(phone))
        argv = [sys.executable, "-m", "tests.standin", str(self.root), str(folder / "phone.json"), "--port", str(port)]
        argv += ["--quota-bytes", str(quota_bytes)] if quota_bytes is not None else []
        argv += ["--qemu", str(shutil.which("qemu-aarch64-static"))] if aarch64 else []
        self._process = subprocess.Popen(
            in_namespaces(argv), cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._hear()["port"])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def fault(self, **switches: Any) -> None:
        """Set switches of `Faults`."""
        self._order("set", **switches)

    def switch(self, name: str) -> Any:
        """How a switch of `Faults` stands."""
        return self._order("get", name=name)

    def write(self, path: str, text: str | bytes) -> None:
        """Write a file of the phone in place: what is mounted over another one stays so."""
        data = text.encode() if isinstance(text, str) else text
        self._order("write", path=path, data=base64.b64encode(data).decode())

    def read(self, path: str) -> bytes | None:
        """None where nothing is."""
        told = self._order("read", path=path)
        return None if told is None else base64.b64decode(told)

    def remove(self, path: str) -> None:
        """A file that may not be there."""
        self._order("remove", path=path)

    def chmod(self, path: str, mode: int) -> None:
        self._order("chmod", path=path, mode=mode)

    def forbid_execution(self, forbid: bool = True) -> None:
        """Of everything below /data: exit code 126."""
        self._order("forbid_execution", forbid=forbid)

    def limit_space(self, quota_bytes: int) -> None:
        self._order("limit_space", quota_bytes=quota_bytes)

    def accept(self) -> None:
        """Accept the dialog that asks whether to trust a host."""
        self._order("accept")

    def restart_adbd(self, *, harsh: bool = False) -> None:
        """Every connection breaks. Processes with a session of their own go on; `harsh`: none does, as where Android's
        init ends all that a service has started, when that ends."""
        self._order("restart_adbd", harsh=harsh)

    def halt(self) -> None:
        """Every process ends, and nothing answers until `boot`."""
        self._order("set", refuse=True)
        self._order("halt")

    def boot(self) -> None:
        self._order("boot")
        self._order("set", refuse=False)

    def reboot(self) -> None:
        self.halt()
        self.boot()

    def stop(self) -> None:
        """Idempotent."""
        if self._process.poll() is None:
            try:
                self._process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()

    def _order(self, what: str, **details: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
        self._process.stdin.flush()
        return self._hear()["answer"]

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {"failed": "it ended"}
        if "failed" in told:
            raise StandInError(told["failed"])
        return told
