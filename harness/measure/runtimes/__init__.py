"""Runtimes: two pure functions each. name → module, loaded late; adding one is one module and one line.

A runtime module has `FORMAT` (of the artifacts that it reads), `SETTINGS` (keys that a suite may give it),
`program(progress) -> Runner`, `supports(cell, variant) -> str | None` (why not, or None), `resolved(runtime, facts)`
(`auto` settings as they are on this device), `job(cell, inputs, facts) -> Job`, `tokenize_job(runner, …) -> Job`,
`beside_bytes(artifact)` (memory beside the artifact's bytes), and, where no phone can run it, `not_on_phones(cell)`.
Events are the same for all: `harness/measure/events.py`.
"""

from importlib import import_module
from types import ModuleType

from harness.errors import UnknownNameError

RUNTIMES: dict[str, str] = {
    "llama.cpp": "harness.measure.runtimes.llama_cpp",
    "executorch": "harness.measure.runtimes.executorch",
    "hf": "harness.measure.runtimes.hf",
}


def load_runtime(name: str) -> ModuleType:
    """The runtime of that name.

    Raises:
        UnknownNameError: with the nearest known name.
    """
    if name not in RUNTIMES:
        raise UnknownNameError("runtime", name, RUNTIMES)
    return import_module(RUNTIMES[name])
