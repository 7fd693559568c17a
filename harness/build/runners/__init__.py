"""Programs that run models: sources, and how to make a program of them. One module a native runner."""

from harness.values import Value


class Runner(Value, frozen=True):
    """A program on this machine that does a runtime's jobs."""

    path: str
    sha256: str
    """Of everything that went into it: sources, pinned libraries, and for a native one flags, compiler, CPU."""
