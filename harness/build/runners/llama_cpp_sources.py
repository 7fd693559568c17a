"""llama.cpp's sources, pinned: fetched as a part of a Python package, and unpacked."""

import shutil
import tarfile
from pathlib import Path, PurePosixPath

from harness.build.cache import cache_folder, only_one, used
from harness.build.downloads import download
from harness.errors import BuildError
from harness.progress import Progress

# llama.cpp's sources travel inside this sdist, under vendor/llama.cpp; nothing of its Python is used.
SDIST = "llama-cpp-python==0.3.36"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"


def llama_sources(progress: Progress) -> Path:
    """llama.cpp's source folder, unpacked now or before.

    Raises:
        SetupError: it cannot be downloaded.
        BuildError: the archive is not the pinned one.
    """
    archive = download(SDIST, SDIST_SHA256, progress, source=True)
    folder = cache_folder("sources") / SDIST_SHA256[:16]
    with only_one(f"sources-{SDIST_SHA256[:16]}"):
        if not folder.is_dir():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            with tarfile.open(archive) as tar:
                members = [m for m in tar.getmembers() if "/vendor/llama.cpp/" in m.name]
                refuse_escapes(members)
                tar.extractall(part, members)  # noqa: S202 - checked; `filter` is missing in Debian 12's Python
            part.rename(folder)
        used(folder)
    return next(folder.glob("*/vendor/llama.cpp"))


def refuse_escapes(members: list[tarfile.TarInfo]) -> None:
    """Only plain files and folders below the target; the archive is pinned by hash as well."""
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise BuildError(f"the source archive holds {member.name!r}, which is no plain file below it")
