"""Screen: lines of `dumpsys power` and `dumpsys display`."""

import re


def parse_screen(text: str) -> bool | None:
    """Whether the screen is lit, by its own state, else by whether the phone is awake."""
    states = re.findall(r"(?:Display Power: state|mScreenState|mGlobalDisplayState)=(\w+)", text)
    if states:
        return any(state not in ("OFF", "UNKNOWN") for state in states)
    wakefulness = re.search(r"mWakefulness(?:Raw)?=(\w+)", text)
    return wakefulness.group(1) == "Awake" if wakefulness else None
