"""The tree of errors.

BenchError                  anything the user can act on: printed as one line, never a traceback
├── InputError              the request is wrong (exit 2): suite, device, option, data
│   ├── ConfigError         a YAML file is wrong; knows file, line and path inside it
│   └── UnknownNameError    a name nobody knows; knows the choices and offers the nearest
├── SetupError              something the machine lacks (exit 2): compiler, network, package, disk
├── BuildError              an artifact or a runner could not be made (exit 1)
├── DeviceError             a phone refused or failed (exit 1)
│   ├── DeviceLostError         it is out of reach: cable, offline, no answer in time
│   ├── UnauthorizedDeviceError it does not trust this machine yet
│   ├── NoSpaceError            its storage is full
│   ├── DeviceBusyError         another run holds its lock
│   └── WrongDeviceError        its model or memory is not the named one
└── StoreError              a run folder cannot be read, written or resumed (exit 2)

A bug is any other exception and shows its traceback.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

LONGEST_MESSAGE = 2000


def one_line(text: str) -> str:
    """Files and programs may hand over line breaks, escape sequences or megabytes; a message must not hold them."""
    if len(text) > LONGEST_MESSAGE:
        text = text[: LONGEST_MESSAGE - 1] + "…"
    return "".join(c if c.isprintable() else "�" for c in text)


class BenchError(Exception):
    """Base of all errors for people, always one line; `exit_code` is what the command ends with."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class InputError(BenchError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class ConfigError(InputError):
    """A YAML file is wrong: `file:line: path: what`."""

    def __init__(self, what: str, *, file: Path, line: int | None = None, path: str = "") -> None:
        where = f"{file}:{line}" if line is not None else str(file)
        super().__init__(": ".join(part for part in (where, path, what) if part))
        self.file, self.line, self.path = file, line, path


class UnknownNameError(InputError):
    """A name that is not in its table."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        super().__init__(unknown_name(kind, name, known, where=where))


class SetupError(BenchError):
    """The machine lacks something; the message says how to get it."""

    exit_code = 2


class BuildError(BenchError):
    """An artifact or a runner could not be made."""


class DeviceError(BenchError):
    """A phone refused or failed; the message names it and says what to do."""


class DeviceLostError(DeviceError):
    """A phone is out of reach. What it was doing may go on there: look again after connecting anew."""


class UnauthorizedDeviceError(DeviceError):
    """A phone does not trust this machine's key yet."""


class NoSpaceError(DeviceError):
    """A phone's storage is full."""


class DeviceBusyError(DeviceError):
    """Another run holds a phone's lock."""


class WrongDeviceError(DeviceError):
    """A phone's model or memory is not the one of its name."""


class StoreError(BenchError):
    """A run folder cannot be used."""

    exit_code = 2


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: str = "") -> str:
    """One line: what is unknown, the nearest known name, and all known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" — did you mean {near[0]!r}?" if near else ""
    prefix = f"{where}: " if where else ""
    return f"{prefix}unknown {kind} {name!r}{hint} (known: {', '.join(names) or 'none'})"
