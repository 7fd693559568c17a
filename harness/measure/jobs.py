"""What travels between a runtime and a device: a job to do, and what came of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from harness.errors import DeviceLostError
from harness.values import DeviceFacts, DeviceSpec, Observation, ProcessSeen, Surroundings


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run. `argv` may hold the placeholders `{job}` and `{events}`."""

    argv: tuple[str, ...]
    spec: dict[str, Any]
    """Becomes the job file."""
    timeout_s: float
    env: dict[str, str] = {}
    id: str = ""
    """Of the trial in its run: by it, a device that outlives the host knows what it has begun already."""
    timed: bool = False
    """Whether what it says depends on how warm the device is: one that can wait until it is cool does so."""
    reads: tuple[str, ...] = ()
    """Keys of `spec` that name files of this machine; elsewhere the program gets copies."""
    appends: tuple[str, ...] = ()
    """Keys of `spec` that name a file of this machine which gains lines, also those written elsewhere."""


class FileNeeded(msgspec.Struct, frozen=True, kw_only=True):
    """A file that jobs of a run will read."""

    sha256: str
    size_bytes: int
    memory_bytes: float
    """Available memory below which no job is started with it."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """Files and token ids that a job needs, as paths on the device."""

    program: str
    model: str = ""
    adaptor: str | None = None
    prompt: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    requests: str = ""
    answers: str = ""
    reference: str | None = None
    generates: bool = False
    context: int = 2048
    """Tokens that a task without a context of its own needs; see `room_for`."""
    timeout_s: float = 900.0


def room_for(longest: int, trained: int) -> int:
    """Tokens of context for questions of which the longest has so many.

    Room beside it lets several questions of one long head go through the model together. Never less than 2,048, so
    that most tasks have the same.
    """
    return min(max(2048, -(-longest // 256) * 256 + 512), max(trained, longest))


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one program, sorted by what they mean."""

    observations: tuple[Observation, ...]
    warmups: tuple[Observation, ...]
    discards: tuple[Observation, ...] = ()
    error: str | None
    done: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the device saw of a job."""

    process: ProcessSeen
    events: bytes
    """The events file as it is, complete or torn."""
    stderr_tail: str
    timed_out: bool = False
    out_of_memory: bool = False
    """The kernel's out-of-memory killer struck while the job ran."""
    surroundings: Surroundings | None = None
    """What a device with sensors of its own saw around the job."""
    doubts: tuple[str, ...] = ()
    """What the device knows that makes the job's numbers doubtful, such as that it could not cool down."""
    lost: str | None = None
    """Why the end of the program was not seen: no fault of the program's."""
    worthless: str | None = None
    """Why what was timed counts for nothing and is worth repeating, such as a phone that slowed itself down."""


def check_seen(outcome: Outcome, device: str) -> None:
    """Before anything is said against a program or its files.

    Raises:
        DeviceLostError: nobody saw how the program ended, which is the device's matter alone.
    """
    if outcome.lost is not None:
        raise DeviceLostError(f"{device}: {outcome.lost}")


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """How busy the device is right now."""

    load_average: float | None
    available_bytes: int | None
    power: str | None


OnProgress = Callable[[int, int], None]


class Device(Protocol):
    """Something that runs programs. Nothing above it knows which kind it is."""

    spec: DeviceSpec

    def facts(self) -> DeviceFacts: ...

    def conditions(self) -> Conditions: ...

    def run(self, job: Job, work: Path, on_progress: OnProgress | None = None) -> Outcome:
        """Run to the end, to the time limit or to an interrupt; `work` is an empty folder for its files.

        Raises:
            SetupError: the program cannot be started.
            DeviceError: the device is out of reach, taken, or not the one that was named; nothing is recorded then,
                and the same job can be asked for again.
        """
        ...

    def hold(self, run: str, files: Sequence[FileNeeded] = ()) -> None:
        """Work for the run of this name from now on; what a device does for another run it refuses. Where `files` must
        be brought to it first, it sees before its first job whether there is room for all."""
        ...

    def release(self) -> None:
        """The run has ended."""
        ...

    def begun(self, begins: str) -> bool:
        """Whether it has begun a job whose id begins so, or any job runs there: what memory it has left now does not
        say what fits."""
        ...

    def forget(self, begins: str) -> None:
        """What the jobs came to whose ids begin so is on disk here: the device need not keep it."""
        ...

    def noticed(self) -> tuple[Observation, ...]:
        """What was seen of the device since this was last asked and belongs to no job: its state before the run."""
        ...

    def interrupt(self) -> None:
        """End a job that another thread waits for; its `run` raises KeyboardInterrupt."""
        ...
