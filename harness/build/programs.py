"""Programs that make things: ended together with whoever waits for them."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def running(argv: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    """A child with one stream of output; on an error or an interrupt it is ended before that goes on."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
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
