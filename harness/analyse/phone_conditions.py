"""Under which conditions a phone was measured: what it is, how it was set, how it was found before."""

from harness.analyse.findings import ConditionValue
from harness.analyse.trials import observed
from harness.store import Run
from harness.values import DeviceFacts, DeviceSpec, PhoneFacts, PhoneSpec, PhoneState, Preflight, Surroundings

FACTS = {
    "soc": "chip",
    "platform": "platform",
    "android": "Android",
    "fingerprint": "the system's build",
}


def of_phone(spec: DeviceSpec | None, facts: DeviceFacts | None) -> dict[str, str]:
    """Name → value; empty where the device is no phone."""
    found: dict[str, str] = {}
    if spec is not None and isinstance(spec.phone, PhoneSpec):
        found["cooling"] = "as sold" if spec.phone.regime == "as-sold" else "cooled from outside"
    if facts is not None and isinstance(facts.phone, PhoneFacts):
        for field, name in FACTS.items():
            found[name] = getattr(facts.phone, field) or "the phone does not say"
    return found


def of_surroundings(around: Surroundings) -> dict[str, str]:
    """Of one job: the cores that it could use, the cable, and the settings while it ran."""
    found = {}
    if around.affinity:
        allowed = "not seen" if around.allowed is None else ", ".join(map(str, around.allowed))
        found["cores that the program could use"] = allowed
    if around.charging is not None:
        found["cable"] = around.charging
    for one in around.settings:
        value = one.missing if one.during is None else one.during
        found[f"setting {one.space}/{one.key}"] = value or "not seen"
    if around.fixed_performance is not None:
        found["mode of fixed performance"] = around.fixed_performance
    return found


def before_runs(run: Run, device: str) -> tuple[ConditionValue, ...]:
    """How the phone was found each time that a run took it: once, and again after a restart of either side."""
    cells = {cell.key for cell in run.plan.cells if cell.device == device}
    looked_at = observed([record for record in run.records if record.cell in cells], Preflight)
    return tuple(ConditionValue(value=_in_words(one), where="") for one in looked_at)


def _in_words(one: Preflight) -> str:
    found = [*_of_state(one.state), *(finding.seen for finding in one.findings if finding.state != "unknown")]
    unknown = sorted(finding.name for finding in one.findings if finding.state == "unknown")
    return "; ".join([*found, *([f"not seen: {', '.join(unknown)}"] if unknown else [])])


def _of_state(state: PhoneState) -> list[str]:
    parts = (
        ("battery", state.battery_percent, "{:.0f} %"),
        ("battery", state.battery_c, "{:.1f} °C"),
        ("hottest zone of the processor", state.cpu_c, "{:.1f} °C"),
        ("skin", state.skin_c, "{:.1f} °C"),
        ("cores busy with other work", state.busy_cores, "{:.1f}"),
    )
    return [f"{name} {form.format(value)}" for name, value, form in parts if value is not None]
