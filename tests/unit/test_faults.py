"""Faults, with real programs and real files: each has its status, loses nothing, doubles nothing."""

import errno
import os
import re
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.config import PROJECT
from harness.errors import BuildError, StoreError
from harness.measure import execute as execute_module
from harness.measure.devices import local
from harness.measure.devices.local import LocalDevice
from harness.measure.execute import Equipment, execute
from harness.measure.inputs import Preparation
from harness.measure.jobs import Inputs
from harness.progress import Silent
from harness.store import PLAN, RECORDS, append_record, create_run, hold_run, read_run, write_durably
from harness.values import DeviceSpec, Trial, TrialRecord
from tests.unit.test_execute import ARTIFACT, SPEED
from tests.unit.test_plan import FACTS
from tests.unit.test_store import a_plan, a_record

TRIAL = Trial(id="t0", cell="0" * 16, round=0)


def run_program(tmp_path: Path, body: str, *, timeout_s: float = 60) -> TrialRecord:
    """A trial whose runner is a Python program: its events file is `events`."""
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport os, sys, time\nevents = open(sys.argv[2], 'wb')\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    kit = Equipment(
        device=LocalDevice(DeviceSpec(name="local")),
        facts=FACTS,
        artifact=ARTIFACT,
        inputs=Inputs(program=str(program), model="/m", prompt=(1,), timeout_s=timeout_s),
        runner_sha256="0" * 64,
    )
    return execute(TRIAL, SPEED, kit, tmp_path / "work", None)


TIMING = (
    '{"event":"timing","index":0,"warmup":false,"prefix_tokens":0,"prompt_tokens":64,"generated_tokens":2,'
    '"logits_ns":%s,"token_ns":[%s],"wall_ns":30,"cpu_ns":null,"machine_busy_ns":null,"machine_steal_ns":null,'
    '"major_faults":null,"minor_faults":null,"voluntary_switches":null,"involuntary_switches":null}'
)
GARBAGE = [
    ("text", "b'this is no event\\n'"),
    ("not UTF-8", 'b\'{"event": "\\xff\\xfe"}\\n\''),
    ("nested without end", "b'{\"event\":' + b'[' * 200000 + b']' * 200000 + b'}\\n'"),
    ("unknown event", 'b\'{"event": "surprise"}\\n\''),
    ("a number beyond all bounds", f"b'{TIMING % ('9' * 400, '1,2')}\\n'"),
    ("tokens at one moment", f"b'{TIMING % ('1', '5,5')}\\n'"),
    ("zeros", "bytes(100) + b'\\n'"),
]


@pytest.mark.parametrize("body", [row[1] for row in GARBAGE], ids=[row[0] for row in GARBAGE])
def test_garbage_is_a_failed_trial(tmp_path: Path, body: str) -> None:
    record = run_program(tmp_path, f"events.write({body})")
    assert record.status == "failed" and record.reason is not None and record.reason.isprintable()
    assert "no event" in record.reason
    kept(tmp_path, record)


def test_a_hanging_runner_is_timed_out(tmp_path: Path) -> None:
    record = run_program(tmp_path, "time.sleep(600)", timeout_s=1)
    assert record.status == "timed_out"
    kept(tmp_path, record)


def test_a_runner_that_hangs_with_its_signals_blocked_is_timed_out(tmp_path: Path) -> None:
    body = "import signal\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: time.sleep(600)"
    assert run_program(tmp_path, body, timeout_s=1).status == "timed_out"


def test_a_runner_that_dies_by_a_signal_has_failed(tmp_path: Path) -> None:
    record = run_program(tmp_path, "os.abort()")
    assert record.status == "failed" and "SIGABRT" in str(record.reason)
    kept(tmp_path, record)


def test_a_runner_killed_for_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's counter is faked: a cgroup with a limit cannot be made everywhere."""
    kills = iter((3, 4))
    monkeypatch.setattr(local, "oom_kills", lambda: next(kills))
    record = run_program(tmp_path, "os.kill(os.getpid(), 9)")
    assert record.status == "oom_killed"
    kept(tmp_path, record)


def test_killed_by_hand_is_not_taken_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "oom_kills", lambda: 3)
    assert run_program(tmp_path, "os.kill(os.getpid(), 9)").status == "failed"


def test_much_on_standard_error_is_cut_and_one_line(tmp_path: Path) -> None:
    body = "sys.stderr.write('x' * 20_000_000 + '\\nlast\\x1b[2J words\\n')\nsys.exit(3)"
    record = run_program(tmp_path, body)
    assert record.status == "failed" and str(record.reason).endswith("last�[2J words")
    assert str(record.reason).isprintable()


def test_events_without_end_are_a_failed_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MOST_EVENTS", 1 << 16)
    body = 'events.write(b\'{"event":"scored"}\\n\' * 100_000 + b\'{"event":"done"}\\n\')'
    record = run_program(tmp_path, body)
    assert record.status == "failed" and "before it was done" in str(record.reason)


def kept(tmp_path: Path, record: TrialRecord) -> None:
    """Whatever came of a trial goes through the store and comes back."""
    run = create_run(tmp_path / "results", a_plan(), host="h")
    append_record(run, record)
    assert read_run(run).records == (record,)


def test_tokenizers_that_print_garbage_are_errors_for_people(tmp_path: Path) -> None:
    for body in (
        "events.write(b'nonsense\\n')",
        "events.write(b'{\"event\":\"done\"}\\n')\nopen(answers, 'w').write('{}\\n')",
    ):
        program = tmp_path / "program"
        program.write_text(
            f"#!{sys.executable}\nimport json, sys\nevents = open(sys.argv[2], 'wb')\n"
            f"answers = json.load(open(sys.argv[1]))['answers']\n{body}\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        from harness.build.runners.llama_cpp_build import Runner

        device = LocalDevice(DeviceSpec(name="local"))
        runner = Runner(path=str(program), sha256="0" * 64)
        preparation = Preparation(device, runner, None, None, Silent())  # type: ignore[arg-type]
        with pytest.raises(BuildError, match="tokenizing failed"):
            preparation.tokenize(ARTIFACT, ["a"])


# ---------------------------------------------------------------- clocks


def test_a_clock_that_jumps_changes_no_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Jumping:
        years = 0

        @classmethod
        def now(cls, zone: object) -> datetime:
            cls.years += 1
            return datetime(2100 - 10 * cls.years, 1, 1, tzinfo=UTC)

    moments = iter(range(10**9, 0, -(10**6)))
    monkeypatch.setattr(execute_module, "datetime", Jumping)
    monkeypatch.setattr("time.time", lambda: float(next(moments)))
    monkeypatch.setattr("time.time_ns", lambda: next(moments) * 10**9)
    record = run_program(tmp_path, "time.sleep(0.1); os.abort()")
    limit = timedelta(minutes=5) / timedelta(microseconds=1) * 1000
    (seen,) = (o for o in record.observations if o.__struct_config__.tag == "process")
    assert 10**8 <= seen.wall_ns <= record.duration_ns < limit  # type: ignore[union-attr]
    assert record.started.startswith("2090")


def test_wall_time_is_only_written_down() -> None:
    """Anything that computes with it would follow the clock's jumps."""
    allowed = {"store.py", "execute.py", "lane.py", "importing.py", "making.py", "night.py", "acknowledging.py"}
    allowed |= {"begun.py", "reading.py"}  # which runs are of tonight, and which clock was ahead; nothing measured
    ages = {"housekeeping.py", "waste.py"}  # how long a file of the cache was of no use; nothing measured
    for path in (PROJECT / "harness").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\btime\.time(_ns)?\(|\butcnow\(|\btime\.gmtime\(", text) or path.name in ages, path
        assert "datetime.now" not in text or path.name in allowed, path


# ---------------------------------------------------------------- disks


def in_child(work: Callable[[], None]) -> int:
    """The exit code of a forked child: 0, or 1 with its traceback on standard error."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            if code:
                import traceback

                traceback.print_exc()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_full_disk_tears_at_most_the_record_in_progress(tmp_path: Path) -> None:
    run = create_run(tmp_path, a_plan(20), host="h")

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))  # a write beyond it is partial, then fails
        with pytest.raises(StoreError, match="--resume"):
            for number in range(20):
                append_record(run, a_record(number))

    assert in_child(fill) == 0
    body = (run / RECORDS).read_bytes()
    assert len(body) == 3000 and not body.endswith(b"\n"), "the disk was full in the middle of a line"
    done = len(read_run(run).records)
    assert done == body.count(b"\n") >= 2
    for number in range(done, 20):
        append_record(run, a_record(number))
    assert (run / RECORDS).read_bytes().startswith(body[: body.rfind(b"\n") + 1])
    assert [r.trial for r in read_run(run).records] == [f"t{n}" for n in range(20)]


def test_no_room_at_all_is_an_error_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run(tmp_path, a_plan(), host="h")
    append_record(run, a_record(0))
    before = (run / RECORDS).read_bytes()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        with pytest.raises(StoreError, match="No space left on device"):
            append_record(run, a_record(1))
    assert (run / RECORDS).read_bytes() == before


def test_a_whole_file_is_written_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "items" / "a.jsonl.gz"
    write_durably(target, b"old")

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(OSError, match="too large"):
            write_durably(target, b"x" * 5000)

    assert in_child(fill) == 0
    assert target.read_bytes() == b"old"
    assert [p.name for p in target.parent.iterdir()] == ["a.jsonl.gz"], "nothing half-written keeps room"


def test_a_read_only_results_folder_is_read_and_not_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        results = Path(name)
        run = create_run(results, a_plan(), host="h")
        append_record(run, a_record(0))
        (run / RECORDS).chmod(0o444)
        for folder in (run, results):
            folder.chmod(0o555)

        def read_and_write() -> None:
            if os.geteuid() == 0:
                os.setegid(65534)
                os.seteuid(65534)
            assert len(read_run(run).records) == 1
            with pytest.raises(StoreError, match="Permission denied"):
                append_record(run, a_record(1))
            with pytest.raises(StoreError, match="Permission denied"):
                create_run(results, a_plan(), host="h")
            with pytest.raises(StoreError, match="Permission denied"), hold_run(run):
                pass

        try:
            assert in_child(read_and_write) == 0
        finally:
            for folder in (results, run):
                folder.chmod(0o755)


# ---------------------------------------------------------------- records


def test_a_newer_record_is_refused_with_its_line(tmp_path: Path) -> None:
    run = create_run(tmp_path, a_plan(), host="h")
    append_record(run, a_record(0))
    append_record(run, a_record(1))
    first, second = (run / RECORDS).read_bytes().splitlines(keepends=True)
    (run / RECORDS).write_bytes(first + second.replace(b'"schema":1', b'"schema":2'))
    with pytest.raises(StoreError, match=r"records\.jsonl:2: written by a newer bench"):
        read_run(run)


def test_a_file_with_its_middle_gone_is_refused_and_kept(tmp_path: Path) -> None:
    run = create_run(tmp_path, a_plan(), host="h")
    for number in range(3):
        append_record(run, a_record(number))
    body = (run / RECORDS).read_bytes()
    (run / RECORDS).write_bytes(body[:50] + body[-50:])
    with pytest.raises(StoreError, match=r"records\.jsonl:1: damaged"):
        read_run(run)
    assert (run / RECORDS).read_bytes() == body[:50] + body[-50:], "what can be mended by hand is left"


@pytest.mark.parametrize("changes", [{"trial": "t9"}, {"cell": "1" * 16}])
def test_a_record_of_no_planned_trial_is_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    run = create_run(tmp_path, a_plan(), host="h")
    append_record(run, a_record(0, **changes))
    with pytest.raises(StoreError, match=r"records\.jsonl:1: damaged: no trial"):
        read_run(run)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"variant": "a"', '"variant": "b"', "that is not there"),
        ('"id": "t1"', '"id": "t0"', "is there twice"),
        ('"baselines": [\n   "a"\n  ]', '"baselines": ["b"]', "is no variant"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    run = create_run(tmp_path, a_plan(), host="h")
    text = (run / PLAN).read_text()
    assert old in text
    (run / PLAN).write_text(text.replace(old, new))
    with pytest.raises(StoreError, match=said):
        read_run(run)


HOLDER = """
import sys
from pathlib import Path
sys.path.insert(0, {project!r})
from harness.store import hold_run
with hold_run(Path({run!r})):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_is_free_again_once_its_writer_is_killed(tmp_path: Path) -> None:
    run = create_run(tmp_path, a_plan(), host="h")
    code = HOLDER.format(project=str(PROJECT), run=str(run))
    writer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match="another bench process"), hold_run(run):
        pass
    writer.kill()
    writer.communicate()
    with hold_run(run):
        append_record(run, a_record(0))
