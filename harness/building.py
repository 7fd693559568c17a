"""Programs made before a run needs them: the path of `bench build`."""

from pathlib import Path

from harness.build.cache import in_use, sha256_file
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.build.runners.targets import NATIVE, PHONE
from harness.progress import Progress
from harness.values import Count, Name, Sha256, Value

RUNNERS: dict[str, tuple[str, ...]] = {"native": (NATIVE,), "phone": PHONE, "all": (NATIVE, *PHONE)}
"""What `--runners` may say → targets."""


class Program(Value, frozen=True):
    """A runner's file, as one who copies it elsewhere must know it."""

    target: Name
    path: str
    bytes: Count
    sha256: Sha256
    """Of the file."""
    runner_sha256: Sha256
    """Of everything that went into it: what the program calls itself in its first event."""


def build_runners(kind: str, progress: Progress) -> list[Program]:
    """The runners of a key of `RUNNERS`, from the cache or built now.

    Raises:
        SetupError: no compiler, or llama.cpp's sources cannot be downloaded.
        BuildError: a build failed.
    """
    with in_use():
        return [_program(target, progress) for target in RUNNERS[kind]]


def _program(target: str, progress: Progress) -> Program:
    runner = ensure_runner(progress, target)
    file = Path(runner.path)
    return Program(
        target=target,
        path=runner.path,
        bytes=file.stat().st_size,
        sha256=sha256_file(file),
        runner_sha256=runner.sha256,
    )
