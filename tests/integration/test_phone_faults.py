"""Every cell of the table of faults and phases once; `benchmarks/phone_faults.py` does them many times."""

from pathlib import Path

import pytest

from tests.phone_faults import CASES, QUOTA_BYTES, Case, play
from tests.standin.fixtures import MakePhone


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(", ", "-").replace(" ", "-"))
def test_a_fault_in_a_phase(
    case: Case, make_phone: MakePhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: Path
) -> None:
    monkeypatch.setenv("ANDROID_USER_HOME", str(keys))
    phone = make_phone(quota_bytes=QUOTA_BYTES if case.fault == "full" else None)
    assert play(case, tmp_path / "host", phone) == []


@pytest.mark.parametrize("fault", ["cable", "adbd", "reboot", "unauthorized", "host killed"])
def test_the_same_through_the_adb_server(fault: str, make_phone: MakePhone, tmp_path: Path, adb_server: int) -> None:
    del adb_server
    (case,) = (one for one in CASES if (one.fault, one.phase) == (fault, "running"))
    assert play(case, tmp_path / "host", make_phone(), "server") == []


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of keys of this machine: it takes a while to make."""
    return tmp_path_factory.mktemp("keys")
