"""What is installed, what is missing, and the command that gets it. Nothing is built or downloaded here."""

import os
import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path

from harness.build.cache import cache_folder
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import runner_hash
from harness.build.runners.targets import NATIVE
from harness.build.runners.toolchains import CROSS_COMPILER, CROSS_PACKAGE
from harness.errors import InputError, SetupError
from harness.health import Part
from harness.measure.tasks import TASKS, resolve_task
from harness.values import Value, Variant, WheelSource

DISTRIBUTION = "bench-harness"
INSTALL = "pip install -e ."
MAKE = "bench run --measures size --variants int4-ptq"
"""Builds the runner, downloads the model and makes the artifact, and measures next to nothing."""
EXTRAS = {
    "torch": "PyTorch as a runtime",
    "executorch": "ExecuTorch as a runtime",
    "phones": "Android phones",
}
NEEDED_DISK = 4 << 30
"""The build of the runner and the artifacts of suite `quick` take about half of it."""
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*([^;]*)(?:;(.*))?$")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


class Requirement(Value, frozen=True):
    """A requirement as a distribution's metadata states it."""

    name: str
    wish: str
    """Version, such as `==0.4.13`; empty for any."""
    extra: str | None = None


class Toolchain(Value, frozen=True):
    """What running and building need, as found."""

    runner: Runner | None
    parts: tuple[Part, ...]
    impossible: tuple[str, ...]
    """Why nothing can be measured."""


def find_toolchain() -> Toolchain:
    """The runner of these sources in the cache, or what it takes to build it."""
    compiler = _compiler()
    runner, why = find_runner()
    tools = [_tool("cmake"), _tool("ninja"), _pip()]
    lacking = [part for part in tools if not part.present]
    parts = [_python(), compiler]
    impossible = []
    if why is not None:
        impossible.append(f"no runner: {why}")
    elif runner is None:
        impossible += [f"no runner, and it cannot be built: {part.seen}" for part in lacking]
    built = f"bench-llama {runner.sha256[:12]}" if runner else None
    missing = "not built for these sources, this compiler and this CPU: some minutes, once"
    parts += [*tools, _part("runner", built, "every measurement", MAKE, missing=missing)]
    return Toolchain(runner=runner, parts=tuple(parts), impossible=tuple(impossible))


def find_runner(target: str = NATIVE) -> tuple[Runner | None, str | None]:
    """(The built runner, why there cannot be one). Its place follows from the hash of what goes into it."""
    try:
        key = runner_hash(target)
        path = cache_folder("runners") / key[:16] / "bench-llama"
    except SetupError as error:
        return None, str(error)
    return (Runner(path=str(path), sha256=key) if path.is_file() else None), None


def find_packages() -> tuple[Part, ...]:
    """The Python packages that bench's own metadata asks for, and its optional extras."""
    try:
        wanted = [r for line in distribution(DISTRIBUTION).requires or () if (r := requirement(line))]
    except PackageNotFoundError:
        lacking = f"the package {DISTRIBUTION} is not installed, so its requirements are unknown"
        return (_part("Python packages", None, "bench itself", INSTALL, missing=lacking),)
    own = _packages("Python packages", [r for r in wanted if r.extra is None], "bench itself and its workers", INSTALL)
    extras = []
    for name, use in EXTRAS.items():
        get = f"{INSTALL[:-1]}'.[{name}]'"
        extras.append(_packages(f"extra {name}", [r for r in wanted if r.extra == name], f"{use} (optional)", get))
    return (own, *extras)


def requirement(line: str) -> Requirement | None:
    """`torch==2.13.0; extra == "torch"` → its parts; None for what has another form or another condition."""
    match = _REQUIREMENT.match(line)
    if match is None:
        return None
    name, wish, condition = match.groups()
    extra = _EXTRA.search(condition or "")
    if condition and condition.strip() and extra is None:
        return None
    return Requirement(name=name, wish=wish.strip(" ()"), extra=extra.group(1) if extra else None)


def lacking(wanted: Iterable[Requirement]) -> list[str]:
    """What is not there, or there in another version than the exact one that is wished for."""
    found = []
    for one in wanted:
        try:
            seen = version(one.name)
        except PackageNotFoundError:
            found.append(one.name)
            continue
        if one.wish.startswith("==") and one.wish[2:].strip() != seen.partition("+")[0]:
            found.append(f"{one.name}{one.wish} (there is {seen})")
    return found


def find_model(variant: Variant, made: bool) -> tuple[Part, ...]:
    """The demonstration model's download, and the artifact that the A/A test times."""
    source = variant.model.source
    here = None
    if isinstance(source, WheelSource):
        folder = cache_folder("downloads") / source.sha256
        here = source.requirement if folder.is_dir() and any(folder.iterdir()) else None
    label = f"{variant.model.name} by {variant.recipe}"
    return (
        _part("demonstration model", here, "suite `quick`", MAKE, missing="not in the cache: it is downloaded once"),
        _part(f"artifact {variant.name}", label if made else None, "the A/A test", MAKE, missing="not made yet"),
    )


def find_data(folder: str | None) -> Part:
    """Which tasks the folder of data sets (`BENCH_DATA`) allows."""
    there = folder is not None and Path(folder).is_dir()
    data = Path(folder) if folder is not None and there else None
    allowed, refused = [], []
    for task in TASKS:
        try:
            resolve_task(task, data)
            allowed.append(task)
        except InputError:
            refused.append(task)
    what = folder if there else f"{folder} does not exist" if folder else "not set"
    seen = f"{what}; tasks that work: {', '.join(allowed)}"
    if refused:
        seen += f"; that lack data or packages: {', '.join(refused)}"
    get = None if there else "export BENCH_DATA=FOLDER"
    return Part(name="BENCH_DATA", present=there, seen=seen, needed_for="public tasks (optional)", get=get)


def find_disk() -> Part:
    """Room for what is built and downloaded."""
    free = shutil.disk_usage(cache_folder()).free
    seen = f"{free / 2**30:.1f} GiB free, {NEEDED_DISK >> 30} GiB are needed for suite `quick`"
    get = None if free >= NEEDED_DISK else "export BENCH_CACHE=FOLDER (on a larger disk)"
    return Part(name="cache", present=free >= NEEDED_DISK, seen=seen, needed_for="runner, models, artifacts", get=get)


def _packages(name: str, wanted: list[Requirement], use: str, get: str) -> Part:
    absent = lacking(wanted)
    there = ", ".join(f"{r.name} {version(r.name)}" for r in wanted) if not absent else None
    return _part(name, there, use, get, missing=f"missing: {', '.join(absent)}")


def _python() -> Part:
    return _part("Python", platform.python_version(), "bench itself", None)


def _compiler() -> Part:
    name = os.environ.get("CXX") or next((n for n in ("c++", "g++", "clang++") if shutil.which(n)), None)
    seen = _first_line([name, "--version"]) if name else None
    missing = f"{name} does not run" if name else "no C++ compiler found"
    return _part("C++ compiler", seen, "the runner", "apt-get install g++", missing=missing)


def find_cross_compiler() -> Part:
    """What builds the runners for phones."""
    seen = _first_line([CROSS_COMPILER, "--version"]) if shutil.which(CROSS_COMPILER) else None
    get, missing = f"apt-get install {CROSS_PACKAGE}", f"{CROSS_COMPILER} is not installed"
    return _part("cross compiler", seen, "runners for Android phones (optional)", get, missing=missing)


def _tool(name: str) -> Part:
    """cmake and ninja come as Python packages: beside this interpreter, or on PATH."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    seen = _first_line([found, "--version"]) if found else None
    return _part(name, seen, "building the runner", f"pip install {name}", missing=f"{name} is not installed")


def _pip() -> Part:
    seen = version("pip") if find_spec("pip") else None
    return _part("pip", seen, "downloads", "python -m ensurepip", missing="this environment has no pip")


def _first_line(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout.splitlines() or [""])[0].strip() or argv[0]


def _part(name: str, seen: str | None, use: str, get: str | None, missing: str = "missing") -> Part:
    there = seen is not None
    return Part(name=name, present=there, seen=seen or missing, needed_for=use, get=None if there else get)
