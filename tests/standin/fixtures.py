"""Fixtures that give tests a phone to talk to, and an adb server of their own."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.adb.open import Via, open_connection
from tests.standin.device import StandIn, StandInError, what_is_missing
from tests.standin.phone import ONEPLUS_12, Phone

STRICT = bool(os.environ.get("CI") or os.environ.get("BENCH_REQUIRE_ALL"))
MakePhone = Callable[..., StandIn]


def require_standin(*, aarch64: bool = False) -> None:
    """Skip a test that this machine cannot run, saying what to install; in CI, fail."""
    if (missing := what_is_missing(aarch64=aarch64)) is not None:
        (pytest.fail if STRICT else pytest.skip)(missing)


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an adb server that is started on first use, knows no other phone, and ends with the tests."""
    from adbutils import adb_path

    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.setenv("ANDROID_USER_HOME", str(tmp_path_factory.mktemp("android")))
        patch.setenv("ADB_MDNS", "0")
        patch.setenv("ADB_LOCAL_TRANSPORT_MAX_PORT", "0")
        patch.delenv("ANDROID_SERIAL", raising=False)
        patch.delenv("ANDROID_ADB_SERVER_ADDRESS", raising=False)
        patch.delenv("ANDROID_ADB_SERVER_HOST", raising=False)
        yield port
        subprocess.run([adb_path(), "-P", str(port), "kill-server"], capture_output=True, timeout=30, check=False)


@pytest.fixture
def make_phone(tmp_path: Path) -> Iterator[MakePhone]:
    """`make_phone(Phone(...), aarch64=…, quota_bytes=…)`: a stand-in that ends with the test."""
    made: list[StandIn] = []

    def make(
        phone: Phone = ONEPLUS_12, *, aarch64: bool = False, quota_bytes: int | None = None, port: int = 0
    ) -> StandIn:
        require_standin(aarch64=aarch64)
        folder = tmp_path / f"phone{len(made)}"
        folder.mkdir()
        try:
            made.append(StandIn(folder, phone, aarch64=aarch64, quota_bytes=quota_bytes, port=port))
        except StandInError as error:
            (pytest.fail if STRICT else pytest.skip)(str(error))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def phone(make_phone: MakePhone) -> StandIn:
    return make_phone()


@pytest.fixture(params=["server", "direct"])
def via(request: pytest.FixtureRequest, adb_server: int) -> Via:
    """Both ways to a phone."""
    del adb_server
    chosen: Via = request.param
    return chosen


@pytest.fixture
def connection(phone: StandIn, via: Via) -> Iterator[Connection]:
    opened = open_connection(None, phone.address, via)
    yield opened
    opened.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
