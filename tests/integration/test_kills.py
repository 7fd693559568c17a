"""The short form of benchmarks/kills.py: nothing lost, nothing doubled, every run complete."""

import random
from pathlib import Path

import pytest

from benchmarks.kills import Seen, killed_until_complete
from harness.values import Artifact

pytestmark = pytest.mark.runner


def test_kills_at_drawn_moments_lose_and_double_nothing(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    assert artifacts, "made before, so that kills fall on measuring"
    seen, draw = Seen(), random.Random(7)
    while seen.kills < 6:
        folder = tmp_path / f"run-{seen.runs}"
        folder.mkdir()
        killed_until_complete(folder, draw, seen, 6, span_s=3.0)
    assert seen.clean, seen
    assert seen.records > 0 and seen.host_kills > 0
