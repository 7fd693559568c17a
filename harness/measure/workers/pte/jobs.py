"""Job files as values; see docs/runner-protocol.md."""

from pathlib import Path
from typing import Literal

import msgspec

from harness.measure.workers.hf.errors import JobRefusedError
from harness.measure.workers.hf.jobs import FilePath, Positive, Strict, Tokens, Whole


class Engine(Strict, frozen=True, kw_only=True):
    """What a `.pte` file is opened with."""

    model: FilePath
    threads: Positive
    context: Positive
    """Most tokens that go through the model; the file must be exported for as many."""
    load_mode: Literal["none", "mmap"]
    """`none`: the file is read into memory, as bytes; `mmap`: ExecuTorch maps it."""
    program_sha256: str


class SpeedJob(Engine, frozen=True, kw_only=True, tag_field="kind", tag="speed"):
    prompt: Tokens
    prefix: list[Whole]
    """Tokens that are in the KV cache when the clock starts."""
    generated: Positive
    repetitions: Positive
    warmups: Whole
    idle_ms: Whole


class MemoryJob(Engine, frozen=True, kw_only=True, tag_field="kind", tag="memory"):
    prompt: Tokens
    generated: Positive


class ScoreJob(Engine, frozen=True, kw_only=True, tag_field="kind", tag="score"):
    requests: FilePath
    answers: FilePath
    reference: FilePath | None = None


class ReferenceJob(Engine, frozen=True, kw_only=True, tag_field="kind", tag="reference"):
    requests: FilePath
    output: FilePath


class GenerateJob(Engine, frozen=True, kw_only=True, tag_field="kind", tag="generate"):
    requests: FilePath
    answers: FilePath


class TokenizeJob(Strict, frozen=True, kw_only=True, tag_field="kind", tag="tokenize"):
    model: FilePath
    """A folder with a tokenizer."""
    requests: FilePath
    answers: FilePath
    program_sha256: str


Job = SpeedJob | MemoryJob | ScoreJob | ReferenceJob | GenerateJob | TokenizeJob


def read_job(path: Path) -> Job:
    """Raises JobRefusedError: the file is missing or no job, or asks for more tokens than its context."""
    try:
        job = msgspec.json.decode(path.read_bytes(), type=Job)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JobRefusedError(f"job: {error}") from error
    if isinstance(job, SpeedJob | MemoryJob):
        prefix = len(job.prefix) if isinstance(job, SpeedJob) else 0
        need = prefix + len(job.prompt) + job.generated - 1  # the last generated token is never read
        if need > job.context:
            raise JobRefusedError(f"job: {need} tokens do not fit a context of {job.context}")
    return job
