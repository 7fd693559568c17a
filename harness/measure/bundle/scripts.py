"""The shell scripts of a bundle, and what they are told. Pure but for reading the scripts' own parts."""

from collections.abc import Sequence
from pathlib import Path

from harness.build.runners.targets import TARGETS
from harness.measure.devices.phone import wrapper
from harness.measure.devices.phone.parsers.cpus import PARTS, is_little_name
from harness.measure.devices.phone.remote import KEPT_S
from harness.values import PhoneSpec

HERE = Path(__file__).with_name("script")
ARCHIVE, FOLDER, RESULT = "bench-bundle.tar", "bench-bundle", "bench-result.tar"
PUSHED_TO = "/data/local/tmp"
RUN_LINE = f"adb shell 'cd {PUSHED_TO} && tar xf {ARCHIVE} && sh {FOLDER}/run.sh'"
"""All that a stranger types once the archive is on the phone."""
MOST_STARTS = 2
"""Of a job that a reboot ended, or whose end nobody saw."""


def launcher() -> bytes:
    """`run.sh`."""
    return (HERE / "run.sh").read_bytes()


def driver() -> bytes:
    """`drive.sh` on the phone: the wrapper's base, how cores are told apart, the run, and what a person asks."""
    base = Path(wrapper.__file__).with_name("script") / "base.sh"
    own = (HERE / f"{part}.sh" for part in ("cores", "drive", "person"))
    return b"\n".join(path.read_bytes() for path in (base, *own))


def conf(owner: str, phone: PhoneSpec) -> str:
    """`bundle.conf`: one word and its value a line."""
    affinity = phone.affinity if isinstance(phone.affinity, str) else " ".join(map(str, phone.affinity))
    known = {f"0x{maker:02x}:0x{part:03x}": name for (maker, part), name in PARTS.items() if name != "Oryon"}
    little = [kind for kind, name in known.items() if is_little_name(name)]
    lines = {
        "owner": owner,
        "affinity": affinity,
        "keep_s": KEPT_S,
        "battery_percent": phone.battery_percent,
        "most_starts": MOST_STARTS,
        "little_parts": " ".join(little),
        "known_parts": " ".join(known),
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items())


def runner_lines(targets: Sequence[str]) -> str:
    """`runners.txt`: a target and the features that every core must have, the best guess first."""
    return "".join(f"{' '.join((name, *sorted(TARGETS[name].needs)))}\n" for name in targets)
