"""A result made a run: what is forged or does not fit is refused and leaves nothing behind; nothing is measured."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from harness.analyse.compare import analyse
from harness.cli import main
from harness.errors import BenchError, InputError, StoreError, WrongDeviceError
from harness.measure.bundle import questions
from harness.measure.bundle.importing import IMPORTED, Imported, import_result
from harness.measure.bundle.make import check_plan
from harness.measure.bundle.manifest import Manifest, Program, parity_name
from harness.measure.devices.phone.asking import script
from harness.measure.devices.phone.conditions import CONDITIONS
from harness.measure.devices.phone.expected import expected_facts
from harness.measure.devices.replay import ReplayDevice
from harness.measure.jobs import Job
from harness.measure.plan import make_plan
from harness.progress import Silent
from harness.store import encode, read_run
from harness.values import (
    Artifact,
    ArtifactFile,
    DeviceSpec,
    FileSource,
    Model,
    PhoneSpec,
    Plan,
    Preflight,
    Runtime,
    Size,
    Speed,
    Suite,
    Task,
    Variant,
    digest,
)
from tests import phone_texts as texts

MARK = "00112233445566aa"
PHONE = DeviceSpec(name="phone", kind="phone", title="any phone", phone=PhoneSpec())
RUNNER = digest("runner")
ARTIFACT = Artifact(
    variant="f16",
    format="gguf",
    sha256=digest("weights"),
    files=(ArtifactFile(name="model.gguf", bytes=1000, sha256=digest("weights")),),
    parameters=100,
    tensor_bytes=900,
    decode_bytes=900,
    tensor_types={"f16": 3},
    path="",
)
SAID = {
    "properties": texts.GETPROP,
    "memory": texts.MEMINFO,
    "cpuinfo": texts.CPUINFO,
    "clocks": texts.CLOCKS,
    "zones": texts.ZONES,
    "thermal": texts.THERMAL,
    "battery": texts.BATTERY,
    "serial": f"{digest('a serial')}  -",
    "kernel": "6.1.57",
    "machine": "aarch64",
    "load": "1.25 1.00 0.90 2/1234 5678",
}


def planned(spec: DeviceSpec = PHONE, *measures: Any) -> Plan:
    model = Model(name="tiny", source=FileSource(path="tiny.gguf"), label="", licence="", context=2048)
    suite = Suite(
        name="short",
        title="a short one",
        variants=(Variant(name="f16", model=model, recipe="f16"),),
        baselines=("f16",),
        runtimes=(Runtime(name="llama.cpp"),),
        devices=(spec,),
        measures=measures or (Size(), Speed(prompt_tokens=16, generated_tokens=4, rounds=2)),
        seed=1,
        source="short.yaml",
    )
    return make_plan(suite, {spec.name: expected_facts(spec, 4)}, ("bench", "run"))


def answers(questions: Any, **other: str) -> bytes:
    """As the script of these questions would print them."""
    said = {**SAID, **other}
    return "".join(f"{said.get(name, '')}\n{MARK} {name} 0\n" for name in questions).encode()


def parts(plan: Plan, **changes: Any) -> dict[str, bytes]:
    """Files of a result in which nothing has run yet."""
    body = encode(plan)
    manifest = Manifest(
        bench_version="0.1.0",
        device=plan.suite.devices[0],
        plan_sha256=hashlib.sha256(body).hexdigest(),
        mark=MARK,
        programs=(Program(target="aarch64", sha256=digest("file"), runner_sha256=RUNNER),),
        host_runner_sha256=digest("host"),
        artifacts=(ARTIFACT,),
    )
    return {
        "manifest.json": encode(msgspec.structs.replace(manifest, **changes)),
        "plan.json": body,
        "facts.txt": answers(questions.FACTS),
        "state.txt": answers(questions.STATE),
        "target": b"aarch64\n",
    }


def packed(folder: Path, files: dict[str, bytes], *, turned: bool = False) -> Path:
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in files.items())
    path = folder / ("again.tar" if turned else "bench-result.tar")
    every = [*files.items(), ("SHA256SUMS", sums.encode())]
    with tarfile.open(path, "w") as archive:
        for name, body in reversed(every) if turned else every:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def taken(folder: Path, files: dict[str, bytes], **how: bool) -> Path:
    return import_result(packed(folder, files, **how), folder / "results", None, Silent())


def test_a_result_in_which_little_happened_is_a_run(tmp_path: Path) -> None:
    plan = planned()
    run = read_run(taken(tmp_path, parts(plan)))
    assert run.plan.cells == plan.cells and run.plan.trials == plan.trials, "keys of cells do not change"
    facts = run.plan.facts["phone"]
    assert facts.phone is not None and not facts.phone.expected and facts.host_hash == digest("a serial")[:16]
    by_status = {record.status for record in run.records}
    assert len(run.records) == len(plan.trials) and by_status == {"ok", "failed"}
    assert all("parity" in str(r.reason) for r in run.records if r.status == "failed")
    about = msgspec.json.decode((run.path / IMPORTED).read_bytes(), type=Imported)
    assert about.file == "bench-result.tar" and about.made_by == "0.1.0"
    assert not (run.path / ".work").exists()


def test_how_the_phone_was_found_is_in_the_first_record(tmp_path: Path) -> None:
    files = {**parts(planned()), "state.txt": answers(questions.STATE, settings="low_power=1")}
    run = read_run(taken(tmp_path, files))
    found = [(n, o) for n, record in enumerate(run.records) for o in record.observations if isinstance(o, Preflight)]
    ((where, before),) = found
    assert run.records[where].status == "ok" and before.state.battery_percent is not None
    (condition,) = [one for one in analyse([run]).conditions if one.name == "before the run"]
    assert f"battery {before.state.battery_percent:.0f} %" in condition.values[0].value
    assert "the power saver is on" in condition.values[0].value, "on a cable this would have been refused"


def with_parity(files: dict[str, bytes], kl: float = 0.001) -> dict[str, bytes]:
    folder = f"out/{parity_name(ARTIFACT.sha256)}-0"
    lines = (msgspec.json.encode({"id": n, "kl": [kl], "top1": [True]}) + b"\n" for n in range(20))
    return {**files, f"{folder}/state.json": state(), f"{folder}/answers.jsonl": b"".join(lines)}


def state(**rc: Any) -> bytes:
    ended = {"code": 0, "signal": None, "cause": "ended", "start_ms": 1000, "end_ms": 3000, "boot_id": "b", **rc}
    seen = {"phase": "ended", "pid": None, "rc": ended, "gate": None, "affinity": "4-7", "settings_changed": False}
    return msgspec.json.encode({**seen, "bytes": {}, "uptime_ms": 4000, "boot_id": "b"})


def test_trials_that_the_phone_never_came_to_are_lost(tmp_path: Path) -> None:
    run = read_run(taken(tmp_path, with_parity(parts(planned()))))
    lost = [record for record in run.records if record.status == "lost_device"]
    assert len(lost) == 2 and all("was not run" in str(record.reason) for record in lost)


def test_logits_that_are_not_the_hosts_fail_the_artifact(tmp_path: Path) -> None:
    run = read_run(taken(tmp_path, with_parity(parts(planned()), kl=3.0)))
    reasons = [str(record.reason) for record in run.records if record.status == "failed"]
    assert len(reasons) == 2 and all("not those of the host" in reason for reason in reasons)


def test_a_program_that_failed_there_is_a_record_with_the_phones_time(tmp_path: Path) -> None:
    plan = planned()
    trial = next(t for t in plan.trials if t.id.endswith("-r1"))
    folder = f"out/{trial.id}-0"
    files = {
        **with_parity(parts(plan)),
        f"{folder}/state.json": state(code=3),
        f"{folder}/stderr.txt": b"\x1b[31mno such tensor\x1b[0m\n",
        f"{folder}/started": b"2026-07-14T10:00:00Z\n",
        f"{folder}/wrapper.conf": b"owner bundle\nmask 3\n",
        f"{folder}/conditions.txt": answers(CONDITIONS),
    }
    record = next(r for r in read_run(taken(tmp_path, files)).records if r.trial == trial.id)
    assert record.status == "failed" and str(record.reason).endswith("no such tensor�[0m")
    assert record.started == "2026-07-14T10:00:00Z" and record.duration_ns == 2_000_000_000
    assert record.environment is not None and record.environment.load_average == 1.25
    assert record.environment.runner_sha256 == RUNNER
    assert any("cores 4-7" in doubt for doubt in record.noise)
    assert any("4 threads, and the phone has 2" in doubt for doubt in record.noise)


def test_the_same_result_is_refused_with_the_name_of_its_run(tmp_path: Path) -> None:
    files = parts(planned())
    run = taken(tmp_path, files)
    for turned in (False, True):
        with pytest.raises(InputError, match=run.name):
            taken(tmp_path, files, turned=turned)
    assert list((tmp_path / "results").iterdir()) == [run]


def forged(**files: bytes | None) -> dict[str, bytes]:
    names = {"manifest": "manifest.json", "plan": "plan.json", "facts": "facts.txt", "state": "state.txt"}
    whole = parts(planned())
    for name, body in files.items():
        del whole[names.get(name, name)]
        if body is not None:
            whole[names.get(name, name)] = body
    return whole


OTHER = DeviceSpec(name="other", kind="phone", phone=PhoneSpec())
TASK_FILE = Task(task="/etc/task.yaml")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (forged(plan=encode(planned(PHONE, Size()))), "not the plan that its manifest names"),
        (forged(manifest=None), "no manifest"),
        (forged(facts=None), "no facts"),
        (forged(target=b"native\n"), "program 'native'"),
        (forged(target=b"\x1b[2J" * 20), "that its bundle does not have"),
        (forged(manifest=b'{"bundle":7}'), "version 7"),
        (parts(planned(), device=OTHER), "different phones"),
        (parts(planned(PHONE, Size(), TASK_FILE)), "is a file of this machine"),
        (parts(msgspec.structs.replace(planned(), schema=99)), "newer bench"),
        (parts(msgspec.structs.replace(planned(), cells=())), "not there"),
        (parts(msgspec.structs.replace(planned(), cross_check=5)), "without a cross-check"),
        ({**with_parity(parts(planned())), f"out/{planned().trials[-1].id}-0/state.json": b"{"}, "damaged"),
    ],
)
def test_what_is_forged_is_refused_and_leaves_nothing(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(StoreError, match=said) as refused:
        taken(tmp_path, files)
    assert str(refused.value).isprintable()
    assert not list((tmp_path / "results").glob("*"))


def test_another_phone_than_the_named_one_is_refused(tmp_path: Path) -> None:
    named = DeviceSpec(name="other", kind="phone", phone=PhoneSpec(models=("Some Other Phone",)))
    with pytest.raises(WrongDeviceError):
        taken(tmp_path, parts(planned(named)))
    assert not list((tmp_path / "results").glob("*"))


def test_what_a_bundle_cannot_hold() -> None:
    here = DeviceSpec(name="local")
    plan = planned()
    two = msgspec.structs.replace(plan.suite, devices=(PHONE, OTHER))
    for devices in (two, msgspec.structs.replace(plan.suite, devices=(here,))):
        with pytest.raises(InputError, match="one phone"):
            check_plan(msgspec.structs.replace(plan, suite=devices))
    assert check_plan(plan) == PHONE


def test_a_worthless_window_that_was_not_repeated_says_so(tmp_path: Path) -> None:
    facts = expected_facts(PHONE, 4)
    phone = ReplayDevice(PHONE, facts, tmp_path, MARK)
    phone.hold("a-run")
    job = Job(argv=("x",), spec={}, timeout_s=1, id="a-run-trial-r0-1")
    assert "not repeated" in str(phone.run(job, tmp_path).lost)
    assert "was not run" in str(phone.run(msgspec.structs.replace(job, id="a-run-trial-r0-0"), tmp_path).lost)


def test_the_phone_is_asked_for_nothing_that_tells_who_owns_it() -> None:
    asked = script({**questions.FACTS, **questions.STATE}, MARK)
    assert "\n( getprop\n" not in asked and "top -b" not in asked
    kept = questions.read_facts(answers(questions.FACTS), MARK, "phone", PhoneSpec())
    assert kept.model != "unknown phone"
    assert issubclass(StoreError, BenchError)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--runners", "native", "--bundle", "x.tar"), "say one of them"),
        (("--runners", "native", "--suite", "quick"), "leave out --suite"),
        (("--bundle", "x.tar", "--device", "local"), "device 'local' is none"),
        (("--bundle", "x.tar", "--device", "phone,oneplus12"), "for one phone"),
        (("--bundle", "x.tar", "--device", "phonne"), "did you mean 'phone'"),
    ],
)
def test_what_cannot_be_built_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["build", *words])
    assert done.exit_code == 2 and said in done.output, done.output
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_result_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.tar").write_bytes(b"no archive at all")
    done = CliRunner().invoke(main, ["import", "x.tar"])
    assert done.exit_code == 2 and "no archive of a bundle's result" in done.output
    assert "Traceback" not in done.output and done.output.count("\n") == 1
