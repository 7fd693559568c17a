"""A phone's name → one attached phone; `bench devices`."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness import pipeline
from harness.cli import main
from harness.device_files import KnownDevice
from harness.errors import BenchError, DeviceLostError, InputError, UnauthorizedDeviceError
from harness.measure.devices.adb.attached import Attached
from harness.measure.devices.phone.resolve import may_be, resolve, serial_of
from harness.measure.devices.phone.roster import Listed, Seen, roster
from harness.values import DeviceReach, DeviceSpec, PhoneSpec


def phone(name: str, *models: str, **reach: str) -> KnownDevice:
    spec = DeviceSpec(name=name, kind="phone", title=name.title(), phone=PhoneSpec(models=models))
    return KnownDevice(spec=spec, reach=DeviceReach(**reach))  # type: ignore[arg-type]


def there(serial: str, model: str | None = "Pixel_8", state: str = "device") -> Attached:
    return Attached(serial=serial, state=state, model=model)


PIXEL = phone("pixel", "Pixel 8")
GALAXY = phone("galaxy", "SM-S926B", "SM-S926N")
ANY = phone("any")


def test_the_one_phone_of_the_model() -> None:
    plugged = [there("a"), there("b", "SM_S926B"), there("c", None, "unauthorized")]
    assert resolve(PIXEL.spec, PIXEL.reach, plugged).serial == "a"
    assert resolve(GALAXY.spec, GALAXY.reach, plugged).serial == "b"


def test_a_serial_or_an_address_names_one_of_several() -> None:
    plugged = [there("a"), there("b"), there("10.0.0.7:5555")]
    for reach, serial in (({"serial": "b"}, "b"), ({"tcp": "10.0.0.7"}, "10.0.0.7:5555")):
        assert resolve(PIXEL.spec, DeviceReach(**reach), plugged).serial == serial
    assert serial_of(DeviceReach(tcp="[fe80::1]")) == "[fe80::1]:5555"


TROUBLE = {
    "nothing": (PIXEL, [], DeviceLostError, "plug it in"),
    "another model": (PIXEL, [there("b", "SM_S926B")], DeviceLostError, "attached: b device"),
    "two that match": (PIXEL, [there("a"), there("b")], InputError, "set `reach: {serial: …}` of 'pixel'"),
    "two for any": (ANY, [there("a"), there("b", "SM_S926B")], InputError, r"any of 2 connected phones \(a, b\)"),
    "not trusted": (PIXEL, [there("a", None, "unauthorized")], UnauthorizedDeviceError, "accept"),
    "offline": (PIXEL, [there("a", None, "offline")], DeviceLostError, "is offline"),
    "not trusted before offline": (
        PIXEL, [there("a", None, "offline"), there("b", None, "unauthorized")], UnauthorizedDeviceError, "accept",
    ),
    "named and absent": (phone("p", serial="x"), [there("a")], DeviceLostError, r"\(x\) is not connected"),
    "named and not trusted": (
        phone("p", serial="x"), [there("x", None, "unauthorized"), there("a")], UnauthorizedDeviceError, "trust",
    ),
    "an address nobody is at": (phone("p", tcp="10.0.0.7"), [there("a")], DeviceLostError, "adb connect 10.0.0.7:5555"),
}  # fmt: skip


@pytest.mark.parametrize(("device", "plugged", "error", "said"), TROUBLE.values(), ids=TROUBLE)
def test_what_cannot_be_resolved_says_what_to_do(
    device: KnownDevice, plugged: list[Attached], error: type[BenchError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        resolve(device.spec, device.reach, plugged)
    assert str(caught.value).isprintable() and repr(device.spec.name) in str(caught.value)


serials = st.lists(st.text("abc$;' -", min_size=1, max_size=4), unique=True, max_size=5)


@given(serials, st.data())
def test_what_is_resolved_is_ready_and_fits(names: list[str], data: st.DataObject) -> None:
    models, states = st.sampled_from(["Pixel_8", "SM_S926B", None]), st.sampled_from(["device", "offline"])
    plugged = [there(name, data.draw(models), data.draw(states)) for name in names]
    device = data.draw(st.sampled_from([PIXEL, GALAXY, ANY]))
    fitting = [one for one in plugged if one.state == "device" and may_be(device.spec, one)]
    if len(fitting) == 1:
        assert resolve(device.spec, device.reach, plugged) == fitting[0]
    else:
        with pytest.raises((DeviceLostError, InputError)):
            resolve(device.spec, device.reach, plugged)


# ---------------------------------------------------------------- the list

LOCAL = KnownDevice(spec=DeviceSpec(name="local", title="this machine"), reach=DeviceReach())
KNOWN = {one.spec.name: one for one in (LOCAL, PIXEL, GALAXY)}


def listed(*plugged: Attached, seen: Seen | None = None) -> dict[str, Listed]:
    rows = roster(KNOWN, plugged, lambda _, __: seen or Seen(facts="Android 14"))
    return {row.name or str(row.serial): row for row in rows}


def states(*plugged: Attached, seen: Seen | None = None) -> dict[str, str]:
    return {name: row.state for name, row in listed(*plugged, seen=seen).items()}


def test_states_of_what_is_known_and_of_what_is_plugged_in() -> None:
    assert states() == {"local": "ready", "pixel": "not connected", "galaxy": "not connected"}
    assert states(there("a")) == {"local": "ready", "pixel": "ready", "galaxy": "not connected"}
    assert states(there("a"), there("b"))["pixel"] == "several"
    assert states(there("z", "A142"))["z"] == "ready"
    untrusted = states(there("z", None, "unauthorized"))
    assert untrusted == {"local": "ready", "pixel": "not connected", "galaxy": "not connected", "z": "unauthorized"}
    assert states(there("z", None, "no permissions"))["z"] == "offline"


def test_a_look_tells_another_phone_a_held_one_and_a_silent_one() -> None:
    for seen, state in (
        (Seen(differs="the phone reports 11 GiB"), "mismatch"),
        (Seen(holder="bench on lab-3"), "busy"),
        (Seen(error="a: it does not answer"), "no answer"),
    ):
        row = listed(there("a"), seen=seen)["pixel"]
        assert (row.state, row.serial) == (state, "a") and row.advice


def test_every_row_that_is_not_ready_says_what_to_do() -> None:
    plugged = (there("a"), there("b"), there("c", None, "unauthorized"), there("d", "X", "offline"), there("e", "Y"))
    for row in listed(*plugged).values():
        assert row.advice or (row.state == "ready" and row.name), row


def test_phones_are_asked_once_each() -> None:
    asked: list[str] = []

    def look(_: KnownDevice | None, one: Attached) -> Seen:
        asked.append(one.serial)
        return Seen()

    roster(KNOWN, [there("a"), there("b", "SM_S926N"), there("c", "Z"), there("d", None, "offline")], look)
    assert sorted(asked) == ["a", "b", "c"]


def test_the_command_prints_a_table_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = roster(KNOWN, [there("a"), there("z", None, "unauthorized")], lambda _, __: Seen(facts="evil\x1b[2J\nname"))
    monkeypatch.setattr(pipeline, "list_devices", lambda: rows)
    done = CliRunner().invoke(main, ["devices"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert [line.split()[:2] for line in lines if not line.startswith(" ")][:4] == [
        ["local", "ready"], ["pixel", "ready"], ["galaxy", "not"], ["–", "unauthorized"],
    ]  # fmt: skip
    assert any("accept" in line for line in lines) and all(line.isprintable() for line in lines)
    printed = json.loads(CliRunner().invoke(main, ["devices", "--json"]).output)
    assert [row["state"] for row in printed] == [row.state for row in rows]
