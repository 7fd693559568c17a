"""What a job of this machine becomes on a phone: where its files lie there, its job file, what is done around it."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.measure.devices.phone.gate import wish_of, zones_of
from harness.measure.devices.phone.job import JobWish, SamplerWish
from harness.measure.devices.phone.settings import AWAKE, SettingsWish
from harness.measure.jobs import Job
from harness.values import PhoneFacts, PhoneSpec, digest

EVENTS = "events.jsonl"
KEPT_S = 1800
"""Between two jobs the lock stays with the run for so long."""

Sha256 = Callable[[Path], str]


class RemoteJob(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of this machine beside those of the phone."""

    folder: str
    argv: tuple[str, ...]
    files: tuple[tuple[Path, str], ...]
    """To be there before it starts; the program first."""
    appends: tuple[tuple[Path, str], ...]
    """Files that gain lines there, and are wanted here."""
    body: bytes
    """Of its job file."""

    @property
    def job_file(self) -> str:
        return f"{self.folder}/job.json"

    @property
    def events(self) -> str:
        return f"{self.folder}/{EVENTS}"


def remote_job(job: Job, root: str, sha256: Sha256) -> RemoteJob:
    """The folder's name tells what the program is given, too: what an earlier attempt of the same trial left there by
    another program, of another file or other requests, is not taken for this job's."""
    program = Path(job.argv[0])
    argv = (f"{root}/runners/{sha256(program)[:16]}/{program.name}", *job.argv[1:])
    read = {key: Path(job.spec[key]) for key in job.reads}
    files = {key: file_target(root, sha256(path)) for key, path in read.items()}
    plain = {**job.spec, **files, **dict.fromkeys(job.appends)}
    folder = f"{root}/jobs/{job.id or 'once'}-{digest([argv, job.env, plain])[:12]}"
    appends = {key: f"{folder}/{key}.jsonl" for key in job.appends}
    words = {"job": f"{folder}/job.json", "events": f"{folder}/{EVENTS}"}
    return RemoteJob(
        folder=folder,
        argv=tuple(words.get(part[1:-1], part) if part in ("{job}", "{events}") else part for part in argv),
        files=((program, argv[0]), *((read[key], files[key]) for key in job.reads)),
        appends=tuple((Path(job.spec[key]), appends[key]) for key in job.appends),
        body=msgspec.json.encode({**plain, **appends}),
    )


def file_target(root: str, sha256: str) -> str:
    """Where on the phone a file lies that a program reads."""
    return f"{root}/files/{sha256}"


def wish_for(
    job: Job, there: RemoteJob, owner: str, spec: PhoneSpec, facts: PhoneFacts, skin_start_c: float | None
) -> JobWish:
    """What the wrapper does around the job: it stays awake; for a timed one, a cool phone and a sampler too."""
    big, little = cores_of(facts, spec)
    return JobWish(
        folder=there.folder,
        owner=owner,
        argv=there.argv,
        env=job.env,
        limit_s=job.timeout_s,
        cores=big,
        little_cores=little,
        keep_s=KEPT_S,
        settings=SettingsWish(fixed_performance=spec.fixed_performance)
        if job.timed
        else SettingsWish(change=AWAKE, record=()),
        zones=zones_of(spec.cool_down),
        gate=wish_of(spec.cool_down, skin_start_c) if job.timed else None,
        sampler=SamplerWish() if job.timed else None,
    )


def cores_of(facts: PhoneFacts, spec: PhoneSpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """CPUs of the program, and those for what looks after it."""
    every = tuple(sorted(cpu for c in facts.clusters for cpu in c.cpus))
    little = tuple(sorted(cpu for c in facts.clusters if c.role == "little" for cpu in c.cpus))
    if isinstance(spec.affinity, tuple):
        return spec.affinity, little
    big = tuple(cpu for cpu in every if cpu not in little) or every
    return (every if spec.affinity == "all" else big), little
