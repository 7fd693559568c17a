"""What is plugged in, as the adb server sees it."""

import re

import msgspec

from harness.errors import BenchError

DEVICE, UNAUTHORIZED, OFFLINE = "device", "unauthorized", "offline"
_LINE = re.compile(r"(?P<serial>\S+)\s+(?P<rest>.*)")
_FACT = re.compile(r"(?:^|\s)(?P<key>usb|product|model|device|transport_id|features):(?P<value>\S*)")


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `adb devices -l`."""

    serial: str
    state: str
    """`device` (ready), `unauthorized`, `offline`, or another of adb's words (`recovery`, `no permissions …`)."""
    model: str | None = None
    """As the server writes it: blanks are underscores. None until the phone trusts this machine."""
    product: str | None = None
    transport_id: int | None = None


def attached() -> tuple[Attached, ...]:
    """Every phone that the adb server knows, by serial; none where no server can be had."""
    try:
        from adbutils import AdbError

        from harness.measure.devices.adb.adb_server import adb_client

        try:
            with adb_client().make_connection(timeout=10.0) as connection:
                connection.send_command("host:devices-l")
                connection.check_okay()
                return parse_devices(connection.read_string_block())
        except (AdbError, OSError, ValueError):
            return ()
    except (BenchError, ImportError):
        return ()


def parse_devices(text: str) -> tuple[Attached, ...]:
    """The lines of the server's long list of devices."""
    return tuple(sorted((one for line in text.splitlines() if (one := _parse(line))), key=lambda one: one.serial))


def _parse(line: str) -> Attached | None:
    seen = _LINE.fullmatch(line.strip())
    if seen is None:
        return None
    facts = {fact["key"]: fact["value"] for fact in _FACT.finditer(seen["rest"])}
    first = _FACT.search(seen["rest"])
    transport = facts.get("transport_id", "")
    return Attached(
        serial=seen["serial"],
        state=(seen["rest"][: first.start()] if first else seen["rest"]).strip(),
        model=facts.get("model") or None,
        product=facts.get("product") or None,
        transport_id=int(transport) if re.fullmatch(r"[0-9]{1,18}", transport) else None,
    )
