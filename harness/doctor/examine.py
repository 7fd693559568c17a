"""The whole examination: installed, quiet, and what can be told apart. Nothing is built or downloaded."""

import os

from harness.build.artifacts import Workshop
from harness.build.cache import cache_folder
from harness.build.runners import Runner
from harness.build.runners.choice import candidates
from harness.doctor import kernels
from harness.doctor.installed import (
    MAKE,
    find_cross_compiler,
    find_data,
    find_disk,
    find_model,
    find_packages,
    find_runner,
    find_toolchain,
)
from harness.doctor.machine import examine_machine
from harness.doctor.self_test import LEAST_ROUNDS, LONGEST_S, Kit, self_test
from harness.errors import BuildError
from harness.health import Check, Health, SelfTest
from harness.measure.devices import open_device
from harness.measure.inputs import Preparation
from harness.measure.jobs import Device
from harness.measure.kernel_check import Candidate
from harness.progress import Progress
from harness.values import Artifact, DeviceSpec, PhoneSpec, Suite, Variant

LOCAL = DeviceSpec(name="local")
PHONE_S = 900.0
"""A phone waits a minute before each trial, until it is cool."""
PHONE_TRIALS, PHONE_TRIAL_S = 2 * LEAST_ROUNDS, 60.0
"""Three rounds of two sides take as long as the phone rests, and so long each."""
MAKE_PHONE = "bench build --runners phone"
TESTED = "int4-ptq"
"""The smallest artifact of suite `quick`: its trials are short, so a minute holds most rounds of it."""


def examine(device: Device, suite: Suite, progress: Progress, *, quick: bool) -> Health:
    """Everything about this machine; `quick` leaves the A/A test out. The device is released, whatever happens.

    Raises:
        SetupError: the cache folder cannot be made.
        DeviceError: the phone is out of reach, taken, or not the named one.
    """
    try:
        return _examined(device, suite, progress, quick=quick)
    finally:
        device.release()


def _examined(device: Device, suite: Suite, progress: Progress, *, quick: bool) -> Health:
    cache_folder()
    variant = next((v for v in suite.variants if v.name == TESTED), suite.variants[-1])
    tools = find_toolchain()
    workshop = Workshop(tools.runner, progress) if tools.runner else None
    artifact, changed = _stored(workshop, variant)
    parts = (
        *tools.parts,
        *find_packages(),
        find_cross_compiler(),
        *find_model(variant, artifact is not None),
        find_data(os.environ.get("BENCH_DATA")),
        find_disk(),
    )
    if device.spec.kind == "phone":
        checks, program, make = _of_phone(device)
    else:
        checks, program, make = examine_machine(), tools.runner, MAKE
    checked = kernels.unknown("--quick leaves it out" if quick else "there is no runner or no artifact to check")
    if quick:
        tested = SelfTest(state="skipped", reason="--quick leaves it out")
    elif tools.runner is None or workshop is None or program is None:
        tested = SelfTest(state="impossible", reason="the runner is not built", get=None if tools.impossible else make)
    elif artifact is None:
        tested = SelfTest(
            state="impossible", reason=changed or f"the artifact {variant.name} is not made yet", get=MAKE
        )
    else:
        preparation = Preparation(open_device(LOCAL), tools.runner, workshop, suite, progress)
        checked = _checked(device, suite, variant, artifact, program, preparation)
        tested = _tested(device, suite, variant, artifact, program, preparation)
    return Health(
        device=device.spec.name,
        parts=parts,
        checks=(*checks, checked),
        self_test=tested,
        impossible=tools.impossible,
    )


def _of_phone(device: Device) -> tuple[tuple[Check, ...], Runner | None, str]:
    """Checks of a phone, the best build for it that is made already, and how to make one."""
    from harness.doctor.phone import phone_checks
    from harness.measure.devices.phone.device import PhoneDevice

    assert isinstance(device, PhoneDevice)
    wish = device.phone.runner
    targets = candidates(frozenset(device.facts().cpu_flags)) if wish == "auto" else (wish,)
    found = (find_runner(target)[0] for target in targets)
    return phone_checks(device), next((one for one in found if one is not None), None), MAKE_PHONE


def _stored(workshop: Workshop | None, variant: Variant) -> tuple[Artifact | None, str | None]:
    """(The artifact if it is in the store, why what is there cannot be used)."""
    if workshop is None:
        return None, None
    try:
        return workshop.stored(variant), None
    except BuildError as error:
        return None, str(error)


def _checked(
    device: Device, suite: Suite, variant: Variant, artifact: Artifact, program: Runner, preparation: Preparation
) -> Check:
    candidate = Candidate(program=program, device=device, runtime=suite.runtimes[0], variant=variant, artifact=artifact)
    return kernels.kernels(candidate, preparation)


def _tested(
    device: Device,
    suite: Suite,
    variant: Variant,
    artifact: Artifact,
    program: Runner,
    preparation: Preparation,
) -> SelfTest:
    kit = Kit(
        device=device,
        facts=device.facts(),
        artifact=artifact,
        program=program.path,
        runner_sha256=program.sha256,
        prompt=lambda count: preparation.prompt(variant.model, artifact, count),
    )
    try:
        kit.prompt(1)
    except BuildError as error:
        return SelfTest(state="impossible", reason=str(error), variant=variant.name)
    seconds, most_s = LONGEST_S, 0.0
    if isinstance(phone := device.spec.phone, PhoneSpec):
        seconds, most_s = PHONE_S, PHONE_TRIALS * (phone.cool_down.most_s + PHONE_TRIAL_S)
    return self_test(suite, variant, kit, preparation.progress, seconds, most_s=most_s)
