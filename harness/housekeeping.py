"""What the cache may lose, and what is pinned in it: the paths of `bench gc`."""

import time
from collections.abc import Iterator, Sequence

import msgspec

from harness.build.artifacts import MANIFEST, Manifest
from harness.build.cache import cache_folder, nobody_uses_it, only_one
from harness.build.needs import needed, needed_tools
from harness.build.waste import DAY_S, Entry, Pins, entries, old, read_pins, remove, write_pins
from harness.config import find_suite, list_suites, load_suite
from harness.device_files import load_devices
from harness.errors import InputError, UnknownNameError
from harness.pipeline import known_names

SHORTEST_HASH = 8


def collect(keep_days: int, *, dry_run: bool) -> Iterator[str]:
    """Say what is removed and how many bytes that frees, then remove it.

    Raises:
        ConfigError: a suite is wrong, so that what it needs is not known; nothing is removed.
        InputError: a bench process uses the cache.
    """
    with nobody_uses_it():
        kept = needed_here().union(*read_pins().held.values())
        waste = [e for e in entries() if (e.left_over or e.id not in kept) and old(e, keep_days)]
        yield from map(_line, waste)
        total = sum(entry.bytes for entry in waste)
        what = f"{_entries(len(waste))}, {size(total)} of {cache_folder()}"
        if dry_run or not waste:
            yield f"would free {what}" if waste else f"nothing to remove from {cache_folder()}"
            return
        yield f"freeing {what}"
        freed = [entry.bytes for entry in waste if remove(entry, keep_days)]
        yield f"freed {_entries(len(freed))}, {size(sum(freed))}"


def needed_here() -> set[str]:
    """What the suites of the working directory and of the project need, and this machine's runner."""
    known, devices = known_names(), load_devices()
    suites = [load_suite(name, known, devices) for name in list_suites()]
    return needed_tools().union(*map(needed, suites))


def pin(name: str) -> str:
    """Keep an artifact, by its key or sha256, or all that a suite needs now; returns what was done.

    Raises:
        UnknownNameError: neither an artifact nor a suite.
    """
    held = _artifacts_named(name) or _suite_named(name)
    hold(name, sorted(held))
    return f"pinned {name}: {_entries(len(held))} of the cache"


def hold(name: str, held: Sequence[str]) -> None:
    """Pin exactly these entries (`kind/name`) under this name: what it held before is let go."""
    with only_one("pins"):
        write_pins(Pins(held={**read_pins().held, name: tuple(held)}))


def unpin(name: str) -> str:
    """Take a pin away.

    Raises:
        UnknownNameError: no such pin; those that there are, are named.
    """
    with only_one("pins"):
        held = read_pins().held
        if name not in held:
            raise UnknownNameError("pin", name, held)
        write_pins(Pins(held={key: value for key, value in held.items() if key != name}))
    return f"unpinned {name}"


def size(count: int) -> str:
    """Bytes for people."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << power:
            return f"{count / (1 << power):.1f} {unit}"
    return f"{count} bytes"


def _suite_named(name: str) -> set[str]:
    try:
        find_suite(name)
    except UnknownNameError:
        raise UnknownNameError("artifact or suite", name, [*list_suites(), *_manifests()]) from None
    return needed(load_suite(name, known_names(), load_devices()))


def _artifacts_named(name: str) -> set[str]:
    """By key, or by at least 8 digits of the file's sha256.

    Raises:
        InputError: several artifacts begin so.
    """
    manifests = _manifests()
    found = {
        key
        for key, manifest in manifests.items()
        if name == key or (len(name) >= SHORTEST_HASH and manifest.file.sha256.startswith(name))
    }
    if len(found) > 1 and len({manifests[key].file.sha256 for key in found}) > 1:
        raise InputError(f"several artifacts begin with {name!r}: give more digits")
    return {f"artifacts/{key}" for key in found}


def _manifests() -> dict[str, Manifest]:
    found = {}
    for entry in entries():
        path = entry.path / MANIFEST
        if entry.kind == "artifacts" and not entry.left_over and path.is_file():
            found[entry.name] = msgspec.json.decode(path.read_bytes(), type=Manifest)
    return found


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _line(entry: Entry) -> str:
    days = max(0, int((time.time() - entry.used_s) / DAY_S))
    what = "left by a killed process" if entry.left_over else f"not used for {days} days"
    return f"  {entry.id}  {size(entry.bytes)}  {what}"
