"""A history that hosts share: whole runs or none, each host gives its own, nothing leads out of the folder."""

from pathlib import Path

import fsspec
import pytest

from harness.errors import InputError, SetupError, StoreError
from harness.nightly.shared import Shared
from harness.progress import Silent
from harness.store import PLAN, find_runs, read_run
from harness.values import Bandwidth, Size
from tests.builders import build_run

OWN, OTHERS = "20260714T010000Z-nightly-here-0001", "20260714T020000Z-nightly-there-0002"


@pytest.fixture(params=["file", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        return "memory://history"
    return f"file://{tmp_path / 'shared' / 'history'}"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOST", "here")


def run(results: Path, name: str, **changes: object) -> Path:
    return build_run(results, name=name, measures=(Size(), Bandwidth(rounds=2, repetitions=1)), **changes)  # type: ignore[arg-type]


def as_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOST", name)


def test_two_hosts_end_up_with_the_same_history(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for results, name in ((here, OWN), (there, OTHERS)):
        folder = run(results, name)
        (folder / "items").mkdir()
        (folder / "items" / "x.jsonl.gz").write_bytes(b"items")
        (results / "nights").mkdir()
        (results / "nights" / f"{name}.json").write_text("{}")
    for _ in range(2):
        as_host("here", monkeypatch)
        Shared(address).pull(here, Silent())
        Shared(address).push(here, Silent())
        as_host("there", monkeypatch)
        Shared(address).pull(there, Silent())
        Shared(address).push(there, Silent())
    for results in (here, there):
        assert [path.name for path in find_runs(results)] == [OWN, OTHERS]
        assert sorted(path.name for path in (results / "nights").glob("*.json")) == [f"{OWN}.json", f"{OTHERS}.json"]
    for name in (OWN, OTHERS):
        assert read_run(here / name).records == read_run(there / name).records
        assert (here / name / "items" / "x.jsonl.gz").read_bytes() == b"items"


def test_a_host_gives_its_own_complete_runs_once_and_no_others(address: str, tmp_path: Path) -> None:
    run(tmp_path, OWN)
    run(tmp_path, OTHERS)
    cut = run(tmp_path, "20260715T010000Z-nightly-here-0003", change=lambda cell, record: None)
    assert not read_run(cut).complete
    damaged = run(tmp_path, "20260713T010000Z-nightly-here-0000")
    (damaged / "records.jsonl").write_text("{}\n")
    assert Shared(address).push(tmp_path, Silent()) == 1
    assert Shared(address).push(tmp_path, Silent()) == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert Shared(address).pull(elsewhere, Silent()) == 1
    assert [path.name for path in find_runs(elsewhere)] == [OWN]


def test_half_a_run_is_nobodys_and_names_that_lead_elsewhere_are_left(address: str, tmp_path: Path) -> None:
    run(tmp_path, OWN)
    Shared(address).push(tmp_path, Silent())
    fs, root = fsspec.core.url_to_fs(address)
    there = {
        f"{OTHERS}/records.jsonl": b"half",  # its plan comes last
        "..evil/plan.json": b"{}",
        ".hidden/plan.json": b"{}",
        f"{OWN}/items/deep/er/x": b"too deep",
        "nights/half.json": b'{"run": ',
    }
    for name, body in there.items():
        fs.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
        fs.pipe_file(f"{root}/{name}", body)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert Shared(address).pull(elsewhere, Silent()) == 1
    found = sorted(str(path.relative_to(elsewhere)) for path in elsewhere.rglob("*") if path.is_file())
    assert found == [f"{OWN}/plan.json", f"{OWN}/records.jsonl", "nights/.pulling.lock"]


def test_what_a_killed_pull_left_is_no_run_and_goes(address: str, tmp_path: Path) -> None:
    run(tmp_path / "a", OWN)
    Shared(address).push(tmp_path / "a", Silent())
    left = tmp_path / "b" / "nights" / ".pulling" / OTHERS
    left.mkdir(parents=True)
    (left / PLAN).write_text("{}")
    assert find_runs(tmp_path / "b") == []
    assert Shared(address).pull(tmp_path / "b", Silent()) == 1
    assert not left.exists() and [path.name for path in find_runs(tmp_path / "b")] == [OWN]


def test_what_cannot_be_reached_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="foo://"):
        Shared("foo://user:secret@bucket/x")
    with pytest.raises(SetupError, match="s3://: Install s3fs") as error:
        Shared("s3://user:secret@bucket/x")
    assert "secret" not in str(error.value)
    run(tmp_path / "results", OWN)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(StoreError, match=r"not everything could be given: Not a directory$") as lost:
        Shared(f"file://{blocked}/history").push(tmp_path / "results", Silent())
    assert "history/" not in str(lost.value)


def test_half_of_a_run_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older bench, a full disk or a kill left in the store; and a folder here that is no run."""
    address, store = f"file://{tmp_path / 'shared'}", tmp_path / "shared"
    as_host("there", monkeypatch)
    for name in ("20260714T020000Z-nightly-there-000a", "20260714T020000Z-nightly-there-000b", OTHERS):
        run(tmp_path / "there", name)
    Shared(address).push(tmp_path / "there", Silent())
    plan = store / "20260714T020000Z-nightly-there-000a" / PLAN
    plan.write_bytes(plan.read_bytes()[:100])
    (store / OTHERS / f"{PLAN}.half").write_bytes(b"{")
    here = tmp_path / "here"
    (here / "20260714T020000Z-nightly-there-000b").mkdir(parents=True)
    as_host("here", monkeypatch)
    assert Shared(address).pull(here, Silent()) == 1
    assert [path.name for path in find_runs(here)] == [OTHERS]
    assert not list(here.rglob("*.half"))
    assert not list(store.rglob("*.half.half"))
