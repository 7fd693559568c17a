"""The short form of benchmarks/nightly_kills.py: nights of two hosts at once, killed, lose and double nothing."""

import random
from pathlib import Path

import pytest

from benchmarks.nightly_kills import PAST, nights_of_two_hosts
from harness.store import find_runs
from harness.values import Artifact

pytestmark = pytest.mark.runner


def test_killed_nights_of_two_hosts_lose_and_double_nothing(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    assert artifacts, "made before, so that kills fall on nights"
    seen = nights_of_two_hosts(tmp_path, random.Random(3), 2, span_s=4.0)
    assert seen.clean, seen
    assert seen.kills >= 2 and seen.reruns > 0 and seen.records > 0
    runs = [path.name for path in find_runs(tmp_path / "results")]
    assert len(runs) == 2 * PAST + seen.nights + seen.reruns
