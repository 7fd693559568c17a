"""devices.yaml → devices by name, and where each phone is.

Three files, of which later ones win key by key: the project's own (or `./devices.yaml` in its place), then the
user's, `bench/devices.yaml` in the configuration folder, where serial numbers and addresses of own phones belong.
What says where a phone is stays apart from what is expected of it: only the latter travels in plans.
"""

import os
from pathlib import Path
from typing import Any, Literal

from harness.config import PROJECT, Document
from harness.errors import UnknownNameError, unknown_name
from harness.values import DeviceReach, DeviceSpec, PhoneSpec, Value
from harness.values.phones import Address, Serial

KINDS = ("local", "phone")


class ReachFile(Value, frozen=True):
    """One of the two."""

    serial: Serial | None = None
    tcp: Address | None = None


class LocalFile(Value, frozen=True):
    """A machine in devices.yaml."""

    kind: Literal["local"] = "local"
    title: str = ""


class PhoneFile(PhoneSpec, frozen=True, kw_only=True):
    """A phone in devices.yaml: what is expected of it, and where it is."""

    kind: Literal["phone"]
    title: str = ""
    reach: Literal["auto"] | ReachFile = "auto"
    via: Literal["auto", "server", "direct"] = "auto"


class KnownDevice(Value, frozen=True):
    """One device of the files."""

    spec: DeviceSpec
    reach: DeviceReach


def load_devices(path: Path | None = None) -> dict[str, DeviceSpec]:
    """The devices known by name; `path`: of that file alone.

    Raises:
        ConfigError: with file, line and path.
    """
    return {name: known.spec for name, known in load_known(path).items()}


def load_reach(name: str, path: Path | None = None) -> DeviceReach:
    """Where a phone is, as the files say now.

    Raises:
        ConfigError: with file, line and path.
        UnknownNameError: no file knows the name.
    """
    known = load_known(path)
    if name not in known:
        raise UnknownNameError("device", name, known)
    return known[name].reach


def load_known(path: Path | None = None) -> dict[str, KnownDevice]:
    """Every device of the files, with where it is.

    Raises:
        ConfigError: with file, line and path.
    """
    document = Document(path) if path is not None else _all_files()
    found: dict[str, KnownDevice] = {}
    for name, entry in document.data.items():
        inner = f"$.{name}"
        if not isinstance(entry, dict):
            raise document.error("expected a mapping", inner)
        found[name] = _known(document, name, entry, inner)
    return found


def user_file() -> Path:
    """The user's own devices.yaml, there or not."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "bench" / "devices.yaml"


def _all_files() -> Document:
    here, own = Path("devices.yaml"), user_file()
    document = Document(here if here.is_file() else PROJECT / "devices.yaml")
    if own.is_file():
        later = Document(own)
        document.data = {
            **document.data,
            **{name: _over(document.data.get(name), entry) for name, entry in later.data.items()},
        }
        document.lines = {**document.lines, **later.lines}
    return document


def _over(base: Any, entry: Any) -> Any:
    """Keys of a device are replaced one by one, each as a whole: an own `reach` is no part of another one."""
    return {**base, **entry} if isinstance(base, dict) and isinstance(entry, dict) else entry


def _known(document: Document, name: str, entry: dict[str, Any], inner: str) -> KnownDevice:
    kind = entry.get("kind", "local")
    if kind not in KINDS:
        raise document.error(unknown_name("kind of device", str(kind), KINDS), f"{inner}.kind")
    if kind == "local":
        local: LocalFile = document.convert(LocalFile, entry, inner)
        # Converted again with its name, so that a wrong name is said with its place.
        spec = document.convert(DeviceSpec, {"name": name, "kind": "local", "title": local.title}, inner)
        return KnownDevice(spec=spec, reach=DeviceReach())
    phone: PhoneFile = document.convert(PhoneFile, entry, inner)
    expected = {field: entry[field] for field in PhoneSpec.__struct_fields__ if field in entry}
    parts = {"name": name, "kind": "phone", "title": phone.title, "phone": expected}
    return KnownDevice(spec=document.convert(DeviceSpec, parts, inner), reach=_reach(document, phone, inner))


def _reach(document: Document, phone: PhoneFile, inner: str) -> DeviceReach:
    where = ReachFile() if phone.reach == "auto" else phone.reach
    if phone.reach != "auto" and (where.serial is None) == (where.tcp is None):
        raise document.error("expected `auto`, or one of `serial` and `tcp`", f"{inner}.reach")
    try:
        return DeviceReach(serial=where.serial, tcp=where.tcp, via=phone.via)
    except ValueError as error:
        raise document.error(str(error), f"{inner}.via") from None
