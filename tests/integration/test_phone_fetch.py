"""Files that grow on a phone, fetched bit by bit over a cable that is pulled."""

from pathlib import Path

import pytest

from harness.errors import DeviceError, DeviceLostError
from harness.measure.devices.phone import job
from harness.measure.devices.phone.job import OVERLAP, fetch_new
from tests.shell_phone import ShellPhone


@pytest.fixture(params=["mksh", "dash"])
def phone(tmp_path: Path, request: pytest.FixtureRequest) -> ShellPhone:
    return ShellPhone(tmp_path, request.param)


@pytest.fixture
def remote(phone: ShellPhone) -> Path:
    """A name that is no plain word."""
    return phone.root / "the answers; $(touch here) 'of'.jsonl"


def test_only_what_is_new_is_appended(phone: ShellPhone, remote: Path, tmp_path: Path) -> None:
    local = tmp_path / "local"
    assert fetch_new(phone, str(remote), local) == 0 and not local.exists()
    for size in (0, 10, 10, OVERLAP, 3 * OVERLAP, 3 * OVERLAP + 1):
        content = bytes(i * 7 % 256 for i in range(size))
        before = local.stat().st_size if local.exists() else 0
        remote.write_bytes(content)
        assert fetch_new(phone, str(remote), local) == size - before
        assert local.read_bytes() == content
    assert not (phone.root / "here").exists() and not Path("here").exists()


def test_a_large_file_comes_in_pieces(
    phone: ShellPhone, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "MOST_BYTES", 5000)
    content = b"".join(b"%d\n" % i for i in range(9000))
    remote.write_bytes(content)
    assert fetch_new(phone, str(remote), tmp_path / "local") == len(content)
    assert (tmp_path / "local").read_bytes() == content


def test_a_pulled_cable_loses_nothing(phone: ShellPhone, remote: Path, tmp_path: Path) -> None:
    local = tmp_path / "local"
    remote.write_bytes(b"one\ntwo\n")
    phone.lost = True
    with pytest.raises(DeviceLostError):
        fetch_new(phone, str(remote), local)
    phone.lost = False
    for cut_at in (0, 1, 3, 6):
        phone.cut_at = cut_at
        with pytest.raises(DeviceLostError, match="was cut"):
            fetch_new(phone, str(remote), local)
        assert not local.exists()
    phone.cut_at = None
    assert fetch_new(phone, str(remote), local) == 8
    remote.write_bytes(b"one\ntwo\nthree\n")
    phone.cut_at = 5
    with pytest.raises(DeviceLostError):
        fetch_new(phone, str(remote), local)
    phone.cut_at = None
    assert fetch_new(phone, str(remote), local) == 6
    assert local.read_bytes() == remote.read_bytes()


def test_a_torn_line_that_the_phone_cut_off_is_cut_off(phone: ShellPhone, remote: Path, tmp_path: Path) -> None:
    local = tmp_path / "local"
    remote.write_bytes(b'{"id":1}\n{"id":2')
    fetch_new(phone, str(remote), local)
    remote.write_bytes(b'{"id":1}\n')
    fetch_new(phone, str(remote), local)
    assert local.read_bytes() == b'{"id":1}\n'
    remote.write_bytes(b'{"id":1}\n{"id":3}\n{"i')
    fetch_new(phone, str(remote), local)
    assert local.read_bytes() == remote.read_bytes()


@pytest.mark.parametrize("other", [b"", b"another\n", b"one\nTWO\nthree\n"])
def test_another_file_is_refused(phone: ShellPhone, remote: Path, tmp_path: Path, other: bytes) -> None:
    local = tmp_path / "local"
    remote.write_bytes(b"one\ntwo\nthree\n")
    fetch_new(phone, str(remote), local)
    remote.write_bytes(other)
    with pytest.raises(DeviceError, match="does not begin as"):
        fetch_new(phone, str(remote), local)
    assert local.read_bytes() == b"one\ntwo\nthree\n"


def test_a_file_that_went_away_is_refused(phone: ShellPhone, remote: Path, tmp_path: Path) -> None:
    remote.write_bytes(b"one\n")
    fetch_new(phone, str(remote), tmp_path / "local")
    remote.unlink()
    with pytest.raises(DeviceError, match="does not begin as"):
        fetch_new(phone, str(remote), tmp_path / "local")
