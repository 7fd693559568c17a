"""What `bench-llama` is built for: this machine, or phones by what their CPUs can do."""

from harness.errors import UnknownNameError
from harness.values import Name, Value

NATIVE = "native"
VERSION_8_2 = frozenset({"atomics", "asimdrdm"})
"""What compilers take for granted from Armv8.2-A on, as /proc/cpuinfo names it."""
HALF_FLOATS = frozenset({"fphp", "asimdhp"})


class Target(Value, frozen=True):
    """A kind of CPU that a program is built for."""

    name: Name
    march: str | None = None
    """Of the cross compiler; None: this machine's compiler and CPU."""
    needs: frozenset[str] = frozenset()
    """Features by their names in /proc/cpuinfo, which every core must have, or the program dies of SIGILL."""
    qemu_cpu: str = ""
    """The least CPU that qemu 7.2 knows and that can run it; empty: for no other machine."""


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(name=NATIVE),
        # The plainest first: where two are equally quick, the earlier one is taken.
        Target(name="aarch64", march="armv8-a", qemu_cpu="cortex-a53"),
        # All of Arm's own cores with dot products, from the Cortex-A55 on, compute with half floats too. Without
        # +fp16 ggml widens each of them, and F16 models lose what these cores are good at.
        Target(
            name="aarch64-dotprod",
            march="armv8.2-a+dotprod+fp16",
            needs=VERSION_8_2 | HALF_FLOATS | {"asimddp"},
            qemu_cpu="cortex-a76",
        ),
        # Not armv8.6-a, although i8mm belongs to it: Armv9.0 cores that have i8mm lack other parts of it.
        Target(
            name="aarch64-i8mm",
            march="armv8.2-a+dotprod+fp16+i8mm",
            needs=VERSION_8_2 | HALF_FLOATS | {"asimddp", "i8mm"},
            qemu_cpu="max",
        ),
    )
}
PHONE = tuple(target.name for target in TARGETS.values() if target.march is not None)
"""Names of the targets for phones, the plainest first."""


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        UnknownNameError: with the nearest known name.
    """
    if name not in TARGETS:
        raise UnknownNameError("target of a runner", name, TARGETS)
    return TARGETS[name]
