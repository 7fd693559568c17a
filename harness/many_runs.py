"""The same question to each of many runs, by several processes where there is much to read."""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from harness.store import RECORDS

T = TypeVar("T")
MUCH_BYTES = 32 << 20
"""From so many bytes of records on, starting more processes takes less time than it saves."""


def ask_each(
    question: Callable[[Path], T], folders: Sequence[Path], meanwhile: Callable[[], object] = lambda: None
) -> Iterator[T]:
    """The answers in the order of the folders; runs are independent of each other, so nothing else is shared.

    Import what the question needs before: processes that part afterwards have it already. What only this process
    needs may be imported `meanwhile`.
    """
    sizes = [path.stat().st_size for folder in folders if (path := folder / RECORDS).exists()]
    processes = min(len(os.sched_getaffinity(0)), len(folders))
    if processes < 2 or sum(sizes) < MUCH_BYTES:
        yield from map(question, folders)
        return
    # Values hold no cycles, and these processes end soon: their collector would only look in vain.
    with ProcessPoolExecutor(processes, mp_context=get_context("fork"), initializer=gc.disable) as pool:
        answers = pool.map(question, folders, chunksize=max(1, len(folders) // (4 * processes)))
        meanwhile()
        yield from answers
