"""16-bit GGUF files of models that are known by their names on the hub.

Nothing is fetched: such models often have licences that must be accepted there, and a checkpoint is no GGUF file.
"""

import os
from pathlib import Path

from harness.errors import InputError
from harness.values import HubSource


def models_folder() -> Path:
    """`$BENCH_MODELS`, or `models` in the working directory."""
    return Path(os.environ.get("BENCH_MODELS") or "models")


def hub_file(name: str, source: HubSource) -> Path:
    """The GGUF file of a model: `OWNER/MODEL.gguf` in the folder of models.

    Raises:
        InputError: it is not there; the message says where it belongs.
    """
    path = models_folder() / f"{source.repository}.gguf"
    if not path.is_file():
        raise InputError(
            f"model {name!r}: no file at {path} (a 16-bit GGUF file of {source.repository}; BENCH_MODELS names the "
            "folder; docs/adding-a-part.md says how it is made)"
        )
    if not os.access(path, os.R_OK):
        raise InputError(f"model {name!r}: {path} may not be read")
    return path
