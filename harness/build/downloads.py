"""Files out of Python packages, pinned by sha256, through the pip that is set up on this machine."""

import hashlib
import re
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from harness.build.cache import cache_folder, only_one, sha256_file, used
from harness.build.programs import lines_of, running
from harness.errors import BuildError, SetupError
from harness.progress import Progress

PINS = "pins.txt"
_RAW_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)")


def download(requirement: str, sha256: str, progress: Progress, *, source: bool = False) -> Path:
    """The wheel (or, with `source`, the sdist) of an exact pin, from the cache or by pip.

    Raises:
        SetupError: no network, no pip, or no such package.
        BuildError: the file is not the pinned one.
    """
    folder = cache_folder("downloads", sha256)
    with only_one(f"download-{sha256[:16]}"):
        for found in folder.iterdir():
            if sha256_file(found) == sha256:
                used(folder)
                return found
            found.unlink()
        with tempfile.TemporaryDirectory(dir=cache_folder("downloads"), prefix=".part-") as part:
            _pip(requirement, sha256, Path(part), progress, source)
            files = [path for path in Path(part).iterdir() if path.name != PINS]
            if len(files) != 1 or sha256_file(files[0]) != sha256:
                names = ", ".join(f.name for f in files) or "nothing"
                raise BuildError(f"{requirement}: pip brought {names}, which is not the pinned file ({sha256[:12]}…)")
            target = folder / files[0].name
            files[0].rename(target)
            return target


def extract_member(wheel: Path, member: str) -> Path:
    """One file of a wheel, beside it in the cache.

    Raises:
        BuildError: the wheel has no such member.
    """
    place = PurePosixPath(member)
    if place.is_absolute() or ".." in place.parts or not place.name:
        raise BuildError(f"{member!r} is no path of a member of {wheel.name}")
    name = member_key(wheel.parent.name, member)
    target = cache_folder("members", name) / Path(member).name
    with only_one(f"member-{name}"):
        if not target.is_file():
            _extract(wheel, member, target)
        used(target.parent)
    return target


def member_key(sha256: str, member: str) -> str:
    """Name of the folder that holds a wheel's member."""
    return f"{sha256[:16]}-{hashlib.sha256(member.encode()).hexdigest()[:8]}"


def _extract(wheel: Path, member: str, target: Path) -> None:
    part = target.with_suffix(".part")
    try:
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.namelist():
                raise BuildError(f"{wheel.name} has no member {member!r}")
            with archive.open(member) as source, open(part, "wb") as out:
                while block := source.read(1 << 22):
                    out.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BuildError(f"{wheel.name} cannot be unpacked: {error}") from error
    part.rename(target)


def _pip(requirement: str, sha256: str, into: Path, progress: Progress, source: bool) -> None:
    # pip checks the hash before it runs anything of an sdist, which it does to read its metadata.
    pins = into / PINS
    pins.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    argv += ["--no-binary=:all:"] if source else ["--only-binary=:all:"]
    argv += ["--progress-bar=raw", "--dest", str(into), "--require-hashes", "-r", str(pins)]
    with progress.bar(f"downloading {requirement}", unit="B") as bar:
        tail: list[str] = []
        with running(argv) as process:
            for line in lines_of(process):
                if seen := _RAW_PROGRESS.match(line):
                    bar.update(int(seen.group(1)), int(seen.group(2)))
                else:
                    tail = [*tail[-20:], line.rstrip()]
        if process.returncode != 0:
            raise SetupError(_why(requirement, tail))


def _why(requirement: str, tail: Sequence[str]) -> str:
    text = "\n".join(tail)
    if "No module named pip" in text:
        return f"cannot download {requirement}: this environment has no pip"
    errors = [line.removeprefix("ERROR: ") for line in tail if line.startswith("ERROR")]
    cause = errors[-1] if errors else (tail[-1] if tail else "pip failed")
    return f"cannot download {requirement}: {cause} (no network, or no package registry set up?)"
