"""devices.yaml: phones, files of one's own, and what must never reach a plan."""

from pathlib import Path

import msgspec
import pytest

from harness.config import PROJECT, Document
from harness.device_files import load_devices, load_known, load_reach
from harness.errors import ConfigError, UnknownNameError
from harness.pipeline import known_names
from harness.schema import schema_of
from harness.store import encode
from harness.values import DeviceFacts, DeviceReach, DeviceSpec, PhoneSpec
from tests.schemas import errors

PHONE = """\
mine:
  kind: phone
  title: a phone
  reach: {serial: 1a2b3c4d}
  models: [Pixel 8, Pixel 8 Pro]
  memory_bytes: 8589934592
  clusters:
    - {core: Cortex-A510, role: little, cores: 4}
    - {core: Cortex-A715, role: big, cores: 4, max_khz: 2370000}
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of the person who runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def written(folder: Path, text: str, name: str = "d.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_phone_with_all_that_is_expected(tmp_path: Path) -> None:
    known = load_known(written(tmp_path, PHONE))["mine"]
    assert known.reach == DeviceReach(serial="1a2b3c4d")
    phone = known.spec.phone
    assert isinstance(phone, PhoneSpec)
    assert (known.spec.kind, known.spec.title, phone.models) == ("phone", "a phone", ("Pixel 8", "Pixel 8 Pro"))
    assert phone.usable_cores == 4
    assert (phone.regime, phone.runner, phone.cool_down.least_s, phone.cool_down.skin_c) == ("as-sold", "auto", 60, 35)


def test_where_a_phone_is_reaches_no_plan(tmp_path: Path) -> None:
    text = PHONE + "other:\n  kind: phone\n  reach: {tcp: 192.168.7.20:5555}\n  via: direct\n"
    path = written(tmp_path, text)
    specs = encode(list(load_devices(path).values()))
    assert b"1a2b3c4d" not in specs and b"192.168" not in specs
    assert load_reach("other", path) == DeviceReach(tcp="192.168.7.20:5555", via="direct")
    with pytest.raises(UnknownNameError, match="did you mean 'mine'"):
        load_reach("mien", path)


WRONG = [
    ("kind: phone", "kind: fone", "mine.kind", "did you mean 'phone'"),
    ("models:", "modles:", "modles", "did you mean 'models'"),
    ("reach: {serial: 1a2b3c4d}", "reach: {seral: 1}", "seral", "did you mean 'serial'"),
    ("reach: {serial: 1a2b3c4d}", "reach: {}", "reach", "one of `serial` and `tcp`"),
    ("reach: {serial: 1a2b3c4d}", "reach: {serial: a, tcp: b}", "reach", "one of `serial` and `tcp`"),
    ("reach: {serial: 1a2b3c4d}", "reach: {serial: '-x'}", "serial", "text matching"),
    ("reach: {serial: 1a2b3c4d}", "reach: {serial: 'a b'}", "serial", "text matching"),
    ("reach: {serial: 1a2b3c4d}", 'reach: {serial: "a\\nb"}', "serial", "text matching"),
    ("reach: {serial: 1a2b3c4d}", "reach: {serial: 12345678}", "serial", "expected text"),
    ("reach: {serial: 1a2b3c4d}", "reach: {tcp: '$(id):5555'}", "tcp", "text matching"),
    ("reach: {serial: 1a2b3c4d}", "reach: {tcp: 'a;b:1'}", "tcp", "text matching"),
    ("reach: {serial: 1a2b3c4d}", "via: direct", "via", "needs `tcp: HOST:PORT`"),
    ("role: little", "role: tiny", "role", "tiny"),
    ("cores: 4}", "cores: 0}", "cores", ">= 1"),
    ("memory_bytes: 8589934592", "memory_bytes: much", "memory_bytes", "whole number"),
    ("title: a phone", "battery_percent: 101", "battery_percent", "<= 100"),
    ("title: a phone", "cool_down: {least_s: 400}", "cool_down", "most_s (300) is less than least_s (400)"),
    ("title: a phone", "cool_down: {leasts: 1}", "leasts", "did you mean 'least_s'"),
    ("title: a phone", "affinity: small", "affinity", "small"),
    ("title: a phone", "regime: cold", "regime", "cold"),
    ("title: a phone", "name: x", "name", "unknown key 'name'"),
]


@pytest.mark.parametrize(("old", "new", "place", "said"), WRONG)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path, old: str, new: str, place: str, said: str) -> None:
    text = PHONE.replace(old, new, 1)
    assert text != PHONE
    with pytest.raises(ConfigError) as caught:
        load_known(written(tmp_path, text))
    message = str(caught.value)
    line = next(n for n, one in enumerate(text.splitlines(), 1) if new.split("\n")[0] in one)
    assert message.startswith(f"{tmp_path / 'd.yaml'}:{line}: mine") and place in message and said in message
    assert message.isprintable()


def test_an_address_needs_no_port_and_may_be_v6(tmp_path: Path) -> None:
    for address in ("phone.lan", "10.0.0.7:5555", "'[fe80::1]:5555'"):
        text = PHONE.replace("{serial: 1a2b3c4d}", f"{{tcp: {address}}}")
        assert load_reach("mine", written(tmp_path, text)).tcp == address.strip("'")


def test_a_file_of_ones_own_wins_key_by_key(tmp_path: Path) -> None:
    own = "oneplus12:\n  reach: {serial: abc}\nshelf:\n  kind: phone\n  title: on the shelf\n"
    written(tmp_path / "config" / "bench", own, "devices.yaml")
    known = load_known()
    assert known["oneplus12"].reach.serial == "abc"
    expected = load_devices(PROJECT / "devices.yaml")["oneplus12"]
    assert known["oneplus12"].spec == expected
    assert known["shelf"].spec.title == "on the shelf" and "local" in known


def test_an_error_in_a_file_of_ones_own_names_that_file(tmp_path: Path) -> None:
    path = written(tmp_path / "config" / "bench", "oneplus12:\n  reech: auto\n", "devices.yaml")
    with pytest.raises(ConfigError, match="did you mean 'reach'") as caught:
        load_known()
    assert str(caught.value).startswith(f"{path}:2: oneplus12.reech")


def test_a_reach_of_ones_own_takes_the_place_of_the_other(tmp_path: Path) -> None:
    written(tmp_path, "mine:\n  kind: phone\n  reach: {tcp: 'a:1'}\n", "devices.yaml")
    written(tmp_path / "config" / "bench", "mine:\n  reach: {serial: s}\n", "devices.yaml")
    assert load_reach("mine") == DeviceReach(serial="s")


# ---------------------------------------------------------------- the shipped file


def test_the_shipped_phones_say_no_serial_and_are_told_apart() -> None:
    known = load_known()
    phones = {name: one for name, one in known.items() if one.spec.kind == "phone"}
    assert {"oneplus12", "galaxy-s24plus-exynos", "galaxy-s22-snapdragon", "nothing-phone-2a", "pixel-8"} <= set(phones)
    models: list[str] = []
    for name, one in phones.items():
        assert one.reach == DeviceReach(), name
        assert isinstance(one.spec.phone, PhoneSpec)
        models += one.spec.phone.models
        if one.spec.phone.clusters:
            assert one.spec.title and one.spec.phone.soc and one.spec.phone.soc_models and one.spec.phone.memory_bytes
            assert any(cluster.role == "little" for cluster in one.spec.phone.clusters)
    assert len(models) == len(set(models))


def test_the_oneplus_of_the_published_figures() -> None:
    phone = load_devices()["oneplus12"].phone
    assert isinstance(phone, PhoneSpec) and phone.memory_bandwidth is not None
    assert (phone.usable_cores, phone.memory_bytes, phone.memory_bandwidth.gb_s) == (6, 16 << 30, 76.8)


def test_the_schema_knows_both_kinds(tmp_path: Path) -> None:
    schema = schema_of("devices", known_names())
    builtin = msgspec.json.decode(msgspec.json.encode(schema))
    assert not list(errors(Document(PROJECT / "devices.yaml").data, builtin))
    assert not list(errors(Document(written(tmp_path, PHONE)).data, builtin))
    for old, new, _, _ in WRONG[:3] + WRONG[11:16]:
        if "via" not in new:
            assert list(errors(Document(written(tmp_path, PHONE.replace(old, new, 1))).data, builtin)), new


# ---------------------------------------------------------------- files of old

OLD_SPEC = b'{"name":"local","kind":"local","title":"this machine"}'
OLD_FACTS = (
    b'{"device":"local","model":"m","os":"o","arch":"x86_64","cpu":"c","logical_cpus":4,"usable_cores":2,'
    b'"memory_bytes":null,"llc_bytes":null,"cpu_flags":[],"virtual":null,"governor":null,"host_hash":"","missing":{}}'
)


def test_what_was_written_before_phones_reads_and_is_written_the_same() -> None:
    """Facts are told apart by a hash of what is written: that of a machine must not change by an update."""
    assert encode(msgspec.json.decode(OLD_SPEC, type=DeviceSpec)) == OLD_SPEC
    assert encode(msgspec.json.decode(OLD_FACTS, type=DeviceFacts)) == OLD_FACTS


@pytest.mark.parametrize("text", [b'{"name":"p","kind":"phone"}', b'{"name":"p","kind":"local","phone":{}}'])
def test_exactly_a_phone_has_what_phones_have(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError, match="exactly if its `kind`"):
        msgspec.json.decode(text, type=DeviceSpec)
