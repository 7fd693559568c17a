"""`df -k`."""

import re

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_df(text: str) -> int | None:
    """Bytes that are free, from the first file system; the table of toybox, and that of Android 6."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    heads = [n for n, words in enumerate(lines) if words[0] == "Filesystem"]
    if not heads or len(lines) <= heads[0] + 1:
        return None
    head = [word.lower() for word in lines[heads[0]]]
    row = lines[heads[0] + 1]
    if len(row) == 1 and len(lines) > heads[0] + 2:  # a long name of the device pushes its numbers to the next line
        row += lines[heads[0] + 2]
    column = next((n for n, word in enumerate(head) if word in ("available", "avail", "free")), None)
    if column is None or len(row) <= column:
        return None
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)([KMGT]?)", row[column])
    if found is None:
        return None
    number, unit = float(found.group(1)), found.group(2)
    in_kilobytes = not unit and any(word.startswith("1k") or word == "1024-blocks" for word in head)
    return int(number * (1024 if in_kilobytes else UNITS[unit]))
