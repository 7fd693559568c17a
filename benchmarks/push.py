"""How fast a file gets to a phone: `python benchmarks/push.py`.

The same file is pushed to a stand-in phone over loopback by the real adb client, by the harness through the adb
server, and by the harness directly, in turns whose order is drawn anew each round. `placed` is what a run does with a
file: in pieces that are put together on the phone, with a look at the room there, and verified by its hash. Printed
are medians, and the ratios to the real client, medians over rounds: wanted of the plain pushes are at least 1.0 through
the server and 0.8 directly. The stand-in keeps what it gets in memory, and is the same for all.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from adbutils import adb_path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.build.cache import sha256_file
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.adb.open import open_connection
from harness.measure.devices.phone.place import place
from tests.standin.device import StandIn
from tests.standin.fixtures import free_port

TARGET = "/data/local/tmp/pushed"


def ways(phone: StandIn, source: Path) -> dict[str, Callable[[], None]]:
    """Name → a push by it; the real client first."""
    server = open_connection(None, phone.address, "server")
    direct = open_connection(None, phone.address, "direct")
    sha256 = sha256_file(source)  # a run knows it before

    def client() -> None:
        argv = [adb_path(), "-s", phone.address, "push", str(source), TARGET]
        subprocess.run(argv, check=True, capture_output=True)

    return {
        "adb client": client,
        "server": lambda: server.push(source, TARGET),
        "direct": lambda: direct.push(source, TARGET),
        "server, placed": lambda: _place(server, source, sha256),
        "direct, placed": lambda: _place(direct, source, sha256),
    }


def _place(connection: Connection, source: Path, sha256: str) -> None:
    placed = place(connection, source, TARGET, sha256)
    assert placed.sent_bytes == source.stat().st_size and placed.unverified is None, placed


def measure(folder: Path, size: int, rounds: int, seed: int) -> dict[str, list[float]]:
    """Seconds of every push."""
    source = folder / "source"
    with open(source, "wb") as file:
        file.writelines(os.urandom(1_000_000) for _ in range(size // 1_000_000))
    phone = StandIn(folder, quota_bytes=size * 2)
    try:
        by_name = ways(phone, source)
        seconds: dict[str, list[float]] = {name: [] for name in by_name}
        draw = random.Random(seed)
        for number in range(rounds + 1):
            for name in draw.sample(list(by_name), len(by_name)):
                phone.remove(TARGET)
                started = time.monotonic()
                by_name[name]()
                if number:  # the first round warms everybody up
                    seconds[name].append(time.monotonic() - started)
        return seconds
    finally:
        phone.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    os.environ["ANDROID_ADB_SERVER_PORT"] = str(free_port())
    try:
        with tempfile.TemporaryDirectory() as folder:
            seconds = measure(Path(folder), arguments.megabytes * 1_000_000, arguments.rounds, arguments.seed)
    finally:
        subprocess.run([adb_path(), "kill-server"], capture_output=True, check=False)
    print(f"{arguments.megabytes} MB, {arguments.rounds} rounds")
    for name, times in seconds.items():
        ratio = median(real / ours for real, ours in zip(seconds["adb client"], times, strict=True))
        rates = [arguments.megabytes / t for t in times]
        spread = f"{min(rates):.0f} to {max(rates):.0f}"
        print(f"{name:<14} {median(rates):5.0f} MB/s ({spread}), {ratio:.2f} × the real client")


if __name__ == "__main__":
    main()
