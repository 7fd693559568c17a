"""`getprop` and `settings get`."""


def parse_getprop(text: str) -> dict[str, str]:
    """`[name]: [value]` lines; a value may have several lines. An entry that is cut off is left out."""
    found: dict[str, str] = {}
    name, value = "", ""
    for line in text.splitlines():
        if line.startswith("[") and "]: [" in line:
            name, _, value = line[1:].partition("]: [")
        elif name:
            value += f"\n{line}"
        else:
            continue
        if value.endswith("]"):
            found[name] = value[:-1]
            # More lines may belong to it, so the name is kept until the next entry begins.
    return found


def parse_settings(text: str) -> dict[str, str | None]:
    """`name=value` lines; None where a setting was never made (`null`) or is empty."""
    found: dict[str, str | None] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name:
            found[name] = None if value.strip() in ("", "null") else value.strip()
    return found


def switch(value: str | None) -> bool | None:
    """A setting that is on (1) or off (0)."""
    return {"1": True, "0": False}.get(value or "")
