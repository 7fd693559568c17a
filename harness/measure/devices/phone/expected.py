"""The facts of a phone that is not there, as devices.yaml expects them: enough to plan with."""

from harness.errors import InputError
from harness.measure.devices.phone.parsers.cpus import in_words
from harness.values import CoreCluster, DeviceFacts, DeviceSpec, PhoneFacts, PhoneSpec

UNSEEN = "expected by devices.yaml; no phone was looked at"


def expected_facts(spec: DeviceSpec, otherwise: int | None = None) -> DeviceFacts:
    """What is expected of a phone, in the form of what is seen on one.

    `otherwise`: cores that a model runs on where devices.yaml does not say them.

    Raises:
        InputError: devices.yaml does not say its cores, so that thread counts are not known.
    """
    phone = spec.phone
    assert isinstance(phone, PhoneSpec)
    cores = phone.usable_cores or otherwise
    if cores is None:
        raise InputError(
            f"device {spec.name!r}: devices.yaml does not say its `clusters`, so that the phone must be connected "
            "to plan for it (`bench devices`)"
        )
    clusters = _clusters(phone)
    return DeviceFacts(
        device=spec.name,
        model=spec.title or spec.name,
        os="Android",
        arch="aarch64",
        cpu=", ".join(part for part in (phone.soc, in_words(clusters)) if part) or "unknown",
        logical_cpus=sum(c.cores for c in phone.clusters) or cores,
        usable_cores=cores,
        memory_bytes=phone.memory_bytes,
        llc_bytes=None,
        missing=dict.fromkeys(("llc_bytes", "cpu_flags", "governor", "host_hash", "fingerprint"), UNSEEN),
        phone=PhoneFacts(clusters=clusters, soc=phone.soc or None, expected=True),
    )


def _clusters(phone: PhoneSpec) -> tuple[CoreCluster, ...]:
    """CPU numbers are guessed in the usual order, which the file follows or not: they are for counting."""
    found, first = [], 0
    for cluster in phone.clusters:
        cpus = tuple(range(first, first + cluster.cores))
        found.append(CoreCluster(cpus=cpus, role=cluster.role, core=cluster.core, max_khz=cluster.max_khz))
        first += cluster.cores
    return tuple(found)
