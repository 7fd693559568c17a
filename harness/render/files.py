"""Bodies → files in one folder."""

import os
from collections.abc import Mapping
from pathlib import Path

from harness.errors import StoreError


def write_files(bodies: Mapping[str, bytes], folder: Path, what: str) -> list[Path]:
    """Name → body into a folder; returns the paths. A file is whole or as before.

    Nothing waits for the disk, as records do: a page that a power cut takes is made again from its run.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        for name, body in bodies.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            part.write_bytes(body)
            part.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {what} into {folder}: {error.strerror}") from error
    return [folder / name for name in bodies]
