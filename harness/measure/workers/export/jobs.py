"""Job files as values."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from harness.measure.workers.hf.errors import JobRefusedError

Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
FilePath = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[^\x00]*$")]


class ExportJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One checkpoint to one `.pte` file."""

    model: FilePath
    """Folder of a checkpoint: transformers' layout, compressed or not, or Meta's."""
    output: FilePath
    """The file to make."""
    context: Annotated[int, msgspec.Meta(ge=8, le=2**20)]
    """Tokens of KV cache, all of which are allocated when the program is loaded."""
    full_logits: bool
    """Whether a call returns the logits of all its tokens, or of the last one."""
    dtype: Literal["float32", "float16", "bfloat16"]
    """Of what is no integer."""
    delegate: Literal["none", "xnnpack"]
    """`none`: every operator runs on ExecuTorch's own kernels."""
    threads: Positive
    program_sha256: str


def read_job(path: Path) -> ExportJob:
    """Raises JobRefusedError: the file is missing or no job."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ExportJob)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JobRefusedError(f"job: {error}") from error
