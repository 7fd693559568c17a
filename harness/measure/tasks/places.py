"""Where a task's data lies: in the user's folder, or on the hub."""

import os
import sys
import urllib.error
import urllib.request
from functools import lru_cache
from pathlib import Path

from harness.errors import InputError

ENDINGS = (".jsonl.gz", ".jsonl", ".json", ".parquet")
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
PATIENCE_S = 4.0
SENTENCES = "tokenizers/punkt_tab"
"""What NLTK needs to tell where a sentence ends."""


class MissingDataError(InputError):
    """The user's folder lacks a file; the hub may have it."""


def found(path: str, data: Path | None, task: str) -> Path:
    """A file of the table.

    Raises:
        MissingDataError: no folder is named, or the file is not in it.
    """
    if Path(path).is_absolute():
        return Path(path)
    if data is None:
        raise MissingDataError(
            f"task {task!r} needs the file {path} in the folder that BENCH_DATA (or --data) names; it is not set"
        )
    if (place := known_file(data, path)) is None:
        raise MissingDataError(f"task {task!r} needs {data / path}, which does not exist")
    return place


def known_file(data: Path, path: str) -> Path | None:
    """A file or folder as the table names it, or the file uncompressed."""
    places = (data / path, data / path.removesuffix(".gz"))
    return next((place for place in places if place.exists()), None)


def split_file(folder: Path, split: str) -> Path | None:
    """A split of a task in the user's folder, whatever of the known endings it has."""
    return next((path for ending in ENDINGS if (path := folder / f"{split}{ending}").is_file()), None)


def check_hub(dataset: str, lacks: str) -> None:
    """Whether a data set that is not in the user's folder can come from the hub.

    Raises:
        InputError: it cannot; `lacks` says which file was looked for before.
    """
    if _kept(dataset):
        return
    for name in OFFLINE:
        if os.environ.get(name, "").lower() in ("1", "true", "yes", "on"):
            raise InputError(f"{lacks}; the hub was not asked for {dataset}, since {name} is set")
    if not _hub_answers():
        raise InputError(f"{lacks}; the hub, which has {dataset}, was not reached")


def hub_home() -> Path:
    """Where data sets of the hub are kept, as Hugging Face's own libraries find it."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("HF_HOME") or Path(cache) / "huggingface")


def _kept(dataset: str) -> bool:
    places = (f"datasets/{dataset.replace('/', '___')}", f"hub/datasets--{dataset.replace('/', '--')}")
    return any((hub_home() / place).is_dir() for place in places)


@lru_cache(maxsize=1)
def _hub_answers() -> bool:
    from huggingface_hub.constants import ENDPOINT

    request = urllib.request.Request(ENDPOINT, method="HEAD")  # noqa: S310 - Hugging Face's own constant
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def nltk_folder(data: Path | None, task: str) -> str:
    """The folder in which NLTK finds its sentence splitter; it is never downloaded here.

    Raises:
        InputError: it is nowhere; the folder that is wanted is named.
    """
    for folder in _nltk_places(data):
        if any((folder / f"{SENTENCES}{ending}").exists() for ending in ("", ".zip")):
            return str(folder)
    wanted = (data or Path("BENCH_DATA")) / "nltk_data" / SENTENCES
    raise InputError(f"task {task!r} needs NLTK's `punkt_tab` in {wanted} (or in a folder that NLTK_DATA names)")


def _nltk_places(data: Path | None) -> list[Path]:
    given = [Path(place) for place in os.environ.get("NLTK_DATA", "").split(os.pathsep) if place]
    prefix = Path(sys.prefix)
    own = [Path.home(), prefix, prefix / "share", prefix / "lib"]
    system = [Path("/usr/share"), Path("/usr/local/share"), Path("/usr/lib"), Path("/usr/local/lib")]
    first = [data / "nltk_data"] if data else []
    return [*first, *given, *(place / "nltk_data" for place in (*own, *system))]
