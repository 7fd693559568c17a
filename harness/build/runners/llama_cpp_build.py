"""Make `bench-llama` from our sources and the pinned llama.cpp, cached by the hash of all that goes in."""

import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
import tarfile
from pathlib import Path, PurePosixPath

from harness.build.cache import cache_folder, only_one, used
from harness.build.downloads import download
from harness.build.programs import lines_of, running
from harness.build.runners import Runner
from harness.errors import BuildError, SetupError
from harness.progress import Progress

# llama.cpp's sources travel inside this sdist, under vendor/llama.cpp; nothing of its Python is used.
SDIST = "llama-cpp-python==0.3.36"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
SOURCES = Path(__file__).with_name("llama_cpp")
FLAGS = ("-DCMAKE_BUILD_TYPE=Release",)
_STEP = re.compile(r"^\[(\d+)/(\d+)\]")


def ensure_runner(progress: Progress) -> Runner:
    """The runner, from the cache or built now (some minutes, once).

    Raises:
        SetupError: no compiler, or llama.cpp's sources cannot be downloaded.
        BuildError: the build failed; the log is named.
    """
    key = runner_hash()
    target = cache_folder("runners", key[:16]) / "bench-llama"
    if target.is_file():
        used(target.parent)
        return Runner(path=str(target), sha256=key)
    with only_one(build_key()):
        if not target.is_file():
            _build(("bench-llama",), key, progress)
            _install(build_folder() / "bin" / "bench-llama", target)
    return Runner(path=str(target), sha256=key)


def ensure_llama_bench(progress: Progress) -> Path:
    """llama.cpp's own benchmark, of the same sources and flags: only to compare with."""
    with only_one(build_key()):
        _build(("llama-bench",), runner_hash(), progress, extra=("-DBENCH_WITH_LLAMA_BENCH=ON",))
    return build_folder() / "bin" / "llama-bench"


def runner_hash() -> str:
    """sha256 over sources, pinned sdist, flags, compiler and the CPU that `-march=native` builds for."""
    state = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file():
            state.update(f"{path.relative_to(SOURCES)}\0".encode())
            state.update(path.read_bytes())
    state.update(_surroundings().encode())
    return state.hexdigest()


def _surroundings() -> str:
    flags = [f"{name}={os.environ.get(name, '')}" for name in ("CC", "CFLAGS", "CXXFLAGS", "LDFLAGS")]
    return "\0".join((SDIST_SHA256, *FLAGS, *flags, _compiler(), _cpu_flags()))


def build_folder() -> Path:
    """One build folder per toolchain and checkout, so that a change in our sources does not rebuild llama.cpp."""
    return cache_folder("build", build_key())


def build_key() -> str:
    """Name of the build folder and of its lock."""
    key = hashlib.sha256(f"{_surroundings()}\0{SOURCES}".encode()).hexdigest()[:16]
    return f"llama.cpp-{key}"


def _build(targets: tuple[str, ...], key: str, progress: Progress, extra: tuple[str, ...] = ()) -> None:
    cmake, ninja = _tool("cmake"), _tool("ninja")
    sources = _llama_sources(progress)
    folder = build_folder()
    used(folder)
    log = folder / "bench-build.log"
    configure = [cmake, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}", "-S", str(SOURCES), "-B", str(folder)]
    configure += [*FLAGS, f"-DLLAMA_SOURCE_DIR={sources}", f"-DRUNNER_SHA256={key}", *extra]
    what = f"building {', '.join(targets)} (some minutes, once)"
    with open(log, "w", encoding="utf-8") as out, progress.bar(what) as bar:
        for argv in (configure, [ninja, "-C", str(folder), *targets]):
            tail = ""
            with running(argv) as process:
                for line in lines_of(process):
                    out.write(line)
                    if step := _STEP.match(line):
                        bar.update(int(step.group(1)), int(step.group(2)))
                    elif "error" in line.lower():
                        tail = tail or line.strip()
            if process.returncode != 0:
                raise BuildError(f"building {targets[0]} failed: {tail or 'see the log'} (log: {log})")


def _llama_sources(progress: Progress) -> Path:
    archive = download(SDIST, SDIST_SHA256, progress, source=True)
    folder = cache_folder("sources") / SDIST_SHA256[:16]
    with only_one(f"sources-{SDIST_SHA256[:16]}"):
        if not folder.is_dir():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            with tarfile.open(archive) as tar:
                members = [m for m in tar.getmembers() if "/vendor/llama.cpp/" in m.name]
                _refuse_escapes(members)
                tar.extractall(part, members)  # noqa: S202 - checked; `filter` is missing in Debian 12's Python
            part.rename(folder)
        used(folder)
    return next(folder.glob("*/vendor/llama.cpp"))


def _refuse_escapes(members: list[tarfile.TarInfo]) -> None:
    """Only plain files and folders below the target; the archive is pinned by hash as well."""
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise BuildError(f"the source archive holds {member.name!r}, which is no plain file below it")


def _install(built: Path, target: Path) -> None:
    part = target.with_suffix(".part")
    shutil.copy2(built, part)
    part.rename(target)


def _tool(name: str) -> str:
    """cmake and ninja come as Python packages: beside this interpreter, or on PATH."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise SetupError(f"{name} is not installed (it is a Python package: `pip install {name}`)")
    return found


def _compiler() -> str:
    name = os.environ.get("CXX") or next((n for n in ("c++", "g++", "clang++") if shutil.which(n)), None)
    if name is None:
        raise SetupError("no C++ compiler found (Debian, Ubuntu: `apt-get install g++`)")
    try:
        done = subprocess.run([name, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"the C++ compiler {name!r} does not run: {error}") from error
    return done.stdout.splitlines()[0]


def _cpu_flags() -> str:
    """A binary built for this CPU must not be taken from the cache on another one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
