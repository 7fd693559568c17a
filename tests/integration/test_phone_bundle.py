"""A stranger's run, by what a stranger types: one archive, one line of the real adb, one file back, one import.

The phone is the stand-in; the programs are the real ones for aarch64, under qemu.
"""

import os
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from adbutils import adb_path

from harness.measure.trust import read_trusted
from harness.store import Run, read_run
from tests.integration.conftest import Bench
from tests.integration.test_phone_run import check_answers, check_surroundings, set_up, wait_for
from tests.standin.device import StandIn
from tests.standin.fixtures import MakePhone

pytestmark = [pytest.mark.runner, pytest.mark.cross]

TMP = "/data/local/tmp"
SHORT = """
measures:
  - {kind: speed, prompt_tokens: 32, generated_tokens: 4, context: 256, rounds: 1, repetitions: 1}
"""


class Stranger:
    """Somebody with a phone, `adb`, and no bench."""

    def __init__(self, folder: Path, phone: StandIn, port: int) -> None:
        self.folder, self.phone = folder, phone
        programs = folder / "bin"
        programs.mkdir(parents=True)
        (programs / "adb").symlink_to(adb_path())
        path = f"{programs}:{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": path, "ANDROID_SERIAL": phone.address, "ANDROID_ADB_SERVER_PORT": str(port)}
        self.connect()

    def connect(self) -> None:
        self.types(f"adb disconnect {self.phone.address}", check=False)
        wait_for(lambda: b"connected to" in self.types(f"adb connect {self.phone.address}").stdout, "connecting", 60)

    def types(self, line: str, *, check: bool = True) -> "subprocess.CompletedProcess[bytes]":
        done = subprocess.run(["sh", "-c", line], cwd=self.folder, env=self.env, capture_output=True, timeout=900)
        assert not check or done.returncode == 0, (line, done.stdout, done.stderr)
        return done


def made(bench: Bench) -> tuple[Path, str]:
    """The archive, and the line that bench says a stranger should type."""
    archive = bench.folder / "for-you.tar"
    asked = ("--suite", "phone-tiny.yaml", "--device", "standin", "--variants", "int4-ptq")
    done = bench("build", "--bundle", str(archive), *asked)
    assert done.returncode == 0, done.stderr
    return archive, done.stdout.splitlines()[-1]


def copied(stranger: Stranger, archive: Path) -> None:
    stranger.types(f"adb push {shlex.quote(str(archive))} {TMP}/bench-bundle.tar")


def brought_back(stranger: Stranger) -> Path:
    stranger.types(f"adb pull {TMP}/bench-result.tar")
    return stranger.folder / "bench-result.tar"


def test_from_an_archive_over_a_reboot_to_a_report(bench: Bench, make_phone: MakePhone, adb_server: int) -> None:
    phone = make_phone(aarch64=True)
    set_up(bench, phone, "direct")
    archive, line = made(bench)
    stranger = Stranger(bench.folder / "elsewhere", phone, adb_server)
    copied(stranger, archive)
    begun = subprocess.Popen(["sh", "-c", line], env=stranger.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: len(ended(phone)) >= 4, "the fourth job", 900)
    phone.reboot()
    begun.communicate(timeout=120)
    assert begun.returncode != 0
    before = {name: phone.read(name) for name in ended(phone)}
    stranger.connect()
    assert b"the run is complete" in stranger.types(line).stdout
    assert {name: phone.read(name) for name in before} == before, "what had ended is not run again"
    assert phone.read(f"{TMP}/bench/settings.saved") is None
    result = brought_back(stranger)
    assert phone.phone.serial.encode() not in result.read_bytes(), "a serial number is not the stranger's to give away"

    done = bench("import", str(result))
    assert done.returncode == 0, done.stderr
    run = read_run(bench.only_run())
    check_run(run)
    assert bench("report", "latest").returncode == 0
    again = bench("import", str(result))
    assert again.returncode == 2 and run.id in again.stderr
    assert bench.only_run() == run.path
    assert b"the run is complete" in stranger.types(f"adb shell sh {TMP}/bench-bundle/run.sh").stdout


def check_run(run: Run) -> None:
    assert Counter(r.status for r in run.records) == {"ok": len(run.plan.trials)}, [r.reason for r in run.records]
    check_surroundings(run)
    check_answers(run)
    facts = run.plan.facts["standin"]
    assert facts.model == "CPH2581" and facts.phone is not None and not facts.phone.expected
    trusted = read_trusted(run.path, "standin")
    assert trusted.choice is not None and trusted.choice.target == "aarch64" and len(trusted.parity) == 3
    for seen in (r.environment for r in run.records if r.environment and r.environment.runner_sha256):
        assert seen.available_bytes and seen.power == "mains"


def ended(phone: StandIn) -> list[str]:
    """Files of the jobs that are over."""
    bundles = phone.root / "data/local/tmp/bench/bundles"
    return sorted(f"/{path.relative_to(phone.root)}" for path in bundles.glob("*/out/*/state.json"))


def test_what_is_there_so_far_can_be_imported(bench: Bench, make_phone: MakePhone, adb_server: int) -> None:
    phone = make_phone(aarch64=True)
    set_up(bench, phone, "direct", SHORT)
    archive, line = made(bench)
    stranger = Stranger(bench.folder / "elsewhere", phone, adb_server)
    copied(stranger, archive)
    with subprocess.Popen(["sh", "-c", line], env=stranger.env, stdout=subprocess.PIPE) as first:
        wait_for(lambda: len(ended(phone)) >= 4, "the fourth job", 900)
        stranger.types(f"adb shell sh {TMP}/bench-bundle/run.sh stop")
        out, _ = first.communicate(timeout=120)
    assert re.search(rb"stopped before its end", out)
    stranger.types(f"adb shell sh {TMP}/bench-bundle/run.sh pack")
    done = bench("import", str(brought_back(stranger)))
    assert done.returncode == 1, done.stderr
    run = read_run(bench.only_run())
    lost = [r for r in run.records if r.status == "lost_device"]
    assert lost and all("was not run" in str(r.reason) for r in lost)
    assert any(r.status == "ok" and r.environment and r.environment.runner_sha256 for r in run.records)
