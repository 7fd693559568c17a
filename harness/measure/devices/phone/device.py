"""A phone as a device: files are brought to it once, jobs run on it by themselves, what they come to is fetched."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote

import msgspec

from harness.build.cache import sha256_file
from harness.device_files import load_reach
from harness.errors import DeviceError, DeviceLostError, NoSpaceError, WrongDeviceError
from harness.measure.devices.phone import job as jobs
from harness.measure.devices.phone import lock
from harness.measure.devices.phone.answers import agree, count_lines
from harness.measure.devices.phone.asking import ask
from harness.measure.devices.phone.conditions import CONDITIONS, conditions_from
from harness.measure.devices.phone.facts import read_phone_facts
from harness.measure.devices.phone.gate import zones_of
from harness.measure.devices.phone.job import JobState, JobWish, SamplerWish
from harness.measure.devices.phone.link import Link, pace
from harness.measure.devices.phone.outcome import died, outcome_of
from harness.measure.devices.phone.place import free_bytes, place
from harness.measure.devices.phone.preflight import check_identity
from harness.measure.devices.phone.probe import Probed, run_probe
from harness.measure.devices.phone.reach import connect
from harness.measure.devices.phone.remains import fetch_remains
from harness.measure.devices.phone.remote import KEPT_S, RemoteJob, cores_of, remote_job, wish_for
from harness.measure.devices.phone.session import (
    NotRestoredError,
    Session,
    check_started,
    has_begun,
    open_session,
    read_fitness,
)
from harness.measure.devices.phone.settings import SettingsWish
from harness.measure.devices.phone.state import read_phone_state
from harness.measure.devices.phone.wrapper import ROOT, command, install, write
from harness.measure.jobs import Conditions, FileNeeded, Job, OnProgress, Outcome
from harness.progress import Progress, Silent
from harness.values import DeviceFacts, DeviceSpec, Observation, PhoneFacts, PhoneSpec, PhoneState, Preflight

FULL_BYTES = 1 << 20
PROBE_LIMIT_S = 60.0
SHOWN_BYTES = 8 << 20
"""What is brought in a second or so needs no bar."""
MOST_FRUITLESS = 2
"""Starts of one job that ended with the phone's, before anything new was fetched of it."""


class PhoneDevice:
    """One phone, for one run at a time."""

    def __init__(
        self,
        spec: DeviceSpec,
        link: Link | None = None,
        root: str = ROOT,
        environment: dict[str, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.spec, self.progress = spec, progress or Silent()
        self.link = link or Link(lambda: connect(spec, load_reach(spec.name)))
        self.root, self.environment = root, environment or {}
        self.owner = f"bench-{os.getpid()}"
        self._files: tuple[FileNeeded, ...] = ()
        """What jobs of this run will read, as far as was said."""
        self._facts: DeviceFacts | None = None
        self._session: Session | None = None
        self._skin_start_c: float | None = None
        self._begun: str | None = None
        """Folder of the job that was last begun and has not been seen to end."""
        self._noticed: list[Preflight] = []
        self._done: list[str] = []
        """What the ids of jobs begin with that may be removed."""
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._verified: set[str] = set()
        """Files on the phone whose hash was compared since the session began."""
        self._unverified: dict[str, str] = {}
        """Of those, which the phone cannot hash → what is to be said of them."""

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

    def noticed(self) -> tuple[Observation, ...]:
        seen, self._noticed = self._noticed, []
        return tuple(seen)

    def hold(self, run: str, files: Sequence[FileNeeded] = ()) -> None:
        self.owner, self._files = run, tuple(files)

    def run(self, job: Job, work: Path, on_progress: OnProgress | None = None) -> Outcome:
        """See `Device`. A job that this phone has begun already is gone on with, or fetched if it has ended."""
        there = remote_job(job, self.root, self._sha256)
        try:
            state = self._open_or_ended(there) or self._to_its_end(job, there, on_progress)
            remains = fetch_remains(self.link, there, state, self._phone_facts(), self.phone, work)
            if state.settings_changed and self._session is not None:
                self._put_back()
        except KeyboardInterrupt:
            self._stop(there.folder)
            raise
        if not job.id:  # nobody can ask for it again
            self._remove(f"rm -rf {quote(there.folder)}")
        outcome = outcome_of(remains, self._phone_facts())
        unsure = (why for _, target in there.files if (why := self._unverified.get(target)) is not None)
        return msgspec.structs.replace(outcome, doubts=(*outcome.doubts, *unsure))

    def begun(self, begins: str) -> bool:
        """See `Device`. Nothing is taken or changed for it."""
        return self.link.ask(lambda c: has_begun(c, self.root, self.environment, begins))

    def forget(self, begins: str) -> None:
        """See `Device`. Jobs that still run are left for later; what a lost phone keeps is removed when it is there."""
        self._done.append(begins)
        # Of one that ended with the phone, or whose supervisors did, nobody wrote `done`; one that runs is not cleared.
        clear = command(self._session.wrapper, "clear") if self._session is not None else "false"
        left = self._remove(
            "\n".join(
                f"for job in {quote(f'{self.root}/jobs/{one}')}*; do\n"
                '[ -d "$job" ] || continue\n'
                f'if [ ! -d "$job/run" ] || [ -e "$job/run/done" ] || {clear} "$job" >/dev/null 2>&1; '
                f'then rm -rf "$job"; else echo {number}; fi; done'
                for number, one in enumerate(self._done)
            )
        )
        if left is not None:
            self._done = [one for number, one in enumerate(self._done) if b"%d" % number in left.split()]

    def interrupt(self) -> None:
        self.link.stopped.set()

    def release(self) -> None:
        """See `Device`. A job that goes on there keeps the lock until it ends; on a lost phone the lock expires."""
        session, self._session = self._session, None
        if session is not None and self._begun is None:
            with suppress(DeviceError):
                self.link.once(lambda c: lock.free(c, session.wrapper, self.owner))
        self.link.drop()

    def state(self) -> PhoneState:
        """How the phone is right now."""
        return self.link.ask(lambda c: read_phone_state(c, self.phone))

    def probe(self, argv: tuple[str, ...]) -> Probed:
        """A plain command with everything that is done around a timed job but for the wait for a cool phone."""
        big, little = cores_of(self._phone_facts(), self.phone)
        wish = JobWish(
            folder=f"{self.root}/jobs/probe",
            owner=self.owner,
            argv=argv,
            limit_s=PROBE_LIMIT_S,
            cores=big,
            little_cores=little,
            keep_s=KEPT_S,
            settings=SettingsWish(),
            zones=zones_of(self.phone.cool_down),
            sampler=SamplerWish(period_s=0.5),
        )
        wrapper = self._open().wrapper
        try:
            return run_probe(self.link, wrapper, wish)
        except (DeviceError, KeyboardInterrupt):  # else it would keep the lock after this run has ended
            self._stop(wish.folder)
            raise

    def _open(self, *, anew: bool = False) -> Session:
        """This is the phone, it is this run's, and its settings are its own."""
        if anew:
            self._session = None
        if self._session is None:
            self.link.insist(check_started)
            facts = self.link.ask(lambda c: read_phone_facts(c, self.spec.name, self.phone))
            check_identity(self.spec, facts)
            self._check_same(facts)
            self._facts = facts
            self._verified.clear()
            self._session = open_session(self.link, self.root, self.environment, self.owner)
        return self._session

    def _open_or_ended(self, there: RemoteJob) -> JobState | None:
        """None: the phone is this run's. Else it does not take back its settings, and the job has ended there."""
        try:
            self._open()
        except NotRestoredError as error:
            wrapper = self.link.ask(lambda c: install(c, self.root, self.environment))
            state = self.link.ask(lambda c: jobs.poll(c, wrapper, there.folder))
            if state.phase != "ended" or died(state) or _was_stopped(state):
                raise
            self._fetch(there)
            self.progress.say(str(error))
            return state
        return None

    def _put_back(self) -> None:
        """The phone was started anew after the program's end, before its settings were put back, or refuses them.

        Where it goes on refusing, what the job came to is no less true: the next job is not begun.
        """
        try:
            self._open(anew=True)
        except NotRestoredError as error:
            self.progress.say(str(error))

    def _check_same(self, facts: DeviceFacts) -> None:
        """Raises WrongDeviceError: where a name means any phone of a model, another one may have taken its place."""
        known = self._facts.host_hash if self._facts else ""
        if known and facts.host_hash and known != facts.host_hash:
            raise WrongDeviceError(
                f"{self.spec.name} is another phone than before, of the same model: connect the first one again"
            )

    def _to_its_end(self, job: Job, there: RemoteJob, on_progress: OnProgress | None) -> JobState:
        """Started as often as the phone is, as long as each time something comes of it."""
        fruitless = 0
        while True:
            before = _sizes(there)
            self._begin(job, there)
            state = self._follow(job, there, on_progress)
            fruitless = fruitless + 1 if _sizes(there) == before else 0
            self._begun = None
            if _failed(state):
                self._check_room(there)
            if not died(state) or fruitless >= MOST_FRUITLESS:
                break
            self._open(anew=True)
            self._clear(there)
        if _was_stopped(state):
            self._clear(there)
            raise DeviceError(f"{self.spec.name}: the job was stopped by somebody else")
        return state

    def _check_room(self, there: RemoteJob) -> None:
        """Raises NoSpaceError: a job that failed where nothing can be written is no result; it can be done again."""
        free = self.link.ask(lambda c: free_bytes(c, self.root))
        if free is not None and free < FULL_BYTES:
            self._clear(there)
            raise NoSpaceError(f"{self.spec.name}: its storage is full, which ended the job (free some storage on it)")

    def _begin(self, job: Job, there: RemoteJob) -> None:
        """Bring everything and start, unless it has begun."""
        session = self._open()
        state = self._look(there)
        if state.boot_id != session.boot_id:
            session = self._open(anew=True)
        if session.running not in (None, there.folder):
            running = session.running
            self.link.ask(lambda c: jobs.stop(c, session.wrapper, str(running)))
        self._session = session.idle() if session.running != there.folder else session
        if died(state) or _was_stopped(state):
            self._clear(there)
        elif state.phase != "absent":
            self._begun = there.folder
            return
        self._make_fit(there)
        self._bring(there)
        if self._look(there).boot_id != session.boot_id:  # it was started anew while bytes travelled
            session = self._open(anew=True)
            self._make_fit(there)
        wish = wish_for(job, there, self.owner, self.phone, self._phone_facts(), self._skin_start_c)
        self._begun = there.folder  # also where the answer to its start is lost
        try:
            self.link.ask(lambda c: jobs.start(c, session.wrapper, wish))
        except DeviceLostError:
            raise
        except DeviceError:
            self._begun = None
            raise

    def _make_fit(self, there: RemoteJob) -> None:
        """Before the first job of a session, and of each boot."""
        session = self._open()
        if session.fit:
            return
        found, skin_c = read_fitness(self.link, session, self.spec, there, self.owner, self._files)
        self._noticed.append(found)
        if self._skin_start_c is None:
            self._skin_start_c = skin_c
        self._session = session.found_fit()

    def _bring(self, there: RemoteJob) -> None:
        for source, target in there.files:
            if target in self._verified and self._is_whole(source, target):
                continue  # hashing gigabytes there before each job would warm the phone that is to be cool
            self._push(source, target)
            self._verified.add(target)
        for local, remote in there.appends:
            self.link.ask(lambda c, s=local, t=remote: agree(c, t, s))  # type: ignore[misc]
        self.link.ask(lambda c: write(c, there.body, there.job_file))

    def _push(self, source: Path, target: str) -> None:
        size = source.stat().st_size
        shown = self.progress if size >= SHOWN_BYTES else Silent()
        with shown.bar(f"{source.name} to {self.spec.name}", size, "B") as bar:

            def sent(done: int) -> None:
                bar.update(done, size)
                self.link.rest(0)  # a run that is ended while bytes travel is seen at once

            placed = self.link.ask(lambda c: place(c, source, target, self._sha256(source), sent))
        if placed.unverified is not None:
            self._unverified[target] = f"{source.name} was not verified on the phone: {placed.unverified}"

    def _is_whole(self, source: Path, target: str) -> bool:
        there = self.link.ask(lambda c: c.stat(target))
        return there is not None and there.size_bytes == source.stat().st_size

    def _follow(self, job: Job, there: RemoteJob, on_progress: OnProgress | None) -> JobState:
        """Until it has ended; what it appends is fetched meanwhile."""
        asked = Path(job.spec["requests"]) if "requests" in job.reads else None
        total = count_lines(asked) if asked is not None else 0
        for pause_s in pace():
            state = self._look(there)
            if died(state):
                return state
            if not self._fetch(there):
                continue  # the phone was started anew between the two questions
            if on_progress is not None and total and there.appends:
                on_progress(count_lines(there.appends[0][0]), total)
            if state.phase == "ended":
                return state
            self.link.rest(pause_s)
        raise AssertionError("a pace has no end")

    def _fetch(self, there: RemoteJob) -> bool:
        """False where a phone that lost power has lost some of what was fetched before."""
        for local, remote in there.appends:
            local.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.link.ask(lambda c, s=remote, t=local: jobs.fetch_new(c, s, t))  # type: ignore[misc]
            except DeviceLostError:
                raise
            except DeviceError:
                if not died(self._look(there)):
                    raise
                return False
        return True

    def _look(self, there: RemoteJob) -> JobState:
        wrapper = self._open().wrapper
        return self.link.ask(lambda c: jobs.poll(c, wrapper, there.folder))

    def _clear(self, there: RemoteJob) -> None:
        wrapper = self._open().wrapper
        self.link.ask(lambda c: jobs.clear(c, wrapper, there.folder))
        self.link.ask(lambda c: c.shell(f"rm -f {quote(there.events)} {quote(f'{there.folder}/stderr.txt')}"))

    def _stop(self, folder: str) -> None:
        """End what was begun. Out of reach, it goes on by itself, and is gone on with when the run is resumed."""
        self.link.stopped.clear()
        self.link.drop()
        session = self._session
        if session is None:
            return
        with suppress(DeviceError):
            self.link.once(lambda c: jobs.stop(c, session.wrapper, folder))
            self._begun = None
            self.link.once(lambda c: jobs.clear(c, session.wrapper, folder))

    def _remove(self, script: str) -> bytes | None:
        """What it said; None where the phone is not there: no run ends because something was left behind."""
        try:
            return self.link.once(lambda c: c.shell(script)).stdout
        except DeviceError:
            return None

    def _phone_facts(self) -> PhoneFacts:
        phone = self.facts().phone
        return phone if isinstance(phone, PhoneFacts) else PhoneFacts()

    def _sha256(self, path: Path) -> str:
        seen = path.stat()
        key = (str(path), seen.st_size, seen.st_mtime_ns)
        if key not in self._hashes:
            self._hashes[key] = sha256_file(path)
        return self._hashes[key]


def _failed(state: JobState) -> bool:
    return died(state) or (state.rc is not None and state.rc.cause == "ended" and state.rc.code != 0)


def _was_stopped(state: JobState) -> bool:
    return state.phase == "ended" and state.rc is not None and state.rc.cause == "stopped"


def _sizes(there: RemoteJob) -> tuple[int, ...]:
    return tuple(count_lines(local) for local, _ in there.appends)
