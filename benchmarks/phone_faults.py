"""The table of a phone's faults and phases, many times over: `python benchmarks/phone_faults.py --times 25`.

Each cell is a whole job on a stand-in phone: see `tests/phone_faults.py` for what may be where in the table. Right is
a cell after which the status and its message are the fault's own, the phone has its settings back, no lock is stale,
and every answer is there once, in its place.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from adbutils import adb_path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.measure.devices.adb.open import Via
from tests.phone_faults import CASES, QUOTA_BYTES, Case, play
from tests.standin.device import StandIn
from tests.standin.fixtures import free_port


def once(case: Case, folder: Path, via: Via) -> list[str]:
    """What was not as it must be."""
    phone = StandIn(folder, quota_bytes=QUOTA_BYTES if case.fault == "full" else None)
    try:
        return play(case, folder / "host", phone, via)
    except AssertionError as error:
        return [str(error)]
    finally:
        phone.stop()


def many(case: Case, times: int, via: Via) -> tuple[Sequence[list[str]], Sequence[float]]:
    wrong, seconds = [], []
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="bench-faults-") as folder:
            begun = time.monotonic()
            wrong.append(once(case, Path(folder), via))
            seconds.append(time.monotonic() - begun)
    return [one for one in wrong if one], seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=25)
    parser.add_argument("--only", default="", help="cells with this in their name")
    parser.add_argument("--via", choices=("direct", "server"), default="direct")
    arguments = parser.parse_args()
    failures = 0
    os.environ.update(ANDROID_ADB_SERVER_PORT=str(free_port()), ADB_MDNS="0", ADB_LOCAL_TRANSPORT_MAX_PORT="0")
    with tempfile.TemporaryDirectory(prefix="bench-keys-") as keys:
        os.environ["ANDROID_USER_HOME"] = keys
        print(f"{'fault, phase':<32}{'right':>6}{'wrong':>6}{'s, median':>11}{'most':>7}", flush=True)
        for case in (one for one in CASES if arguments.only in one.name):
            wrong, seconds = many(case, arguments.times, arguments.via)
            failures += len(wrong)
            right = arguments.times - len(wrong)
            print(f"{case.name:<32}{right:>6}{len(wrong):>6}{median(seconds):>11.1f}{max(seconds):>7.1f}", flush=True)
            for one in wrong:
                print(f"    {'; '.join(one)}", flush=True)
        if arguments.via == "server":
            subprocess.run([adb_path(), "kill-server"], capture_output=True, check=False)
    return min(failures, 1)


if __name__ == "__main__":
    raise SystemExit(main())
