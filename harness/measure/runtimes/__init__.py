"""Runtimes: two pure functions each. name → module, loaded late; adding one is one module and one line.

A runtime module has `supports(cell, model) -> str | None` (why not, or None), `resolved(runtime, facts)`
(`auto` settings as they are on this device), `job(cell, inputs, facts) -> Job` and `parse(events) -> Parsed`.
"""

from importlib import import_module
from types import ModuleType

from harness.errors import UnknownNameError

RUNTIMES: dict[str, str] = {"llama.cpp": "harness.measure.runtimes.llama_cpp"}


def load_runtime(name: str) -> ModuleType:
    """The runtime of that name.

    Raises:
        UnknownNameError: with the nearest known name.
    """
    if name not in RUNTIMES:
        raise UnknownNameError("runtime", name, RUNTIMES)
    return import_module(RUNTIMES[name])
