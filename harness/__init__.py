"""bench: what a compressed small language model costs and saves, measured so that others can repeat it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pandas import DataFrame

__version__ = "0.1.0"


# Loaded late and by name: `import harness` stays light, and no room sees another one through the package.
def load_results(path: "str | Path") -> "DataFrame":
    """The rows of all runs below a folder, or of one run: every metric of every variant, cell and baseline.

    Raises:
        BenchError: no run there, or a damaged one.
    """
    frame: DataFrame = _frames().load_results(path)
    return frame


def load_records(path: "str | Path") -> "DataFrame":
    """One row for each trial and metric value of all runs below a folder, or of one run.

    Raises:
        BenchError: no run there, or a damaged one.
    """
    frame: DataFrame = _frames().load_records(path)
    return frame


def _frames() -> Any:
    return import_module("harness.frames")
