"""Bodies → files in one folder."""

from collections.abc import Mapping
from pathlib import Path

from harness.errors import StoreError
from harness.store import write_durably


def write_files(bodies: Mapping[str, bytes], folder: Path, what: str) -> list[Path]:
    """Name → body into a folder; returns the paths.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        for name, body in bodies.items():
            write_durably(folder / name, body)
    except OSError as error:
        raise StoreError(f"cannot write {what} into {folder}: {error.strerror}") from error
    return [folder / name for name in bodies]
