"""A stranger's archive: what no result of bench holds is refused, and nothing is written beside the folder."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import BenchError, InputError, StoreError
from harness.measure.bundle import unpack as unpacking
from harness.measure.bundle.manifest import MANIFEST, SUMS, read_manifest
from harness.measure.bundle.unpack import most_bytes, parse_sums, unpack

FILES = {
    "manifest.json": b"{}",
    "plan.json": b"{}",
    "requests/00aa11bb.jsonl.gz": b"requests",
    "out/0123456789abcdef-r0-0/state.json": b"{}",
    "out/0123456789abcdef-r0-0/events.jsonl": b"",
}


def sums(files: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in files.items()).encode()


def archived(
    folder: Path, files: dict[str, bytes], more: Callable[[tarfile.TarFile], None] | None = None, mode: str = "w"
) -> Path:
    path = folder / "result.tar"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, body in files.items():
            add(archive, name, body)
        if more is not None:
            more(archive)
    return path


def add(archive: tarfile.TarFile, name: str, body: bytes = b"", **about: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for key, value in about.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(body))


def target(folder: Path) -> Path:
    made = folder / "unpacked"
    made.mkdir()
    return made


def test_a_whole_result_is_unpacked(tmp_path: Path) -> None:
    files = {SUMS: sums(FILES), **FILES}
    folder = target(tmp_path)
    identity = unpack(archived(tmp_path, files), folder)
    assert {name: (folder / name).read_bytes() for name in files} == files
    other = tmp_path / "other"
    other.mkdir()
    turned = archived(other, dict(reversed(files.items())), lambda a: add(a, "out", type=tarfile.DIRTYPE))
    assert unpack(turned, target(other)) == identity, "packed anew it is the same result"


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("../outside", {}),
        ("/tmp/outside", {}),
        ("out/../../outside/state.json", {}),
        ("out/a/../state.json", {}),
        ("requests/../../outside.jsonl.gz", {}),
        ("out/a/state.json", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("out/a/state.json", {"type": tarfile.LNKTYPE, "linkname": "plan.json"}),
        ("out/a", {"type": tarfile.SYMTYPE, "linkname": "/tmp"}),
        ("out/a/state.json", {"type": tarfile.FIFOTYPE}),
        ("out/a/state.json", {"type": tarfile.CHRTYPE}),
        ("elsewhere", {"type": tarfile.DIRTYPE}),
        ("out/a/run.sh", {}),
        ("out/a/b/state.json", {}),
        ("out/a\n/state.json", {}),
        ("records.jsonl", {}),
        ("plan.json", {}),
    ],
)
def test_what_no_result_holds_is_refused(tmp_path: Path, name: str, about: dict[str, object]) -> None:
    files = {SUMS: sums(FILES), **FILES}
    folder = target(tmp_path)
    with pytest.raises(StoreError):
        unpack(archived(tmp_path, files, lambda a: add(a, name, **about)), folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.tar", "unpacked"]
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_a_file_beyond_its_bound_is_refused_before_it_is_written(tmp_path: Path) -> None:
    name = "out/a-0/state.json"
    body = bytes(most_bytes(name) + 1)
    folder = target(tmp_path)
    with pytest.raises(StoreError, match="larger"):
        unpack(archived(tmp_path, {name: body}), folder)
    assert not (folder / name).exists()


def test_an_archive_beyond_its_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archived(tmp_path, {SUMS: sums(FILES), **FILES})
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 3)
    with pytest.raises(StoreError, match="more than 3 files"):
        unpack(path, target(tmp_path))
    monkeypatch.setattr(unpacking, "MOST_ARCHIVE_BYTES", 100)
    with pytest.raises(StoreError, match="larger"):
        unpack(path, tmp_path)


def test_a_copy_that_was_cut_is_refused(tmp_path: Path) -> None:
    listed = {SUMS: sums(FILES), **FILES}
    del listed["plan.json"]
    with pytest.raises(StoreError, match=r"not whole: plan\.json is missing"):
        unpack(archived(tmp_path, listed), target(tmp_path))


def test_changed_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"plan\.json is not what the phone wrote"):
        unpack(archived(tmp_path, {SUMS: sums(FILES), **FILES, "plan.json": b"[]"}), target(tmp_path))


def test_a_result_without_sums_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=SUMS):
        unpack(archived(tmp_path, FILES), target(tmp_path))


def test_a_compressed_archive_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no archive"):
        unpack(archived(tmp_path, {SUMS: sums(FILES), **FILES}, mode="w:gz"), target(tmp_path))


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        unpack(tmp_path / "nothing.tar", tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.data())
def test_damage_anywhere_is_one_line(tmp_path: Path, data: st.DataObject) -> None:
    """Any bytes changed or cut: refused, or what was not touched by it."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    path = archived(folder, {SUMS: sums(FILES), **FILES})
    body = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(body) - 1))
    dirt = data.draw(st.binary(min_size=1, max_size=40))
    body[start : start + len(dirt)] = dirt
    path.write_bytes(bytes(body[: data.draw(st.integers(1, len(body)))]))
    unpacked = target(folder)
    try:
        unpack(path, unpacked)
    except BenchError:
        pass
    else:
        assert {name: (unpacked / name).read_bytes() for name in FILES} == FILES
    assert sorted(one.name for one in folder.iterdir()) == ["result.tar", "unpacked"]


@given(st.text(max_size=300))
def test_any_text_is_sums_or_refused(text: str) -> None:
    with suppress(StoreError):
        assert all(len(value) == 64 for value in parse_sums(text).values())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"bundle": 2, "whatever": true}', "version 2"),
        (b'{"bundle": 1}', "damaged"),
        (b"[" * 10_000, "damaged"),
        (b"\xff", "damaged"),
        (msgspec.json.encode({"bundle": "1"}), "damaged"),
    ],
)
def test_a_manifest_that_is_none(body: bytes, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        read_manifest(body)
    assert MANIFEST == "manifest.json"
