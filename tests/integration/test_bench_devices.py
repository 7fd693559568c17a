"""`bench devices` with a real adb server and stand-in phones: each state, and what to do about it."""

import json
import subprocess
from contextlib import closing
from typing import Any

import pytest
from adbutils import adb_path

from harness.measure.devices.adb.open import open_connection
from harness.measure.devices.phone import lock, wrapper
from tests.integration.conftest import Bench
from tests.standin.device import StandIn
from tests.standin.fixtures import MakePhone
from tests.standin.phone import Phone

KNOWN = """
local: {{kind: local, title: this machine}}
standin:
  kind: phone
  title: a stand-in for a phone
  models: [{model}]
  reach: {{tcp: "{address}"}}
  via: {via}
"""


@pytest.fixture
def listed(bench: Bench, adb_server: int) -> Any:
    """`listed(phone, via, model)`: the rows of the command, by name."""
    del adb_server

    def rows(phone: StandIn, via: str = "direct", model: str = "CPH2581") -> dict[str | None, dict[str, Any]]:
        (bench.folder / "devices.yaml").write_text(KNOWN.format(address=phone.address, via=via, model=model))
        done = bench("devices", "--json")
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        return {row["name"]: row for row in json.loads(done.stdout)}

    return rows


def adb(*words: str) -> None:
    subprocess.run([adb_path(), *words], capture_output=True, timeout=60, check=True)


def test_a_phone_that_no_server_knows(listed: Any, make_phone: MakePhone) -> None:
    phone = make_phone()
    found = listed(phone)["standin"]
    assert found["state"] == "ready" and found["advice"] == ""
    assert "CPH2581" in found["seen"] and "SM8650" in found["seen"] and "16.0 GiB" in found["seen"]
    assert listed(phone, model="Pixel 8")["standin"]["state"] == "mismatch"
    other = listed(phone, model="Pixel 8")["standin"]
    assert "CPH2581" in other["advice"] and "correct devices.yaml" in other["advice"]
    phone.fault(auth="ask")
    assert listed(phone)["standin"]["state"] == "unauthorized"
    phone.fault(auth="none", refuse=True)
    gone = listed(phone)["standin"]
    assert gone["state"] == "not connected" and phone.address in gone["advice"]


def test_a_phone_of_the_server(listed: Any, make_phone: MakePhone) -> None:
    phone = make_phone()
    adb("connect", phone.address)
    try:
        found = listed(phone, "server")
        assert found["standin"]["state"] == "ready" and found["standin"]["serial"] == phone.address
        assert found["standin"]["model"] == "CPH2581" and None not in found
    finally:
        adb("disconnect", phone.address)


def test_an_attached_phone_that_no_name_fits(bench: Bench, adb_server: int, make_phone: MakePhone) -> None:
    del adb_server
    phone = make_phone(Phone(model="Nobody's"))
    (bench.folder / "devices.yaml").write_text("local: {kind: local, title: this machine}\n")
    adb("connect", phone.address)
    try:
        done = bench("devices", "--json")
    finally:
        adb("disconnect", phone.address)
    (stranger,) = (row for row in json.loads(done.stdout) if row["name"] is None)
    assert stranger["state"] == "ready" and "Nobody's" in stranger["seen"]
    assert "give it a name in devices.yaml" in stranger["advice"]


def test_a_phone_that_another_run_measures_on(listed: Any, make_phone: MakePhone) -> None:
    phone = make_phone()
    with closing(open_connection(None, phone.address, "direct")) as connection:
        lock.take(connection, wrapper.install(connection), "another-run", 300)
    found = listed(phone)["standin"]
    assert found["state"] == "busy" and "another-run measures on it" in found["advice"]
