"""Two phones side by side against one: `python benchmarks/two_phones.py`.

Stand-ins whose programs sleep: what is seen is what the host and the lanes cost. Wanted: two phones take at most
1.15 times as long as one.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.store import read_run
from tests.phone_runs import go, set_up
from tests.standin.device import StandIn

MOST = 1.15


def seconds_of(names: str, idle_s: float, rounds: int) -> float:
    """How long a run on so many phones takes, from its first trial to its last record."""
    with tempfile.TemporaryDirectory(prefix="bench-two-phones-") as name:
        phones = {}
        for letter in names:
            (Path(name) / letter).mkdir()
            phones[letter] = StandIn(Path(name) / letter)
        try:
            addresses = {letter: one.address for letter, one in phones.items()}
            run = set_up(Path(name) / "host", addresses, f"sleep {idle_s:g}", rounds)
            begun = time.monotonic()
            go(run)
            took = time.monotonic() - begun
            assert [record.status for record in read_run(run).records] == ["ok"] * rounds * len(names)
            return took
        finally:
            os.chdir("/")
            for one in phones.values():
                one.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle-s", type=float, default=20.0, help="of each trial")
    parser.add_argument("--rounds", type=int, default=3, help="trials of each phone")
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="bench-keys-") as keys:
        os.environ["ANDROID_USER_HOME"] = keys
        for _ in range(arguments.times):
            one = seconds_of("a", arguments.idle_s, arguments.rounds)
            two = seconds_of("ab", arguments.idle_s, arguments.rounds)
            worst = max(worst, two / one)
            print(f"one {one:.1f} s, two {two:.1f} s: {two / one:.3f} times (wanted: at most {MOST})", flush=True)
    return int(worst > MOST)


if __name__ == "__main__":
    raise SystemExit(main())
