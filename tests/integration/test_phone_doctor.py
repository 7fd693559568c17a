"""`bench doctor --device NAME` on the stand-in: what it sees of a sound phone, and that it tells what is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.build.artifacts import Workshop
from harness.build.runners.llama_cpp_build import Runner
from harness.config import load_suite
from harness.device_files import load_devices
from harness.doctor import examine as examining
from harness.doctor.examine import examine
from harness.measure.devices import open_device
from harness.pipeline import known_names
from harness.progress import Silent
from tests.integration.conftest import TINY, Bench
from tests.integration.test_phone_device import holder
from tests.integration.test_phone_run import DEVICES
from tests.standin.device import StandIn
from tests.standin.fixtures import MakePhone
from tests.standin.phone import Battery, Phone, Zone

SOUND = ("processor's heat", "skin's heat", "settings", "placement", "sampler")


def examined(bench: Bench, phone: StandIn) -> dict[str, dict[str, Any]]:
    """The phone's checks by name."""
    text = DEVICES.format(address=phone.address, via="direct", memory=phone.phone.memory_bytes)
    (bench.folder / "devices.yaml").write_text(text)
    done = bench("doctor", "--device", "standin", "--quick", "--json")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 2), done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_sound_phone(bench: Bench, make_phone: MakePhone) -> None:
    phone = make_phone()
    (phone.root / "standin/settings/global/airplane_mode_on").write_text("1\n")
    found = examined(bench, phone)
    assert {name: found[name]["state"] for name in SOUND} == dict.fromkeys(SOUND, "good")
    assert "airplane" not in found and "screen" not in found
    assert "1 zones: cpu-0-0-0" in found["processor's heat"]["seen"] and "shell_front" in found["skin's heat"]["seen"]
    assert "changed and put back" in found["settings"]["seen"] and found["settings"]["values"]["changed"] >= 1
    assert found["placement"]["seen"] == "a program stays on the cores 1"
    assert "clocks of" in found["sampler"]["seen"]
    assert not list((phone.root / "data/local/tmp/bench/jobs").iterdir()), "nothing is left there"
    assert holder(phone) is None


def test_what_a_phone_lacks_is_told(bench: Bench, make_phone: MakePhone) -> None:
    zones = (Zone("cpu-0-0-0", 38.9, readable=False), Zone("battery", 27.4))
    phone = make_phone(Phone(zones=zones, battery=Battery(level=31, usb=True)))
    found = examined(bench, phone)
    assert found["processor's heat"]["state"] in ("doubtful", "unknown")
    assert "no zone can be read" in found["processor's heat"]["seen"] or found["processor's heat"]["reason"]
    battery = next(check for name, check in found.items() if "battery" in name)
    assert battery["state"] in ("bad", "doubtful") and "31" in battery["seen"] and battery["advice"]


def replaced(phone: StandIn, name: str, text: str) -> None:
    """Another program under this name; what stands there may be a link to one that has many."""
    path = phone.root / "system" / "bin" / name
    path.unlink()
    path.write_text(f"#!/system/bin/sh\n{text}")
    path.chmod(0o755)


def test_settings_that_do_not_come_back_are_told(bench: Bench, make_phone: MakePhone) -> None:
    """A phone that forgets to delete what was not there before."""
    phone = make_phone()
    (own,) = (path for path in (phone.root / "system" / "bin").glob("settings"))
    replaced(phone, "settings", own.read_text().split("\n", 1)[1].replace("rm ", ": "))
    found = examined(bench, phone)["settings"]
    assert found["state"] == "bad" and "not put back: " in found["seen"] and found["advice"]


def test_another_phone_than_the_named_one_is_refused(bench: Bench, make_phone: MakePhone) -> None:
    phone = make_phone(Phone(model="SM-S921B"))
    text = DEVICES.format(address=phone.address, via="direct", memory=phone.phone.memory_bytes)
    (bench.folder / "devices.yaml").write_text(text)
    done = bench("doctor", "--device", "standin", "--quick")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "SM-S921B" in done.stderr and "CPH2581" in done.stderr


@pytest.mark.runner
@pytest.mark.cross
def test_an_artifact_against_itself_on_a_phone(
    bench: Bench, make_phone: MakePhone, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real trials of the real program: the canary's noise, and where its threads ran."""
    phone = make_phone(aarch64=True)
    monkeypatch.chdir(bench.folder)
    text = DEVICES.format(address=phone.address, via="direct", memory=phone.phone.memory_bytes)
    Path("devices.yaml").write_text(text)
    speed = "kind: speed, prompt_tokens: 16, generated_tokens: 4, context: 64, rounds: 1, repetitions: 2, canary: true"
    Path("tiny.yaml").write_text(TINY[: TINY.index("measures:")] + f"measures:\n  - {{{speed}}}\n")
    monkeypatch.setattr(examining, "PHONE_S", 1.0)  # three rounds, and no more
    suite = load_suite("tiny.yaml", known_names(), devices := load_devices())
    Workshop(runner, Silent()).ensure(next(v for v in suite.variants if v.name == "int4-ptq"))
    found = examine(open_device(devices["standin"]), suite, Silent(), quick=False)
    test = found.self_test
    assert test.state == "done" and test.trials == 6, test
    assert test.differences and all(one.rounds == 3 for one in test.differences)
    assert test.canary is not None and test.canary.readings >= 12 and test.canary.compute_cv > 0
    assert test.placement is not None and test.placement.windows == 12
    assert test.placement.cores == (1,) and test.placement.outside == ()
    kernels = next(check for check in found.checks if check.name == "kernels")
    assert kernels.state in ("good", "doubtful"), kernels
