"""One night at a time on a device: who waits, who gives up, and that the dead hold nothing."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.nightly.turns import turn
from harness.progress import Silent

HOLD = """
import sys
from pathlib import Path
from harness.nightly.turns import turn
from harness.progress import Silent
with turn(Path(sys.argv[1]), sys.argv[2].split(","), 0, Silent()) as mine:
    mine.begin("run-of-another-process")
    print("holds", flush=True)
    sys.stdin.read()
"""


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.spoke = threading.Event()

    def say(self, line: str) -> None:
        self.lines.append(line)
        self.spoke.set()


def another(results: Path, devices: str, **env: str) -> "subprocess.Popen[str]":
    """A process that holds the devices until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(results), devices],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "holds\n"
    return process


def test_a_night_gives_up_where_one_runs_unless_it_is_of_other_devices(tmp_path: Path) -> None:
    other = another(tmp_path, "local,phone")
    try:
        with (
            pytest.raises(InputError, match=r"a night runs on phone already \(--wait MINUTES waits\)"),
            turn(tmp_path, ["tablet", "phone"], 0, Silent()),
        ):
            raise AssertionError("it was let in")
        with turn(tmp_path, ["tablet"], 0, Silent()):
            pass
        with turn(tmp_path / "elsewhere", ["local"], 0, Silent()):
            pass
        with pytest.raises(InputError, match="after 0 minutes of waiting"), turn(tmp_path, ["local"], 0.02, Silent()):
            raise AssertionError("it was let in")
    finally:
        other.communicate("")


def test_hosts_that_share_the_folder_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOST", "here")
    other = another(tmp_path, "local", BENCH_HOST="there")
    with turn(tmp_path, ["local"], 0, Silent()) as mine:
        assert mine.begun() is None
    other.communicate("")


def test_who_waits_says_so_and_goes_on_when_the_other_ends(tmp_path: Path) -> None:
    other, heard = another(tmp_path, "local"), Heard()

    def end_the_other() -> None:
        assert heard.spoke.wait(60)
        other.communicate("")

    ending = threading.Thread(target=end_the_other)
    ending.start()
    with turn(tmp_path, ["local"], 600, heard) as mine:
        assert mine.begun() == "run-of-another-process"
    ending.join()
    assert heard.lines == ["a night runs on local already: waiting for at most 10 minutes"]


def test_a_killed_night_holds_nothing_and_says_what_it_had_begun(tmp_path: Path) -> None:
    other = another(tmp_path, "local")
    other.kill()
    other.communicate()
    with turn(tmp_path, ["local"], 0, Silent()) as mine:
        assert mine.begun() == "run-of-another-process"
        mine.begin("short")
    with turn(tmp_path, ["local"], 0, Silent()) as mine:
        assert mine.begun() == "short"
    with turn(tmp_path, ["local", "phone"], 0, Silent()) as mine:
        assert mine.begun() is None, "what was begun on some of the devices was another night"
