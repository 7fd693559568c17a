"""A worker ends with the process that started it, also where that one is killed."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Does nothing unless `BENCH_DIE_WITH_PARENT` is 1, and on other systems than Linux."""
    if os.environ.get("BENCH_DIE_WITH_PARENT") != "1" or sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the signal was asked for
        sys.exit(1)
