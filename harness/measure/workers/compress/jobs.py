"""Job files as values; see docs/variants.md for what each setting does."""

from pathlib import Path
from typing import Annotated

import msgspec

from harness.measure.workers.hf.errors import JobRefusedError

Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
FilePath = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[^\x00]*$")]
Rate = Annotated[float, msgspec.Meta(gt=0, le=100)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every job is told."""

    model: FilePath
    """Folder of a 16-bit or 32-bit checkpoint."""
    output: FilePath
    """Folder to make; of `draw` the file."""
    threads: Positive
    program_sha256: str
    seed: Whole = 1


class DrawJob(Job, frozen=True, kw_only=True, tag="draw"):
    """Text from the model itself; `output` is a file."""

    tokens: Positive
    """At least so many."""
    group: Positive = 1
    turned: bool = False
    rotates_down: bool = False
    """What the recipe that learns from it will do with the model, so that a model which it refuses is refused first."""


class RecipeJob(Job, frozen=True, kw_only=True):
    """A recipe."""

    group: Positive = 32


class TextJob(RecipeJob, frozen=True, kw_only=True):
    """A recipe that reads text."""

    text: FilePath
    """UTF-8 text that the recipe may learn from."""
    state: FilePath
    """Folder that keeps what was learned so far."""
    samples: Positive
    """Pieces of text."""
    sample_tokens: Annotated[int, msgspec.Meta(ge=2, le=2**20)]


class PtqJob(RecipeJob, frozen=True, kw_only=True, tag="ptq"):
    """Round to nearest."""


class SpinQuantJob(TextJob, frozen=True, kw_only=True, tag="spinquant"):
    """Learned rotations, then GPTQ."""

    steps: Whole
    """Of learning; 0 leaves the random Hadamard matrices."""
    learning_rate: Rate
    rotates_down: bool
    """R4; a runtime must have it."""
    damping: Share


class QloraJob(TextJob, frozen=True, kw_only=True, tag="qlora"):
    """Integers beside adaptors, quantization-aware training, then the adaptors alone."""

    steps: Whole
    """Of quantization-aware training."""
    lora_steps: Whole
    """Of training the adaptors; 0 leaves them as they began."""
    batch: Positive
    learning_rate: Rate
    lora_learning_rate: Rate
    lora_rank: Positive
    damping: Share


AnyJob = DrawJob | PtqJob | SpinQuantJob | QloraJob


def read_job(path: Path) -> AnyJob:
    """Raises JobRefusedError: the file is missing or no job."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=AnyJob)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JobRefusedError(f"job: {error}") from error
