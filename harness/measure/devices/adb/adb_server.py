"""The adb server of this machine: the one that runs, or one started with the adb that adbutils finds or brings."""

import os
import socket
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.errors import InputError, SetupError

if TYPE_CHECKING:
    from adbutils import AdbClient

DEFAULT_PORT = 5037
START_S = 20.0


def server_address() -> tuple[str, int]:
    """Host and port of the server, from the environment variables that adb itself knows.

    Raises:
        InputError: the port is no port.
    """
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or os.environ.get("ANDROID_ADB_SERVER_HOST") or "127.0.0.1"
    text = os.environ.get("ANDROID_ADB_SERVER_PORT") or str(DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise InputError(f"ANDROID_ADB_SERVER_PORT is {text!r}, which is no port (1 to 65535)")
    return host, int(text)


def adb_client() -> "AdbClient":
    """A client of a server that runs.

    Raises:
        InputError: the environment names a port that is none.
        SetupError: no server runs, and none can be started.
    """
    from adbutils import AdbClient  # late: it brings an imaging library along

    host, port = server_address()
    if not _listens(host, port):
        _start(host, port)
    return AdbClient(host=host, port=port)


def _listens(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=3.0):
        return True
    return False


def _start(host: str, port: int) -> None:
    from adbutils import AdbError, adb_path

    where = f"no adb server listens at {host}:{port}"
    if host not in ("127.0.0.1", "localhost"):
        raise SetupError(f"{where} (start it there, or unset ANDROID_ADB_SERVER_ADDRESS and ANDROID_ADB_SERVER_HOST)")
    try:
        # No pipes: the server stays, and would keep them open.
        done = subprocess.run(
            [adb_path(), "-P", str(port), "start-server"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=START_S,
            check=False,
        )
    except (AdbError, OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{where}, and none can be started: {error}") from error
    if done.returncode != 0 or not _listens(host, port):
        raise SetupError(f"{where}, and adb start-server failed (exit code {done.returncode}; is the port in use?)")
