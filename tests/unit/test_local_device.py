"""This machine as a device, with real child processes: every way a program can end has its status."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.errors import SetupError
from harness.measure.devices.local import LocalDevice
from harness.measure.devices.local_facts import last_level_cache_bytes, read_facts, usable_cores
from harness.measure.jobs import Job, Outcome
from harness.values import DeviceSpec


def run(tmp_path: Path, code: str, timeout_s: float = 60, on_progress: object = None, **spec: object) -> Outcome:
    work = tmp_path / "work"
    work.mkdir()
    job = Job(argv=(sys.executable, "-c", code, "{job}", "{events}"), spec=spec, timeout_s=timeout_s)
    return LocalDevice(DeviceSpec(name="local")).run(job, work, on_progress)  # type: ignore[arg-type]


def test_a_program_reads_its_job_and_its_events_come_back(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[2], 'w').write(open(sys.argv[1]).read())"
    outcome = run(tmp_path, code, answer=42)
    assert outcome.events == b'{"answer":42}'
    assert outcome.process.exit_code == 0 and outcome.process.signal is None
    assert outcome.process.user_ns and outcome.process.wall_ns > 0


def test_exit_code_and_stderr_are_kept(tmp_path: Path) -> None:
    outcome = run(tmp_path, "import sys; sys.stderr.write('why\\n'); sys.exit(7)")
    assert outcome.process.exit_code == 7
    assert outcome.stderr_tail == "why\n"


def test_death_by_a_signal_is_named(tmp_path: Path) -> None:
    outcome = run(tmp_path, "import os; os.kill(os.getpid(), 11)")
    assert outcome.process.signal == "SIGSEGV" and outcome.process.exit_code is None
    assert not outcome.timed_out and not outcome.out_of_memory


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_hanging_program_and_its_children_are_ended(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[2], 'w').write(str(child.pid))\n"
        "time.sleep(600)"
    )
    outcome = run(tmp_path, code, timeout_s=3)
    assert outcome.timed_out and outcome.process.signal == "SIGKILL"
    child = int(outcome.events)
    deadline = time.monotonic() + 20
    while is_alive(child):
        assert time.monotonic() < deadline, "the grandchild outlived the time limit"
        time.sleep(0.01)


def test_progress_is_passed_on(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run(
        tmp_path,
        "print('progress 3 10'); print('noise'); print('progress x y')",
        on_progress=lambda a, b: seen.append((a, b)),
    )
    assert seen == [(3, 10)]


def test_a_program_that_closes_its_output_early_is_waited_for(tmp_path: Path) -> None:
    code = "import os, sys; os.close(1); open(sys.argv[2], 'w').write('end')"
    assert run(tmp_path, code).events == b"end"


def test_much_output_does_not_block(tmp_path: Path) -> None:
    assert run(tmp_path, "print('x' * 5_000_000)").process.exit_code == 0


def test_a_missing_program_is_an_error_for_people(tmp_path: Path) -> None:
    job = Job(argv=(str(tmp_path / "nothing"),), spec={}, timeout_s=1)
    with pytest.raises(SetupError, match="cannot start"):
        LocalDevice(DeviceSpec(name="local")).run(job, tmp_path)


INTERRUPTED = """
import sys
from pathlib import Path
sys.path.insert(0, {project!r})
from harness.measure.devices.local import LocalDevice
from harness.measure.jobs import Job
from harness.values import DeviceSpec
code = (
    "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid()));"
    "print('progress 1 2', flush=True); time.sleep(600)"
)
job = Job(argv=(sys.executable, "-c", code, "{{events}}"), spec={{}}, timeout_s=500)
LocalDevice(DeviceSpec(name="local")).run(job, Path({work!r}), lambda a, b: print("begun", flush=True))
"""


def test_an_interrupt_ends_the_program_first(tmp_path: Path) -> None:
    code = INTERRUPTED.format(project=str(Path(__file__).parents[2]), work=str(tmp_path))
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60, host.kill)
    watchdog.start()
    assert host.stdout is not None and host.stdout.readline() == "begun\n"
    host.send_signal(signal.SIGINT)
    _, errors = host.communicate()
    watchdog.cancel()
    assert "KeyboardInterrupt" in errors
    assert not Path(f"/proc/{(tmp_path / 'events.jsonl').read_text()}").exists()


def test_facts_say_what_was_not_seen() -> None:
    facts = read_facts("local")
    assert 1 <= facts.usable_cores <= len(os.sched_getaffinity(0))
    for field in ("llc_bytes", "governor"):
        assert (getattr(facts, field) is None) == (field in facts.missing)


def test_affinity_limits_the_cores() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_cache_is_counted_once_an_instance() -> None:
    size = last_level_cache_bytes()
    assert size is None or size >= 1 << 18


def test_another_thread_ends_a_program_that_is_waited_for(tmp_path: Path) -> None:
    device, begun, seen = LocalDevice(DeviceSpec(name="local")), threading.Event(), list[BaseException]()
    code = "import time; print('progress 1 2', flush=True); time.sleep(600)"
    job = Job(argv=(sys.executable, "-c", code), spec={}, timeout_s=600)

    def wait() -> None:
        try:
            device.run(job, tmp_path, lambda *_: begun.set())
        except KeyboardInterrupt as stopped:
            seen.append(stopped)

    thread = threading.Thread(target=wait)
    thread.start()
    assert begun.wait(60)
    device.interrupt()
    thread.join(60)
    assert not thread.is_alive() and len(seen) == 1
    with pytest.raises(KeyboardInterrupt):
        device.run(job, tmp_path)
