"""Claims judged by runs: `check` is the way in."""

from harness.analyse.verdicts.check import broken, check
from harness.analyse.verdicts.values import Check, Verdict

__all__ = ["Check", "Verdict", "broken", "check"]
