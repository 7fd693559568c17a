"""Programs that make things: ended together with whoever waits for them."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from harness.errors import BuildError, one_line


@contextmanager
def running(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A child with one stream of output; on an error or an interrupt it is ended before that goes on."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
    )
    try:
        yield process
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def lines_of(process: "subprocess.Popen[str]") -> Iterator[str]:
    """Its output, a line at a time, until it closes it."""
    assert process.stdout is not None
    yield from process.stdout


def finish(argv: Sequence[str], what: str, timeout_s: float, environment: Mapping[str, str] | None = None) -> None:
    """Run one of our own programs to its end; it dies with whoever waits for it.

    Raises:
        BuildError: with its last line, or that it did not end in time.
    """
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env={**os.environ, "BENCH_DIE_WITH_PARENT": "1", **(environment or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{what} failed: no end after {timeout_s:,.0f} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BuildError(f"{what} failed: {one_line(last)}")
