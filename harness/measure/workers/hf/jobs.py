"""Job files and the lines of request files, as values; see docs/runner-protocol.md."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from harness.measure.workers.hf.errors import JobRefusedError

Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
FilePath = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[^\x00]*$")]
Tokens = Annotated[list[Whole], msgspec.Meta(min_length=1)]
NO_ROW = -1
"""Of a position that is scored and not compared."""
DType = Literal["float32", "bfloat16", "float16"]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Refuses what it does not know."""


class Engine(Strict, frozen=True, kw_only=True):
    """What a checkpoint is opened with."""

    model: FilePath
    threads: Positive
    context: Positive
    """Most tokens of one request that go through the model; the last of a continuation does not."""
    dtype: DType
    """Of the computation; weights stored in fewer bits are widened to it."""
    device: Literal["cpu", "cuda"]
    program_sha256: str


class ScoreJob(Engine, frozen=True, kw_only=True, tag_field="kind", tag="score"):
    requests: FilePath
    answers: FilePath
    reference: FilePath | None = None
    """With one, requests are `DistanceRequest`s."""


class ReferenceJob(Engine, frozen=True, kw_only=True, tag_field="kind", tag="reference"):
    requests: FilePath
    output: FilePath


class GenerateJob(Engine, frozen=True, kw_only=True, tag_field="kind", tag="generate"):
    requests: FilePath
    answers: FilePath


class CrossCheckJob(Engine, frozen=True, kw_only=True, tag_field="kind", tag="cross_check"):
    requests: FilePath
    answers: FilePath
    batch_sizes: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]
    softmax_dtype: Literal["float32", "float64"] = "float64"
    """In float32, torch's own log-softmax over 49,152 tokens is 9e-6 nats too high a token: 3e-4 over 30 tokens."""


class TokenizeJob(Strict, frozen=True, kw_only=True, tag_field="kind", tag="tokenize"):
    model: FilePath
    requests: FilePath
    answers: FilePath
    program_sha256: str


class CheckpointJob(Strict, frozen=True, kw_only=True, tag_field="kind", tag="checkpoint"):
    model: FilePath
    """A GGUF file."""
    output: FilePath
    dtype: DType
    program_sha256: str


class LayoutJob(Strict, frozen=True, kw_only=True, tag_field="kind", tag="layout"):
    model: FilePath
    """A checkpoint in Meta's layout or in transformers'."""
    output: FilePath
    """The folder to make, in the other layout."""
    program_sha256: str


Job = ScoreJob | ReferenceJob | GenerateJob | CrossCheckJob | TokenizeJob | CheckpointJob | LayoutJob


class ScoreRequest(Strict, frozen=True, kw_only=True):
    id: int
    context: Tokens
    shared: Whole
    continuation: Tokens


class DistanceRequest(Strict, frozen=True, kw_only=True):
    id: int
    tokens: Tokens
    positions: Annotated[list[Whole], msgspec.Meta(min_length=1)]
    rows: Annotated[list[Annotated[int, msgspec.Meta(ge=NO_ROW, le=2**31 - 1)]], msgspec.Meta(min_length=1)]


class GenerateRequest(Strict, frozen=True, kw_only=True):
    id: int
    tokens: Tokens
    shared: Whole
    max_tokens: Positive
    stop: list[Annotated[str, msgspec.Meta(min_length=1)]]


class TokenizeRequest(Strict, frozen=True, kw_only=True):
    id: int
    text: str
    add_special: bool
    parse_special: bool


class PairRequest(Strict, frozen=True, kw_only=True):
    id: int
    context: str
    continuation: str


def read_job(path: Path) -> Job:
    """Raises JobRefusedError: the file is missing or no job."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Job)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JobRefusedError(f"job: {error}") from error


def kind_of(job: Job) -> str:
    tag = type(job).__struct_config__.tag
    assert isinstance(tag, str)
    return tag
