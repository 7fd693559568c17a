"""Thermal zones of a phone: which are the processor's and the surface's, and what their numbers mean."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

CPU_ZONES = ("cpu*", "apc*", "big", "mid", "little", "g3d-cpu*", "mtktscpu*", "soc_max*", "lcpu*", "bcpu*")
"""Patterns of their types, upper and lower case alike."""
SKIN_ZONES = ("*skin*", "*quiet*therm*", "shell*", "*-shell")


def fits(kind: str, patterns: Iterable[str]) -> bool:
    """Whether a zone's type fits one of the patterns, upper and lower case alike."""
    return any(fnmatchcase(kind.lower(), pattern.lower()) for pattern in patterns)


def any_case(pattern: str) -> str:
    """The same pattern for a shell, which tells upper from lower case."""
    return re.sub(r"\[(!?)([^]]*)\]|([A-Za-z])", _both_cases, pattern)


def _both_cases(found: re.Match[str]) -> str:
    negated, several, single = found.group(1) or "", found.group(2), found.group(3)
    if single is not None:
        return f"[{single}{single.swapcase()}]"
    return f"[{negated}{several}{several.swapcase()}]"


def celsius(raw: int | None) -> float | None:
    """Zones count in m°C, some in whole °C; what cannot be a phone's temperature is unknown, never cool."""
    if raw is None:
        return None
    if 1 <= raw <= 150:
        return float(raw)
    return raw / 1000 if 1000 <= raw <= 150_000 else None
