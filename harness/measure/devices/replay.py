"""A phone whose jobs have all ended elsewhere: what was recorded of each is given back, and nothing is run."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.errors import StoreError
from harness.measure.devices.phone.asking import answers
from harness.measure.devices.phone.conditions import CONDITIONS, conditions_from
from harness.measure.devices.phone.job import JobState
from harness.measure.devices.phone.outcome import Remains, outcome_of
from harness.measure.devices.phone.remains import GATE, SAMPLES, SETTINGS, STDERR, STDERR_TAIL
from harness.measure.devices.phone.remote import EVENTS
from harness.measure.jobs import Conditions, FileNeeded, Job, OnProgress, Outcome
from harness.store import DAMAGE
from harness.values import DeviceFacts, DeviceSpec, Observation, PhoneFacts, Preflight, ProcessSeen

STATE_FILE, CONDITIONS_FILE, CONF_FILE, STARTED_FILE = "state.json", "conditions.txt", "wrapper.conf", "started"
ANSWERS, KILLED = "answers.jsonl", "killed_for_memory"
NOT_RUN = "it was not run: the phone's owner ended the run before"
NOT_REPEATED = "its timed windows were worthless, and it was not repeated: the phone's owner ended the run before"
UNKNOWN = Conditions(load_average=None, available_bytes=None, power=None)


class ReplayDevice:
    """Jobs by name, `TRIAL-ATTEMPT`, each a folder in `recorded`."""

    def __init__(
        self, spec: DeviceSpec, facts: DeviceFacts, recorded: Path, mark: str, before: Preflight | None = None
    ) -> None:
        """`mark` ends each answer in a file of conditions; `before` is how the phone was found before the first job."""
        self.spec = spec
        self._facts, self._recorded, self._mark = facts, recorded, mark
        self._noticed: tuple[Observation, ...] = () if before is None else (before,)
        self._run = self._trial = ""

    def facts(self) -> DeviceFacts:
        return self._facts

    def turn_to(self, trial: str) -> None:
        """The trial whose conditions are asked for next."""
        self._trial = trial

    def conditions(self) -> Conditions:
        text = self.read(f"{self._trial}-0", CONDITIONS_FILE)
        if not text:
            return UNKNOWN
        return conditions_from(answers(text.decode("utf-8", errors="replace"), CONDITIONS, self._mark))

    def hold(self, run: str, files: Sequence[FileNeeded] = ()) -> None:
        del files
        self._run = run

    def run(self, job: Job, work: Path, on_progress: OnProgress | None = None) -> Outcome:
        """See `Device`. A job of which nothing was recorded is lost, and says why."""
        del on_progress
        name = job.id.removeprefix(f"{self._run}-")
        state = self.state(name)
        if state is None:
            return _lost(NOT_RUN if name.endswith("-0") else NOT_REPEATED)
        for key in job.appends:
            self.copy(name, ANSWERS, Path(job.spec[key]))
        for file in (SAMPLES, GATE):
            self.copy(name, file, work / file)
        cores = self._cores(name)
        phone = self._facts.phone
        assert isinstance(phone, PhoneFacts)
        remains = Remains(
            state=state,
            events=self.read(name, EVENTS),
            stderr=self.read(name, STDERR)[-STDERR_TAIL:],
            samples=self.read(name, SAMPLES),
            gate=self.read(name, GATE),
            settings=self.read(name, SETTINGS),
            cores=cores,
            skin_zones=phone.skin_zones,
            killed_for_memory=(self._recorded / name / KILLED).is_file(),
        )
        outcome = outcome_of(remains, phone)
        threads = job.spec.get("threads", 0)
        if cores and threads > len(cores):
            doubt = f"planned with {threads} threads, and the phone has {len(cores)} such cores"
            return msgspec.structs.replace(outcome, doubts=(*outcome.doubts, doubt))
        return outcome

    def state(self, name: str) -> JobState | None:
        """How a job was when it had ended; None where nothing was recorded, or the phone left it out.

        Raises:
            StoreError: it is damaged.
        """
        body = self.read(name, STATE_FILE)
        if not body or body.startswith(b'{"skipped"'):
            return None
        try:
            return msgspec.json.decode(body, type=JobState)
        except DAMAGE as error:
            raise StoreError(f"what was recorded of job {name} is damaged: {error}") from error

    def started(self, trial: str) -> str | None:
        """When a trial's job was started, by the phone's own clock: UTC, ISO 8601."""
        found = re.match(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(?=\s|$)", self.read(f"{trial}-0", STARTED_FILE))
        return found.group().decode() if found else None

    def read(self, name: str, file: str) -> bytes:
        """A file of a job; empty where there is none."""
        path = self.path(name, file)
        return path.read_bytes() if path.is_file() else b""

    def path(self, name: str, file: str) -> Path:
        """Where a file of a job lies, if there is one."""
        return self._recorded / name / file

    def copy(self, name: str, file: str, target: Path) -> None:
        """Copy a file of a job, if there is one."""
        source = self.path(name, file)
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def release(self) -> None:
        """Nothing is held."""

    def begun(self, begins: str) -> bool:
        """False: what memory it had was written down before each job."""
        del begins
        return False

    def forget(self, begins: str) -> None:
        """Nothing is kept elsewhere."""

    def noticed(self) -> tuple[Observation, ...]:
        seen, self._noticed = self._noticed, ()
        return seen

    def interrupt(self) -> None:
        """Nothing runs."""

    def _cores(self, name: str) -> tuple[int, ...]:
        found = re.search(rb"^mask ([0-9a-f]{1,16})$", self.read(name, CONF_FILE), re.MULTILINE)
        mask = int(found.group(1), 16) if found else 0
        return tuple(cpu for cpu in range(64) if mask >> cpu & 1)


def _lost(why: str) -> Outcome:
    nothing = ProcessSeen(exit_code=None, signal=None, wall_ns=0, user_ns=None, system_ns=None, major_faults=None)
    return Outcome(process=nothing, events=b"", stderr_tail="", lost=why)
