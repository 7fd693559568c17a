"""Small pieces that several parsers share."""

import re


def whole(text: str | None) -> int | None:
    """A whole number in plain digits, or None."""
    found = re.fullmatch(r"\s*(-?\d{1,18})\s*", text or "")
    return int(found.group(1)) if found else None


def cpu_list(text: str | None) -> tuple[int, ...]:
    """`0-3,5` or `0 1 2` → the CPUs; empty where it is no such list."""
    found: set[int] = set()
    for part in re.split(r"[\s,]+", (text or "").strip()):
        span = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if span is None:
            return ()
        first, last = int(span.group(1)), int(span.group(2) or span.group(1))
        found |= set(range(first, last + 1))
    return tuple(sorted(found))


def no_service(text: str) -> str | None:
    """Why `dumpsys` or a program gave nothing, where it says so."""
    for line in text.splitlines():
        if re.search(r"Can't find service|not found|inaccessible|Permission [Dd]enial|Permission denied", line):
            return line.strip()[:200]
    return None
