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


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of keys of this machine: it takes a while to make."""
    return tmp_path_factory.mktemp("keys")
