"""What this machine is called: in names of runs, and hashed in its facts."""

import os
import socket


def machine_name() -> str:
    """`BENCH_HOST`, for containers that get another host name each night; else the host name."""
    return os.environ.get("BENCH_HOST") or socket.gethostname()
