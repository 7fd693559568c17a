"""What was made to be measured."""

from pathlib import PurePath
from typing import Literal

from harness.values.basic import Count, Name, Positive, Sha256, Value, Whole

Format = Literal["gguf", "checkpoint", "pte"]
"""One GGUF file, a folder in the layout of Hugging Face, or one file of ExecuTorch."""


class ArtifactFile(Value, frozen=True):
    name: str
    bytes: Count
    sha256: Sha256


class Artifact(Value, frozen=True, kw_only=True):
    """A variant's files in the store."""

    variant: Name
    format: Format
    sha256: Sha256
    """Of the file; of several files: of their sorted `sha256  name` lines."""
    files: tuple[ArtifactFile, ...]
    parameters: Positive | None
    tensor_bytes: Positive | None
    decode_bytes: Positive | None
    """Weight bytes that one decoded token must read: without an embedding table that is only looked up."""
    tensor_types: dict[str, Whole] = {}
    """How many tensors are stored in each type."""
    path: str
    """Of the GGUF file, or of the checkpoint's folder; not kept in records."""

    @property
    def adaptor(self) -> str | None:
        """Path of the file of low-rank adaptors that is loaded beside a GGUF file, if there is one."""
        if self.format != "gguf" or len(self.files) < 2:
            return None
        return str(PurePath(self.path).with_name(self.files[1].name))
