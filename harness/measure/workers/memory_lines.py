"""What the kernel says of this process's memory."""

from pathlib import Path

STATUS = Path("/proc/self/status")


def status_bytes() -> dict[str, int]:
    """Sizes in /proc/self/status by their names; empty where the system has none."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    parts = [line.split() for line in lines if line.endswith(" kB")]
    return {name.rstrip(":"): int(size) * 1024 for name, size, _ in (part for part in parts if len(part) == 3)}


def peak_rss_bytes() -> int | None:
    """The largest memory this process had; None where the system does not say."""
    return status_bytes().get("VmHWM")
