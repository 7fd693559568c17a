"""Make `bench-llama` from our sources and the pinned llama.cpp, cached by the hash of all that goes in."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.build.cache import cache_folder, only_one, used
from harness.build.programs import lines_of, running
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_sources import SDIST_SHA256, llama_sources
from harness.build.runners.targets import NATIVE, TARGETS, Target, find_target
from harness.build.runners.toolchains import build_tool, cross_surroundings, hash_of_files, native_surroundings
from harness.errors import BuildError
from harness.progress import Progress

SOURCES = Path(__file__).with_name("llama_cpp")
CROSS_SOURCES = Path(__file__).with_name("aarch64")
FLAGS = ("-DCMAKE_BUILD_TYPE=Release",)
# Options in the environment are meant for this machine's compiler, `-march=native` for instance.
CROSS_FLAGS = (*FLAGS, "-DCMAKE_C_FLAGS=", "-DCMAKE_CXX_FLAGS=", "-DCMAKE_EXE_LINKER_FLAGS=")
PROGRAM = "bench-llama"
_STEP = re.compile(r"^\[(\d+)/(\d+)\]")


def ensure_runner(progress: Progress, target: str = NATIVE) -> Runner:
    """The runner for a target, from the cache or built now (some minutes, once).

    Raises:
        UnknownNameError: no such target.
        SetupError: no compiler for it, or llama.cpp's sources cannot be downloaded.
        BuildError: the build failed; the log is named.
    """
    wanted = find_target(target)
    key = runner_hash(target)
    path = cache_folder("runners", key[:16]) / PROGRAM
    if path.is_file():
        used(path.parent)
        return Runner(path=str(path), sha256=key)
    with only_one(build_key(target)):
        if not path.is_file():
            name = PROGRAM if wanted.march is None else f"{PROGRAM}-{target}"
            _build(name, _options(wanted, key), build_folder(target), progress)
            _install(build_folder(target) / "bin" / name, path)
    return Runner(path=str(path), sha256=key)


def ensure_llama_bench(progress: Progress) -> Path:
    """llama.cpp's own benchmark, of the same sources and flags: only to compare with."""
    with only_one(build_key()):
        options = (*_options(TARGETS[NATIVE], runner_hash()), "-DBENCH_WITH_LLAMA_BENCH=ON")
        _build("llama-bench", options, build_folder(), progress)
    return build_folder() / "bin" / "llama-bench"


def runner_hash(target: str = NATIVE) -> str:
    """sha256 over sources, pinned sdist, flags, and compiler; of the native one also this machine's CPU.

    Raises:
        SetupError: no compiler for the target.
    """
    wanted = find_target(target)
    state = hashlib.sha256()
    hash_of_files(state, SOURCES)
    if wanted.march is not None:
        hash_of_files(state, CROSS_SOURCES)
        state.update(f"{target}\0{wanted.march}\0".encode())
    state.update(_surroundings(wanted).encode())
    return state.hexdigest()


def build_folder(target: str = NATIVE) -> Path:
    """One build folder per toolchain and checkout, so that a change in our sources does not rebuild llama.cpp."""
    return cache_folder("build", build_key(target))


def build_key(target: str = NATIVE) -> str:
    """Name of the build folder and of its lock; the targets for phones share theirs.

    Raises:
        SetupError: no compiler for the target.
    """
    key = hashlib.sha256(f"{_surroundings(find_target(target))}\0{SOURCES}".encode()).hexdigest()[:16]
    return f"llama.cpp-{key}"


def _surroundings(target: Target) -> str:
    if target.march is None:
        return "\0".join((SDIST_SHA256, *FLAGS, native_surroundings()))
    return "\0".join((SDIST_SHA256, *CROSS_FLAGS, cross_surroundings()))


def _options(target: Target, key: str) -> tuple[str, ...]:
    """What cmake is told of a target. All programs for phones are named each time: they share a build folder."""
    if target.march is None:
        return ("-S", str(SOURCES), *FLAGS, f"-DRUNNER_SHA256={key}")
    programs = [f"{t.name}:{t.march}:{runner_hash(t.name)}" for t in TARGETS.values() if t.march is not None]
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={CROSS_SOURCES / 'toolchain.cmake'}"
    return ("-S", str(CROSS_SOURCES), *CROSS_FLAGS, toolchain, f"-DBENCH_PROGRAMS={';'.join(programs)}")


def _build(name: str, options: Sequence[str], folder: Path, progress: Progress) -> None:
    used(folder)
    log = folder / "bench-build.log"
    steps = (_configuring(options, folder, progress), [build_tool("ninja"), "-C", str(folder), name])
    with open(log, "w", encoding="utf-8") as out, progress.bar(f"building {name} (some minutes, once)") as bar:
        for argv in steps:
            tail = ""
            with running(argv) as process:
                for line in lines_of(process):
                    out.write(line)
                    if step := _STEP.match(line):
                        bar.update(int(step.group(1)), int(step.group(2)))
                    elif "error" in line.lower():
                        tail = tail or line.strip()
            if process.returncode != 0:
                raise BuildError(f"building {name} failed: {tail or 'see the log'} (log: {log})")


def configuring(target: str, folder: Path, progress: Progress) -> list[str]:
    """The command that lays out the build of a target in `folder`.

    Raises:
        SetupError: no compiler for it, or llama.cpp's sources cannot be downloaded.
    """
    return _configuring(_options(find_target(target), runner_hash(target)), folder, progress)


def _configuring(options: Sequence[str], folder: Path, progress: Progress) -> list[str]:
    layout = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={build_tool('ninja')}", "-B", str(folder)]
    return [build_tool("cmake"), *layout, *options, f"-DLLAMA_SOURCE_DIR={llama_sources(progress)}"]


def _install(built: Path, target: Path) -> None:
    part = target.with_suffix(".part")
    shutil.copy2(built, part)
    part.rename(target)
