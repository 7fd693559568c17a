"""Faults of a phone while a whole job runs on it, each in every phase in which it means something.

The job answers questions and is timed, so that the phone's settings are changed and a sampler runs. Its program is a
few lines of shell that speak the runner's protocol and wait in the middle until they are let go: what happens in
which phase is no matter of luck.

| | pushing | starting | running | polling | fetching |
| --- | --- | --- | --- | --- | --- |
| cable pulled, for longer than is waited | yes | yes | yes | yes | yes |
| adbd restarted: the connection breaks and is there again | yes | yes | yes | yes | yes |
| the same, and all that it has started ends with it | yes | yes | yes, also with the cable pulled | yes | yes |
| reboot | yes | yes | yes, also twice | yes, also before settings are back | yes |
| unauthorized from then on | yes | | yes | = running | yes |
| storage full | yes | | yes | = running | reading needs no room |
| program killed (137), by hand or for memory | | | yes | | |
| execution denied (126), program missing (127) | | yes | | | |
| lock held by another | yes | | yes, after a reboot | | an ended job's lock is kept |
| host killed by SIGKILL | yes | yes | yes | yes | yes |

A program that is not there yet cannot be killed or denied; one that runs is not started again. What the phone does
while the host only waits or asks how it is does not depend on which of both: `= running`.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import msgspec

from harness.config import PROJECT
from harness.errors import DeviceBusyError, DeviceError, DeviceLostError, NoSpaceError, UnauthorizedDeviceError
from harness.measure.devices.adb.address import parse_address
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.adb.direct import DirectConnection
from harness.measure.devices.adb.open import Via, open_connection
from harness.measure.devices.phone import job as jobs
from harness.measure.devices.phone import lock, wrapper
from harness.measure.devices.phone.device import PhoneDevice
from harness.measure.devices.phone.link import Link
from harness.measure.devices.phone.wrapper import Wrapper
from harness.measure.events import parse_events
from harness.measure.jobs import Job, Outcome, Parsed
from harness.measure.judging import judge
from harness.values import Cell, CoolDown, DeviceSpec, PhoneSpec, Task
from tests.shell_phone import wait_for
from tests.standin.device import StandIn

ROOT = "/data/local/tmp/bench"
GO, STARTS, FILL = "/data/local/tmp/go", "/data/local/tmp/starts", "/data/local/tmp/fill"
QUESTIONS, WAITS = 12, (5, 9)
"""After so many answers the program waits until it is let go."""
MODEL_BYTES = 3_000_000
QUOTA_BYTES = 600 << 20
OWNER, OTHER = "20260101T000000Z-faults", "another.run"
LIMIT_S, PATIENCE_S = 120.0, 5.0
OWN_SETTINGS = {"system/screen_brightness": b"102\n", "global/low_power": None, "global/stay_on_while_plugged_in": None}
PROGRAM = f"""
# bench-llama's manners in a few lines: job and events by name, answers appended one by one, those there skipped.
value() {{ sed -n 's/.*"'"$1"'":"\\([^"]*\\)".*/\\1/p' "$job"; }}
job=$1 events=$2
echo started >>{STARTS}
answers=$(value answers) requests=$(value requests)
[ -r "$(value model)" ] || exit 3
hello='"program":"bench-llama","runner_sha256":"0","llama_version":"0","kind":"score","pid":1'
echo '{{"event":"hello",'"$hello"'}}' >>"$events"
touch "$answers"
whole=$(wc -l <"$answers") n=0
torn() {{ [ -n "$(tail -c 1 "$answers")" ]; }}
! torn || {{ head -n "$whole" "$answers" >"$answers.new" && mv "$answers.new" "$answers"; }} || exit 4
while read -r line; do
    n=$((n + 1))
    [ $n -le "$whole" ] && continue
    word=${{line##*:\\"}}
    echo "{{\\"id\\":$((n - 1)),\\"word\\":\\"${{word%%\\"*}}\\"}}" >>"$answers" || exit 5
    case $n in {WAITS[0]} | {WAITS[1]}) while [ ! -e {GO}.$n ]; do sleep 0.05; done ;; esac
done <"$requests"
echo '{{"event":"scored","requests":{QUESTIONS},"answered":{QUESTIONS},"skipped":0,"tokens":0}}' >>"$events"
echo '{{"event":"done","wall_ns":1}}' >>"$events"
"""
SPEC = DeviceSpec(
    name="standin",
    kind="phone",
    phone=PhoneSpec(
        models=("CPH2581",),
        memory_bytes=16 << 30,
        affinity=(0,),
        cool_down=CoolDown(least_s=0, most_s=1, stable_s=0, cpu_c=60, skin_c=45, skin_zones=("shell_front",)),
    ),
)
CELL = Cell(key="0" * 16, variant="v", runtime=None, device="standin", workload=Task(task="knowledge_200"))

Phase = Literal["pushing", "starting", "running", "polling", "fetching"]


class Host:
    """The machine that a phone is measured from; `strike` is called once, when the case's moment has come."""

    def __init__(
        self, folder: Path, address: str, phase: Phase | None, strike: Callable[[], None], via: Via = "direct"
    ) -> None:
        self.folder, self._address, self._via, self.phase, self.strike = folder, address, via, phase, strike
        self._connects = 0
        self._struck = 0
        self.link = Link(self._connect, patience_s=PATIENCE_S, pause_s=0.1)
        self.device = PhoneDevice(SPEC, self.link)
        self.device.hold(OWNER)
        self.before_poll: Callable[[], None] = lambda: None
        self.strikes = 1

    def run(self) -> Outcome:
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        return self.device.run(make_job(self.folder), work, self._progress)

    def _connect(self) -> Connection:
        self._connects += 1
        if self._connects > 1 and self.phase not in (None, "running"):
            self._strike_once()
        if self._via == "direct":
            return DirectConnection(parse_address(self._address), accept_s=0.5)
        return open_connection(None, self._address, "server")

    def _progress(self, done: int, total: int) -> None:
        del total
        if self._struck < self.strikes and done >= WAITS[self._struck]:
            if self.phase == "running":
                self._struck += 1
                self.strike()
            elif self.phase == "polling":
                self.before_poll()

    def _strike_once(self) -> None:
        if not self._struck:
            self._struck = 1
            self.strike()


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the table, and what must come of it."""

    fault: str
    phase: Phase
    error: type[DeviceError] | None = None
    """Of the first attempt; None: it ends by itself."""
    status: str = "ok"
    """Of the first attempt, where it ends."""
    says: str = ""
    """A part of the error's message or of the status' reason."""
    starts: tuple[int, ...] = (1,)
    """How often the program may have been started in all."""

    @property
    def name(self) -> str:
        return f"{self.fault}, {self.phase}"


CUT: tuple[Phase, ...] = ("pushing", "starting", "running", "polling", "fetching")
ENDED = {"pushing": (1,), "starting": (1, 2), "running": (2,), "polling": (2,), "fetching": (1,)}
CASES = (
    *(Case(fault="cable", phase=p, error=DeviceLostError, says="127.0.0.1") for p in CUT),
    *(Case(fault="adbd", phase=p) for p in CUT),
    *(Case(fault="adbd harsh", phase=p, starts=ENDED[p]) for p in CUT),
    Case(fault="cable, adbd harsh", phase="running", error=DeviceLostError, says="127.0.0.1", starts=(2,)),
    *(Case(fault="reboot", phase=p, starts=ENDED[p]) for p in CUT),
    Case(fault="reboot twice", phase="running", starts=(3,)),
    Case(fault="reboot before settings are back", phase="polling"),
    *(
        Case(fault="unauthorized", phase=p, error=UnauthorizedDeviceError, says="trust")
        for p in ("pushing", "running", "fetching")
    ),
    Case(fault="full", phase="pushing", error=NoSpaceError, says="free some storage"),
    Case(fault="full", phase="running", error=NoSpaceError, says="storage is full", starts=(2,)),
    Case(fault="killed", phase="running", status="failed", says="SIGKILL"),
    Case(fault="killed for memory", phase="running", status="oom_killed", says="out-of-memory"),
    Case(fault="denied", phase="starting", status="failed", says="exit code 126", starts=(0,)),
    Case(fault="missing", phase="starting", status="failed", says="exit code 127", starts=(0,)),
    Case(fault="locked", phase="pushing", error=DeviceBusyError, says="another.run holds it"),
    Case(fault="locked", phase="running", error=DeviceBusyError, says="another.run holds it", starts=(2,)),
    *(Case(fault="host killed", phase=p) for p in CUT),
)


def play(case: Case, folder: Path, phone: StandIn, via: Via = "direct") -> list[str]:
    """Run the job through the fault, and once more where the fault ended it; what is not as it must be."""
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage(case, folder, phone, via)
    stage.set()
    if case.fault == "host killed":
        stage.kill_a_host()
    else:
        stage.first_attempt()
    stage.mend()
    if case.error is not None or case.fault == "host killed":
        stage.second_attempt()
    stage.look_at_what_is_left()
    return stage.wrong


class Stage:
    """A phone, a fault, and what was found wrong."""

    def __init__(self, case: Case, folder: Path, phone: StandIn, via: Via) -> None:
        self.case, self.folder, self.phone, self.via = case, folder, phone, via
        self.wrong: list[str] = []
        self.job = make_job(folder, interpreter="/no/such/shell" if case.fault == "missing" else "/system/bin/sh")

    def set(self) -> None:
        """Before anything runs."""
        case, phone = self.case, self.phone
        phone.fault(
            **{"pushing": {"cut_after_bytes": MODEL_BYTES // 2}, "starting": {"cut_after": " start "}}.get(
                case.phase, {}
            )
        )
        if case.phase == "fetching":
            phone.fault(cut_before="events.jsonl; [ -e")
        if case.phase not in ("running", "polling"):
            self._let_go()
        if case.fault == "denied":
            phone.forbid_execution()
        if case.fault in ("denied", "missing"):
            phone.fault(cut_after=None)
        if case.fault == "locked" and case.phase == "pushing":
            phone.fault(cut_after_bytes=None)
            self._as_another(lambda c, w: lock.take(c, w, OTHER, 600))

    def first_attempt(self) -> None:
        host = Host(self.folder, self.phone.address, self.case.phase, self.strike, self.via)
        host.before_poll = lambda: self.phone.fault(cut_before=" state ")
        host.strikes = 2 if self.case.fault == "reboot twice" else 1
        try:
            outcome = host.run()
        except DeviceError as error:
            if type(error) is not self.case.error or self.case.says not in str(error):
                self.wrong.append(f"{type(error).__name__}: {error}")
        else:
            self._judge(outcome, self.case.status, self.case.says)
            if self.case.error is not None:
                self.wrong.append(f"no {self.case.error.__name__}")
        host.device.release()

    def second_attempt(self) -> None:
        """Another program goes on with the run."""
        host = Host(self.folder, self.phone.address, None, lambda: None, self.via)
        try:
            self._judge(host.run(), "ok", "")
        except DeviceError as error:
            self.wrong.append(f"the second attempt: {type(error).__name__}: {error}")
        host.device.forget(self.job.id)
        host.device.release()

    def kill_a_host(self) -> None:
        words = [
            sys.executable,
            "-m",
            "tests.phone_faults",
            str(self.folder),
            self.phone.address,
            self.case.phase,
            self.via,
        ]
        child = subprocess.Popen(words, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)})
        if self.case.phase == "polling":
            wait_for(lambda: child.poll() is not None or self._answers_there() >= WAITS[0])
            self.phone.fault(cut_before=" state ")
        if child.wait(timeout=LIMIT_S) != -signal.SIGKILL:
            self.wrong.append(f"the host ended by itself with {child.returncode}")

    def strike(self) -> None:
        fault, phone = self.case.fault, self.phone
        if fault == "cable":
            phone.fault(refuse=True)
            phone.restart_adbd()
        elif fault in ("adbd", "adbd harsh"):
            phone.restart_adbd(harsh=fault == "adbd harsh")
        elif fault == "cable, adbd harsh":
            phone.fault(refuse=True)
            phone.restart_adbd(harsh=True)
        elif fault in ("reboot", "reboot twice"):
            phone.reboot()
        elif fault == "reboot before settings are back":
            self._shell(f"cd {ROOT}/jobs/*/run && kill -STOP $(cut -d ' ' -f 1 supervisor guard)")
            self._let_go()
            wait_for(lambda: self._shell(f"ls {ROOT}/jobs/*/rc"))
            phone.reboot()
        elif fault == "unauthorized":
            phone.fault(auth="ask")
            phone.restart_adbd()
        elif fault == "full":
            self._fill()
        elif fault.startswith("killed"):
            self._kill_program()
        elif fault == "locked":
            phone.reboot()
            self._as_another(lambda c, w: (jobs.recover(c, w, OTHER), lock.take(c, w, OTHER, 600)))
        self._let_go(1 if fault == "reboot twice" else 2)

    def mend(self) -> None:
        """Somebody plugs the phone in, accepts the dialog, makes room, lets go of the lock."""
        self.phone.fault(refuse=False, auth="none", cut_before=None, cut_after=None, cut_after_bytes=None)
        if self.case.fault == "full":
            self.phone.limit_space(QUOTA_BYTES)
            self._shell(f"rm -f {FILL}")
        if self.case.fault == "denied":
            self.phone.forbid_execution(False)
        if self.case.fault == "locked":
            self._as_another(lambda c, w: lock.free(c, w, OTHER))
        self._let_go()

    def look_at_what_is_left(self) -> None:
        given = (self.folder / "answers.jsonl").read_bytes() if (self.folder / "answers.jsonl").exists() else b""
        wanted = b"".join(answer(n) for n in range(QUESTIONS))
        if given != wanted and not (self.case.status != "ok" and wanted.startswith(given)):
            self.wrong.append(f"answers: {given!r}")
        wait_for(lambda: self.phone.read(f"{ROOT}/settings.saved") is None)
        for setting, own in OWN_SETTINGS.items():
            if (seen := self.phone.read(f"/standin/settings/{setting}")) != own:
                self.wrong.append(f"{setting} is {seen!r}, it was {own!r}")
        with closing(open_connection(None, self.phone.address, "direct")) as connection:
            if (holder := lock.peek(connection)) is not None:
                self.wrong.append(f"a stale lock: {holder}")
        starts = (self.phone.read(STARTS) or b"").count(b"started")
        if starts not in self.case.starts:
            self.wrong.append(f"{starts} starts")

    def _judge(self, outcome: Outcome, wanted: str, says: str) -> None:
        try:
            parsed, broken = parse_events(outcome.events), None
        except ValueError as error:
            parsed, broken = Parsed(observations=(), warmups=(), error=None, done=False), str(error)
        status, reason = judge(CELL, None, outcome, parsed, broken)
        if status != wanted or says not in (reason or ""):
            self.wrong.append(f"{status}: {reason} {outcome.stderr_tail}")

    def _let_go(self, waits: int = 2) -> None:
        for number in WAITS[:waits]:
            self.phone.write(f"{GO}.{number}", "")

    def _fill(self) -> None:
        self.phone.limit_space(MODEL_BYTES + (6 << 20))
        self._shell(f"cat /dev/zero >{FILL}")

    def _kill_program(self) -> None:
        pid = self._shell(f"cat {ROOT}/jobs/*/run/program").split()[0].decode()
        if self.case.fault == "killed for memory":
            said = f"lowmemorykiller: Kill 'bench-llama' ({pid}), uid 2000, oom_score_adj 0"
            self.phone.write("/system/bin/logcat", f'#!/system/bin/sh\necho "{said}"\n')
            self.phone.chmod("/system/bin/logcat", 0o755)
        self._shell(f"kill -9 {pid}")

    def _answers_there(self) -> int:
        return self._shell(f"cat {ROOT}/jobs/*/answers.jsonl 2>/dev/null").count(b"\n")

    def _as_another(self, what: Callable[[Connection, Wrapper], object]) -> None:
        with closing(open_connection(None, self.phone.address, "direct")) as connection:
            what(connection, wrapper.install(connection))

    def _shell(self, script: str) -> bytes:
        with closing(open_connection(None, self.phone.address, "direct")) as connection:
            return connection.shell(script).stdout


def make_job(folder: Path, interpreter: str = "") -> Job:
    """Its files are written by the first call, which names an interpreter."""
    program, model, requests = folder / "bench-llama", folder / "model.gguf", folder / "requests.jsonl"
    if interpreter:
        program.write_text(f"#!{interpreter}\n{PROGRAM}")
        program.chmod(0o755)
        model.write_bytes(random.Random(1).randbytes(MODEL_BYTES))
        requests.write_bytes(b"".join(b'{"id":%d,"word":"%s"}\n' % (n, word(n)) for n in range(QUESTIONS)))
    return Job(
        argv=(str(program), "{job}", "{events}"),
        spec={
            "kind": "score",
            "model": str(model),
            "requests": str(requests),
            "answers": str(folder / "answers.jsonl"),
        },
        timeout_s=LIMIT_S,
        id=f"{OWNER}-t0-0",
        timed=True,
        reads=("model", "requests"),
        appends=("answers",),
    )


def word(number: int) -> bytes:
    return b"w%d" % (number * 7919 % 1000)


def answer(number: int) -> bytes:
    return b'{"id":%d,"word":"%s"}\n' % (number, word(number))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """A host that dies at its moment: `python -m tests.phone_faults FOLDER ADDRESS PHASE VIA`."""
    folder, address, phase, via = sys.argv[1:]
    Host(Path(folder), address, msgspec.convert(phase, Phase), die, msgspec.convert(via, Via)).run()


if __name__ == "__main__":
    main()
