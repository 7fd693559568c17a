"""One phone has one name in a run, and a run stays on the phone it began with."""

import msgspec
import pytest

from harness.errors import InputError, WrongDeviceError
from harness.measure.floor import _check_same
from harness.pipeline import _check_apart
from harness.values import DeviceFacts, PhoneFacts
from tests.unit.test_plan import FACTS


def phone(serial: str, *, expected: bool = False) -> DeviceFacts:
    return msgspec.structs.replace(FACTS, host_hash=serial, phone=PhoneFacts(expected=expected))


def test_two_names_of_one_phone_are_refused() -> None:
    _check_apart({"a": phone("1"), "b": phone("2"), "c": phone(""), "d": phone(""), "local": FACTS, "other": FACTS})
    with pytest.raises(InputError, match="'a' and 'b' are one and the same phone"):
        _check_apart({"a": phone("1"), "b": phone("1")})


def test_a_run_does_not_go_on_with_another_phone_of_the_same_model() -> None:
    _check_same("a", phone("1"), phone("1"))
    _check_same("a", phone("1", expected=True), phone("2"))
    _check_same("local", FACTS, msgspec.structs.replace(FACTS, host_hash="another"))
    with pytest.raises(WrongDeviceError, match="another phone than the one that this run began with"):
        _check_same("a", phone("1"), phone("2"))
