"""What is made before a run needs it: the path of `bench build`."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.build.cache import in_use, sha256_file
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.build.runners.targets import NATIVE, PHONE
from harness.progress import Progress
from harness.values import Count, Format, Name, Sha256, Value

if TYPE_CHECKING:
    from harness.measure.ready import Ready

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


class Made(Value, frozen=True):
    """A variant's files in one format, or why there are none."""

    variant: Name
    format: Format
    path: str | None = None
    bytes: Count | None = None
    sha256: Sha256 | None = None
    reason: str | None = None


def made_of(ready: "Ready") -> list[Made]:
    """In the order in which they were made; what could not be made comes last."""
    found = [
        Made(
            variant=variant,
            format=format,
            path=artifact.path,
            bytes=sum(file.bytes for file in artifact.files),
            sha256=artifact.sha256,
        )
        for (variant, format), artifact in ready.artifacts.items()
    ]
    return found + [Made(variant=v, format=f, reason=reason) for (v, f), reason in ready.broken.items()]


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
