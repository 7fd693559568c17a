"""A build of a runner answers 200 questions, once with a file and settings, before its numbers are believed.

The same file gives other numbers on another kernel path, and wrong ones where a kernel is wrong for a CPU. The
reference are the answers of this machine's own runner on its plainest path: no repacked weights, no flash attention,
a KV cache of 32-bit floats.
"""

import tempfile
from hashlib import sha256
from pathlib import Path

import msgspec

from harness.build.cache import cache_folder, only_one, used
from harness.build.runners import Runner
from harness.errors import BuildError
from harness.measure.events import parse_events
from harness.measure.grade import check_answers
from harness.measure.inputs import Preparation
from harness.measure.jobs import Device, Inputs, Parsed, check_seen
from harness.measure.judging import judge
from harness.measure.kernel_agreement import choices_of, compare, limits_for, why_not
from harness.measure.requests import Requests, plain_requests
from harness.measure.runtimes import llama_cpp
from harness.measure.tasks import resolve_task
from harness.progress import Progress
from harness.request_lines import read_requests
from harness.store import write_durably
from harness.values import Artifact, Cell, Runtime, Task, Variant, digest
from harness.values.checked import KernelCheck

QUESTIONS = "knowledge_200"
CONTEXT = 2048
LONGEST_S = 3600.0
REVISION = 1
"""Raised when the way to compare changes, so that kept checks are made again."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What is checked: a program where it runs, with the settings it will be measured with, and a model's file."""

    program: Runner
    device: Device
    runtime: Runtime
    variant: Variant
    artifact: Artifact


def check_kernels(candidate: Candidate, preparation: Preparation, limit: int | None = None) -> KernelCheck:
    """The check of this program, runtime settings and file, made now unless it is kept from before.

    `preparation` is that of this machine: it makes the questions and the reference. A program that gives no answers
    does not pass, and that is not kept: the next call tries again. `limit` is for slow emulators: so many of the
    questions, drawn by the suite's seed; None: all.

    Raises:
        BuildError: the reference or the questions cannot be made.
        DeviceError: the device is out of reach, or was lost meanwhile, which says nothing of the program.
    """
    requests = questions(candidate, preparation, limit)
    reference = _reference(candidate, preparation, requests)
    path = _kept_at(candidate, reference)
    with only_one(f"kernel-check-{path.stem[:16]}"):
        if (kept := _kept(path)) is not None:
            return kept
        made = _compared(candidate, requests, reference, preparation.progress)
        if made.agreed is not None:
            write_durably(path, msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    return made


def questions(candidate: Candidate, preparation: Preparation, limit: int | None = None) -> Requests:
    """The project's own 200 questions, or so many of them, in the tokens of the candidate's model.

    Raises:
        BuildError: the file's tokenizer cannot be asked.
    """
    cell, files = _cell(candidate, limit), resolve_task(QUESTIONS, None)
    return preparation.requests(cell, candidate.variant, candidate.artifact, files)


def _cell(candidate: Candidate, limit: int | None = None) -> Cell:
    context = min(CONTEXT, candidate.variant.model.context)
    load = Task(task=QUESTIONS, context=context, limit=limit)
    name, device = candidate.variant.name, candidate.device.spec.name
    key = digest(["kernel check", name, candidate.runtime, device, load])[:16]
    return Cell(key=key, variant=name, runtime=candidate.runtime, device=device, workload=load)


def plainest(runtime: Runtime) -> Runtime:
    """The settings of the reference: the path with the fewest kernels of its own."""
    return msgspec.structs.replace(
        runtime,
        threads="auto",
        threads_batch="auto",
        repack=False,
        flash_attn="off",
        kv_type="f32",
        load_mode="none",
    )


def _reference(candidate: Candidate, preparation: Preparation, requests: Requests) -> Path:
    """The reference's answers, kept by file, runner, settings and questions."""
    settings = plainest(candidate.runtime)
    key = digest([REVISION, candidate.artifact.sha256, preparation.runner.sha256, requests.hash, settings])[:32]
    target = cache_folder("kernel-checks") / f"reference-{key}.jsonl"
    with only_one(f"kernel-reference-{key[:16]}"):
        if not target.is_file():
            own = msgspec.structs.replace(
                candidate, program=preparation.runner, device=preparation.local, runtime=settings
            )
            answers, why = ask(own, requests, preparation.progress, f"reference answers of {candidate.variant.name}")
            if why is not None:
                raise BuildError(f"the reference answers of {candidate.variant.name} cannot be made: {why}")
            write_durably(target, answers)
        used(target)
    return target


def ask(candidate: Candidate, requests: Requests, progress: Progress, what: str) -> tuple[bytes, str | None]:
    """(The answers as the program wrote them, why they are not exactly one a request).

    Raises:
        DeviceError: the device is out of reach, or was lost meanwhile.
    """
    cell = _cell(candidate)
    with tempfile.TemporaryDirectory(prefix="bench-kernel-check-") as name, progress.bar(what) as bar:
        asked, answers, work = Path(name) / "requests.jsonl", Path(name) / "answers.jsonl", Path(name) / "work"
        work.mkdir()
        plain_requests(requests.path, asked)
        inputs = Inputs(
            program=candidate.program.path,
            model=candidate.artifact.path,
            adaptor=candidate.artifact.adaptor,
            requests=str(asked),
            answers=str(answers),
            timeout_s=LONGEST_S,
        )
        device = candidate.device
        outcome = device.run(llama_cpp.job(cell, inputs, device.facts()), work, bar.update)
        check_seen(outcome, device.spec.name)
        try:
            parsed, broken = parse_events(outcome.events), None
        except ValueError as error:
            parsed, broken = Parsed(observations=(), warmups=(), error=None, done=False), str(error)
        status, reason = judge(cell, candidate.artifact, outcome, parsed, broken)
        why = reason if status != "ok" else check_answers(requests.path, answers)
        given = answers.read_bytes() if why is None else b""
    try:
        logprobs(given)
    except msgspec.MsgspecError as error:
        return b"", f"the program wrote what is no answer: {error}"
    return given, why


def _compared(candidate: Candidate, requests: Requests, reference: Path, progress: Progress) -> KernelCheck:
    variant, device = candidate.variant.name, candidate.device.spec.name
    choices = choices_of(read_requests(requests.path))
    limits = limits_for(candidate.artifact)
    check = KernelCheck(
        runner_sha256=candidate.program.sha256,
        reference_sha256=sha256(reference.read_bytes()).hexdigest(),
        artifact_sha256=candidate.artifact.sha256,
        variant=variant,
        device=device,
        questions=len(choices),
        passed=False,
        limits=limits,
    )
    answers, why = ask(candidate, requests, progress, f"{len(choices)} questions to {variant} on {device}")
    if why is not None:
        return msgspec.structs.replace(check, reason=f"no answers: {why}")
    found = compare(choices, logprobs(reference.read_bytes()), logprobs(answers))
    why = why_not(found, limits)
    return msgspec.structs.replace(
        check,
        passed=why is None,
        reason=why,
        agreed=found.agreed,
        largest_nats=found.largest_nats,
        mean_nats=found.mean_nats,
    )


def logprobs(answers: bytes) -> dict[int, float]:
    """Request → log-probability in nats, of answers as a program writes them.

    Raises:
        msgspec.MsgspecError: a line is no answer.
    """
    lines = [msgspec.json.decode(line, type=_Answer) for line in answers.splitlines()]
    return {line.id: line.logprob for line in lines}


class _Answer(msgspec.Struct):
    id: int
    logprob: float


def _kept_at(candidate: Candidate, reference: Path) -> Path:
    """Threads are left out: how many share the work changes no sum."""
    settings = msgspec.structs.replace(candidate.runtime, threads="auto", threads_batch="auto")
    facts = candidate.device.facts()  # a kernel may be wrong for one CPU and right for another
    about = [REVISION, candidate.program.sha256, candidate.artifact.sha256, settings, limits_for(candidate.artifact)]
    about += [facts.cpu, facts.cpu_flags]
    key = digest([*about, sha256(reference.read_bytes()).hexdigest()])[:32]
    return cache_folder("kernel-checks") / f"{key}.json"


def _kept(path: Path) -> KernelCheck | None:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=KernelCheck)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:  # torn or of another version: made again
        return None
    used(path)
    return kept
