"""Before a run: whether this is the phone that was named, and whether it is in a state to be measured. Pure."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from harness.errors import WrongDeviceError
from harness.values import DeviceFacts, DeviceSpec, PhoneFacts, PhoneSpec, PhoneState, Preflight, PreflightFinding

LEAST_MEMORY, MOST_MEMORY = 0.82, 1.02
"""Of what a phone is sold with, the system reports so much: kernel and modem take the rest."""
BUSY_CORES = 0.3
MODERATE = 2
"""Android's thermal status from which it slows down what people notice."""
WARM_BATTERY_C = 40.0
ROOM = 256 << 20
"""Free storage that is left over beside what is pushed: Android slows down when it is nearly full."""
GIB = 1 << 30


def check_identity(spec: DeviceSpec, facts: DeviceFacts) -> None:
    """Refuse a phone that is not the named one.

    Raises:
        WrongDeviceError: its model, chip or memory is not the expected one.
    """
    if (why := differs(spec, facts)) is not None:
        raise WrongDeviceError(f"device {spec.name!r}: {why}; `bench devices` shows what is connected")


def differs(spec: DeviceSpec, facts: DeviceFacts) -> str | None:
    """Why a phone is not the named one, or None. What the phone does not say contradicts nothing."""
    expected, seen = spec.phone, facts.phone
    assert isinstance(expected, PhoneSpec) and isinstance(seen, PhoneFacts)
    if expected.models and not fits(facts.model, expected.models):
        return f"the phone's model is {facts.model}, expected {' or '.join(expected.models)}"
    if expected.soc_models and seen.soc and not fits(seen.soc, expected.soc_models):
        return f"the phone's chip is {seen.soc}, expected {' or '.join(expected.soc_models)}"
    if expected.memory_bytes is not None and facts.memory_bytes is not None:
        share = facts.memory_bytes / expected.memory_bytes
        if not LEAST_MEMORY <= share <= MOST_MEMORY:
            sold = f"{expected.memory_bytes / GIB:g} GiB"
            return f"the phone reports {facts.memory_bytes / GIB:.1f} GiB of memory, too far from the {sold} expected"
    return None


def fits(text: str, patterns: tuple[str, ...]) -> bool:
    """Whether a text fits one of the patterns, upper and lower case alike."""
    return any(fnmatchcase(text.lower(), pattern.lower()) for pattern in patterns)


def preflight(spec: DeviceSpec, state: PhoneState, *, push_bytes: int = 0) -> Preflight:
    """What is found in a phone's state; `push_bytes` are still to be pushed."""
    expected = spec.phone
    assert isinstance(expected, PhoneSpec)
    findings = (*_refusals(expected, state, push_bytes), *_warnings(expected, state), *_unknown(state))
    return Preflight(state=state, findings=findings)


def _refusals(expected: PhoneSpec, state: PhoneState, push_bytes: int) -> Iterator[PreflightFinding]:
    """What would spoil every number of the run, or end it."""
    least = expected.battery_percent
    if state.battery_percent is not None and state.battery_percent < least:
        yield _refuse("battery_percent", f"battery at {state.battery_percent:.0f} %", f"charge it to {least} % first")
    if state.power_save:
        yield _refuse("power_save", "the power saver is on", "it holds the clocks down: switch it off")
    need = push_bytes + ROOM
    if push_bytes and state.free_bytes is not None and state.free_bytes < need:
        seen = f"{state.free_bytes >> 20} MiB of storage are free, {need >> 20} MiB are needed"
        yield _refuse("free_bytes", seen, "remove something from the phone, or measure fewer variants")


def _warnings(expected: PhoneSpec, state: PhoneState) -> Iterator[PreflightFinding]:
    """What makes numbers doubtful, and is recorded with them."""
    plugged = None if state.charging is None else state.charging != "unplugged"
    if plugged is False and expected.charging == "plugged":
        yield _warn("charging", "no charger is plugged in", "long runs empty the battery: plug one in")
    if plugged and expected.charging == "unplugged":
        yield _warn("charging", f"a charger is plugged in ({', '.join(state.plugged)})", "unplug it, use Wi-Fi")
    if state.battery_c is not None and state.battery_c >= WARM_BATTERY_C:
        yield _warn("battery_c", f"the battery has {state.battery_c:.0f} °C", "let the phone cool")
    if plugged is False and state.screen_on is False:  # a timed job wakes the phone and keeps it awake
        yield _warn("screen_on", "the screen is off and no charger is plugged in", "it sleeps: leave the screen on")
    if state.airplane is False:
        yield _warn("airplane", "airplane mode is off", "radio work is other load: switch it on if adb runs by cable")
    if state.thermal_status is not None and state.thermal_status >= MODERATE:
        yield _warn("thermal_status", f"Android's thermal status is {state.thermal_status}", "let the phone cool")
    if state.busy_cores is not None and state.busy_cores > BUSY_CORES:
        names = ", ".join(f"{p.name} {p.cpu_percent:.0f} %" for p in state.busiest)
        seen = f"other programs use {state.busy_cores:.1f} cores" + (f" ({names})" if names else "")
        yield _warn("busy_cores", seen, "close them, or wait")


def _unknown(state: PhoneState) -> Iterator[PreflightFinding]:
    for name, why in state.missing.items():
        yield PreflightFinding(name=name, state="unknown", seen=why)


def _refuse(name: str, seen: str, advice: str) -> PreflightFinding:
    return PreflightFinding(name=name, state="refuse", seen=seen, advice=advice)


def _warn(name: str, seen: str, advice: str) -> PreflightFinding:
    return PreflightFinding(name=name, state="warn", seen=seen, advice=advice)
