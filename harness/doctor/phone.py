"""A phone examined: what only the phone in front of one can show. Zones, settings, placement, then the A/A test."""

from collections.abc import Iterable, Iterator

from harness.health import Check, State
from harness.measure.devices.phone.device import PhoneDevice
from harness.measure.devices.phone.preflight import preflight
from harness.measure.devices.phone.probe import Probed
from harness.values import DeviceFacts, PhoneFacts, PhoneState, PreflightFinding

PROBE_S = 2


def phone_checks(device: PhoneDevice) -> tuple[Check, ...]:
    """Everything that is seen without a model.

    Raises:
        DeviceError: the phone is out of reach, taken, or not the named one.
    """
    facts, state = device.facts(), device.state()
    probed = device.probe(("sleep", str(PROBE_S)))
    return (
        *state_checks(preflight(device.spec, state).findings, state),
        *sensor_checks(facts),
        settings_check(probed),
        placement_check(probed),
        sampler_check(probed),
    )


def state_checks(findings: Iterable[PreflightFinding], state: PhoneState) -> Iterator[Check]:
    """The phone's state before a run, one check a finding; one good one where nothing was found."""
    found = tuple(findings)
    for one in found:
        if one.state == "unknown":
            yield Check(name=one.name, state="unknown", seen=None, reason=one.seen)
        else:
            yield Check(
                name=one.name, state="bad" if one.state == "refuse" else "doubtful", seen=one.seen, advice=one.advice
            )
    if not found:
        percent = "unknown" if state.battery_percent is None else f"{state.battery_percent:.0f} %"
        yield Check(name="state", state="good", seen=f"battery {percent}, {state.charging}, nothing stands out")


def sensor_checks(facts: DeviceFacts) -> Iterator[Check]:
    """Which temperatures can be read: what cannot is unknown to the gate, never cool."""
    phone = facts.phone if isinstance(facts.phone, PhoneFacts) else PhoneFacts()
    places = (
        ("processor's heat", phone.cpu_zones, phone.cpu_sensors),
        ("skin's heat", phone.skin_zones, phone.skin_sensors),
    )
    for name, zones, sensors in places:
        if zones:
            shown = ", ".join(zones[:6]) + (f" and {len(zones) - 6} more" if len(zones) > 6 else "")
            yield Check(name=name, state="good", seen=f"{len(zones)} zones: {shown}")
        elif sensors:
            yield Check(
                name=name,
                state="doubtful",
                seen=f"no zone can be read; the thermal service has {', '.join(sensors)}",
                effect="it is asked every half minute only, since asking wakes the phone",
            )
        else:
            yield Check(
                name=name,
                state="unknown",
                seen=None,
                reason="no zone can be read, and the thermal service tells none",
                effect="whether the phone has cooled down before a trial is unknown, and each record says so",
            )


def settings_check(probed: Probed) -> Check:
    """Whether what is changed for a job comes back."""
    name, seen = "settings", probed.settings
    if not seen.saved:
        return Check(
            name=name,
            state="doubtful",
            seen="the phone's settings could not be saved, so none was changed",
            effect="the screen may go off, and on with it what the phone does then",
        )
    changed = [one for one in seen.settings if one.during is not None and one.during != one.before]
    refused = [one.key for one in seen.settings if one.missing]
    wrong = [key for key, before, after in probed.compared if before != after]
    if seen.restored == "failed" or wrong:
        return Check(
            name=name,
            state="bad",
            seen=f"not put back: {', '.join(wrong) or 'unknown which'}",
            effect="the phone stays as it was set for measuring",
            advice="look at the phone's display settings",
        )
    said = f"{len(changed)} changed and put back"
    if refused:
        return Check(name=name, state="doubtful", seen=f"{said}; refused: {', '.join(refused)}")
    return Check(name=name, state="good", seen=said, values={"changed": float(len(changed))})


def placement_check(probed: Probed) -> Check:
    """Whether a program stays on the cores that it is bound to."""
    if not probed.cores:
        return Check(name="placement", state="unknown", seen=None, reason="the phone's clusters are not known")
    wanted = ", ".join(map(str, probed.cores))
    if probed.allowed is None:
        return Check(name="placement", state="unknown", seen=None, reason="the kernel did not say where it may run")
    if probed.allowed == probed.cores:
        return Check(name="placement", state="good", seen=f"a program stays on the cores {wanted}")
    return Check(
        name="placement",
        state="bad",
        seen=f"asked for the cores {wanted}, allowed were {', '.join(map(str, probed.allowed))}",
        effect="a thread on a little core holds up all others",
    )


def sampler_check(probed: Probed) -> Check:
    """Whether clocks and zones are seen while a program runs."""
    if not probed.samples:
        return Check(name="sampler", state="unknown", seen=None, reason="it wrote nothing while a program ran")
    clocks = f"clocks of {', '.join(probed.clocks)}" if probed.clocks else "no clock can be read"
    state: State = "good" if probed.clocks else "doubtful"
    return Check(name="sampler", state=state, seen=f"{probed.samples} samples in {PROBE_S} s, {clocks}")
