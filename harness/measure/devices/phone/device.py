"""A phone as a device: files are brought to it once, jobs run on it by themselves, what they come to is fetched."""

import os
from pathlib import Path
from shlex import quote

import msgspec

from harness.build.cache import sha256_file
from harness.device_files import load_reach
from harness.errors import DeviceError
from harness.measure.devices.adb.attached import attached
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.adb.open import open_connection
from harness.measure.devices.phone import job as jobs
from harness.measure.devices.phone import lock
from harness.measure.devices.phone.asking import ask
from harness.measure.devices.phone.conditions import CONDITIONS, conditions_from
from harness.measure.devices.phone.facts import read_phone_facts
from harness.measure.devices.phone.gate import Zones, read_heat, wish_of, zones_of
from harness.measure.devices.phone.job import JobState, JobWish, SamplerWish
from harness.measure.devices.phone.link import Link
from harness.measure.devices.phone.outcome import Remains, outcome_of
from harness.measure.devices.phone.place import place
from harness.measure.devices.phone.preflight import check_identity, preflight
from harness.measure.devices.phone.probe import Probed, run_probe
from harness.measure.devices.phone.resolve import goes_direct, resolve
from harness.measure.devices.phone.settings import SettingsWish
from harness.measure.devices.phone.state import read_phone_state
from harness.measure.devices.phone.wrapper import ROOT, Wrapper, install, write
from harness.measure.jobs import Conditions, Job, OnProgress, Outcome
from harness.values import DeviceFacts, DeviceReach, DeviceSpec, PhoneFacts, PhoneSpec, PhoneState

POLL_S = 5.0
KEPT_S = 1800
"""Between two jobs the lock stays with the run for so long."""
MOST_STARTS = 2
"""Of a job that a reboot ended."""
PROBE_LIMIT_S = 60.0
EVENTS, STDERR, SAMPLES, GATE = "events.jsonl", "stderr.txt", "samples.jsonl", "gate.jsonl"


def connect(spec: DeviceSpec, reach: DeviceReach) -> Connection:
    """The phone of that name, wherever it is attached.

    Raises:
        DeviceLostError: it is not attached, or offline.
        UnauthorizedDeviceError: it does not trust this machine.
        InputError: several phones fit.
    """
    there = attached() if reach.via != "direct" else ()
    if goes_direct(reach, there):
        return open_connection(None, reach.tcp, "direct")
    return open_connection(resolve(spec, reach, there).serial, None)


class PhoneDevice:
    """One phone, for one run at a time."""

    def __init__(
        self, spec: DeviceSpec, link: Link | None = None, root: str = ROOT, environment: dict[str, str] | None = None
    ) -> None:
        self.spec = spec
        self.link = link or Link(lambda: connect(spec, load_reach(spec.name)))
        self.root, self.environment = root, environment or {}
        self.owner = f"bench-{os.getpid()}"
        self._facts: DeviceFacts | None = None
        self._wrapper: Wrapper | None = None
        self._skin_start_c: float | None = None
        self._placed: dict[tuple[str, int, int], str] = {}

    @property
    def phone(self) -> PhoneSpec:
        assert isinstance(self.spec.phone, PhoneSpec)
        return self.spec.phone

    def facts(self) -> DeviceFacts:
        """What the phone says of itself.

        Raises:
            WrongDeviceError: it is not the one that the name stands for.
            DeviceError: it is out of reach.
        """
        if self._facts is None:
            facts = self.link.once(lambda c: read_phone_facts(c, self.spec.name, self.phone))
            check_identity(self.spec, facts)
            self._facts = facts
        return self._facts

    def conditions(self) -> Conditions:
        return conditions_from(self.link.ask(lambda c: ask(c, CONDITIONS)))

    def hold(self, run: str) -> None:
        self.owner = run

    def run(self, job: Job, work: Path, on_progress: OnProgress | None = None) -> Outcome:
        """See `Device`. A job that this phone has begun already is gone on with, or fetched if it has ended."""
        wrapper = self._session()
        folder = f"{self.root}/jobs/{job.id}"
        wish = self._wish(job, folder)
        try:
            for attempt in range(MOST_STARTS):
                self._begin(wrapper, job, wish, folder)
                state = self._follow(wrapper, job, folder, on_progress)
                if state.phase != "gone" or attempt == MOST_STARTS - 1:
                    break
                self._session(anew=True)  # a phone that was started anew has its settings to be put back
                self._clear(wrapper, folder)
        except KeyboardInterrupt:
            self.link.stopped.clear()
            jobs.stop(self.link.connection(), wrapper, folder)
            raise
        if state.rc is not None and state.rc.cause == "stopped":
            self._clear(wrapper, folder)
            raise DeviceError(f"{self.spec.name}: the job was stopped by somebody else")
        return outcome_of(self._remains(state, folder, wish, work), self._phone_facts())

    def forget(self, begins: str) -> None:
        """See `Device`; jobs that still run are left alone."""
        script = (
            f"for job in {quote(self.root)}/jobs/{quote(begins)}*; do "
            '[ -d "$job" ] && { [ ! -d "$job/run" ] || [ -e "$job/run/done" ]; } && rm -rf "$job"; done; true'
        )
        self.link.ask(lambda c: c.shell(script))

    def interrupt(self) -> None:
        self.link.stopped.set()

    def release(self) -> None:
        """The run needs the phone no more."""
        wrapper = self._wrapper
        if wrapper is not None:
            self.link.once(lambda c: lock.free(c, wrapper, self.owner))

    def state(self) -> PhoneState:
        """How the phone is right now."""
        return self.link.ask(lambda c: read_phone_state(c, self.phone))

    def probe(self, argv: tuple[str, ...]) -> Probed:
        """A plain command with everything that is done around a timed job but for the wait for a cool phone."""
        wrapper = self._session()
        big, little = self._cores()
        wish = JobWish(
            folder=f"{self.root}/jobs/probe",
            owner=self.owner,
            argv=argv,
            limit_s=PROBE_LIMIT_S,
            cores=big,
            little_cores=little,
            keep_s=KEPT_S,
            settings=SettingsWish(),
            zones=self._zones(),
            sampler=SamplerWish(period_s=0.5),
        )
        return run_probe(self.link, wrapper, wish)

    def _phone_facts(self) -> PhoneFacts:
        phone = self.facts().phone
        return phone if isinstance(phone, PhoneFacts) else PhoneFacts()

    def _session(self, *, anew: bool = False) -> Wrapper:
        """Before the first job: this is the phone, it is free, its settings are its own, and its state is fit."""
        if self._wrapper is not None and not anew:
            return self._wrapper
        self._facts = None
        self.facts()
        wrapper = self.link.ask(lambda c: install(c, self.root, self.environment))
        self.link.ask(lambda c: jobs.recover(c, wrapper, self.owner))
        self.link.ask(lambda c: lock.take(c, wrapper, self.owner, KEPT_S))
        state = self.link.ask(lambda c: read_phone_state(c, self.phone))
        if refused := preflight(self.spec, state).refused:
            why = "; ".join(f"{one.seen} ({one.advice})" for one in refused)
            raise DeviceError(f"{self.spec.name} is not fit to be measured: {why}")
        if not anew:
            self._skin_start_c = state.skin_c if state.skin_c is not None else self._skin(wrapper)
        self._wrapper = wrapper
        return wrapper

    def _skin(self, wrapper: Wrapper) -> float | None:
        probe = JobWish(folder=f"{self.root}/probe", owner=self.owner, argv=(), limit_s=1, zones=self._zones())
        self.link.ask(lambda c: jobs.prepare(c, probe))
        milli = self.link.ask(lambda c: read_heat(c, wrapper, probe.folder)).skin_milli
        return None if milli is None else milli / 1000

    def _zones(self) -> Zones:
        return zones_of(self.phone.cool_down)

    def _wish(self, job: Job, folder: str) -> JobWish:
        big, little = self._cores()
        argv = [part.format(job=f"{folder}/job.json", events=f"{folder}/{EVENTS}") for part in job.argv[1:]]
        return JobWish(
            folder=folder,
            owner=self.owner,
            argv=(self._remote_program(job), *argv),
            env=job.env,
            limit_s=job.timeout_s,
            cores=big,
            little_cores=little,
            keep_s=KEPT_S,
            settings=SettingsWish() if job.timed else None,
            zones=self._zones(),
            gate=wish_of(self.phone.cool_down, self._skin_start_c) if job.timed else None,
            sampler=SamplerWish() if job.timed else None,
        )

    def _cores(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """CPUs of the program, and those for what looks after it."""
        clusters, affinity = self._phone_facts().clusters, self.phone.affinity
        every = tuple(sorted(cpu for c in clusters for cpu in c.cpus))
        little = tuple(sorted(cpu for c in clusters if c.role == "little" for cpu in c.cpus))
        if isinstance(affinity, tuple):
            return affinity, little
        big = tuple(cpu for cpu in every if cpu not in little) or every
        return (every if affinity == "all" else big), little

    def _remote_program(self, job: Job) -> str:
        return f"{self.root}/runners/{self._sha256(Path(job.argv[0]))[:16]}/{Path(job.argv[0]).name}"

    def _begin(self, wrapper: Wrapper, job: Job, wish: JobWish, folder: str) -> None:
        """Bring everything and start, unless it has begun."""
        state = self.link.ask(lambda c: jobs.poll(c, wrapper, folder))
        if state.phase == "gone":
            self._clear(wrapper, folder)
        elif state.phase != "absent":
            return
        program = Path(job.argv[0])
        self._bring(program, wish.argv[0])
        spec = {**job.spec, **{key: self._bring_input(Path(job.spec[key])) for key in job.reads}}
        for key in job.appends:
            spec[key] = f"{folder}/{Path(job.spec[key]).name}"
            self._bring_answers(Path(job.spec[key]), spec[key])
        body = msgspec.json.encode(spec)
        self.link.ask(lambda c: write(c, body, f"{folder}/job.json"))
        self.link.ask(lambda c: jobs.start(c, wrapper, wish))

    def _follow(self, wrapper: Wrapper, job: Job, folder: str, on_progress: OnProgress | None) -> JobState:
        """Until it has ended; what it appends is fetched meanwhile."""
        total = _lines(Path(job.spec["requests"])) if job.appends and "requests" in job.spec else 0
        while True:
            state = self.link.ask(lambda c: jobs.poll(c, wrapper, folder))
            for key in job.appends:
                local = Path(job.spec[key])
                local.parent.mkdir(parents=True, exist_ok=True)
                self.link.ask(lambda c, local=local: jobs.fetch_new(c, f"{folder}/{local.name}", local))  # type: ignore[misc]
                if on_progress is not None and total:
                    on_progress(_lines(local), total)
            if state.phase in ("ended", "gone"):
                return state
            self.link.rest(POLL_S)

    def _remains(self, state: JobState, folder: str, wish: JobWish, work: Path) -> Remains:
        found: dict[str, bytes] = {}
        for name in (EVENTS, STDERR, SAMPLES, GATE):
            local = work / name
            self.link.ask(lambda c, n=name, to=local: jobs.fetch_new(c, f"{folder}/{n}", to))  # type: ignore[misc]
            found[name] = local.read_bytes() if local.exists() else b""
        phone = self._phone_facts()
        return Remains(
            state=state,
            events=found[EVENTS],
            stderr=found[STDERR][-4000:],
            samples=found[SAMPLES],
            gate=found[GATE],
            cores=wish.cores,
            skin_zones=phone.skin_zones,
            killed_for_memory=self._killed_for_memory(state),
        )

    def _killed_for_memory(self, state: JobState) -> bool:
        """What Android's low-memory killer wrote to the log; False where the log does not say."""
        if state.rc is None or state.rc.signal != 9 or state.rc.cause != "ended":
            return False
        log = self.link.ask(
            lambda c: c.shell("logcat -d -b all -t 2000 2>/dev/null | grep -i -E 'lowmemorykiller|lmkd'")
        )
        return b"bench-llama" in log.stdout

    def _clear(self, wrapper: Wrapper, folder: str) -> None:
        self.link.ask(lambda c: jobs.clear(c, wrapper, folder))
        self.link.ask(lambda c: c.shell(f"rm -f {quote(f'{folder}/{EVENTS}')} {quote(f'{folder}/{STDERR}')}"))

    def _bring_input(self, source: Path) -> str:
        return self._bring(source, f"{self.root}/files/{self._sha256(source)}")

    def _bring(self, source: Path, target: str) -> str:
        self.link.ask(lambda c: place(c, source, target, self._sha256(source)))
        return target

    def _bring_answers(self, local: Path, remote: str) -> None:
        """What was answered before, if the phone has none of it; another phone, or a folder that was removed."""
        if not local.exists() or local.stat().st_size == 0:
            return
        there = self.link.ask(lambda c: c.stat(remote))
        if there is None:
            self.link.ask(lambda c: write(c, local.read_bytes(), remote))

    def _sha256(self, path: Path) -> str:
        seen = path.stat()
        key = (str(path), seen.st_size, seen.st_mtime_ns)
        if key not in self._placed:
            self._placed[key] = sha256_file(path)
        return self._placed[key]


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
