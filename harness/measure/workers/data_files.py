"""Data files of tasks: read as lines here, so that what is wrong with one is said with its line."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any


class DataError(ValueError):
    """A data file cannot be used; the message names it, and the line where there is one."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The documents of a `.jsonl`, `.jsonl.gz` or `.json` file; the latter holds a list, or lines as well.

    Raises:
        DataError: with file and line.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            body = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if path.name.endswith(".json") and body.lstrip()[:1] == b"[":
        rows = [(0, _parsed(body, path, 1))]
        rows = [(number, row) for _, whole in rows for number, row in enumerate(whole, 1)]
    else:
        lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        rows = [(number, _parsed(line, path, number)) for number, line in lines]
    if not rows:
        raise DataError(f"{path} holds no documents")
    for number, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number} is no JSON object")
    return [row for _, row in rows]


def _parsed(text: bytes, path: Path, number: int) -> Any:
    try:
        found = json.loads(text.decode("utf-8"))
        if b"\\ud" in text.lower():  # only an escape can be one half of a pair
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{path}:{number} has half a character: a surrogate without its other half") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number} is not UTF-8 text: byte {error.start + 1} of the line") from None
    except json.JSONDecodeError as error:
        place = f"{path}:{number + error.lineno - 1}"
        raise DataError(f"{place} is no JSON: {error.msg}, column {error.colno}") from None
    except RecursionError:
        raise DataError(f"{path}:{number} is nested too deeply") from None
    return found
