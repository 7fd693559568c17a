"""Peak memory of one load, prefill and decode, in a process that does nothing else.

The interpreter and its libraries are in the process too: what it holds before the load is said beside the peak.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from harness.measure.workers.hf.files import Events
from harness.measure.workers.memory_lines import status_bytes
from harness.measure.workers.pte.jobs import MemoryJob
from harness.measure.workers.pte.program import Loaded
from harness.measure.workers.pte.speed import greedy

EVERY_S = 0.01


class Sampler:
    """The largest of what the kernel says of this process, looked at every 10 ms."""

    def __init__(self) -> None:
        self.samples = 0
        self.largest = {"anon": 0, "file": 0, "swap": 0, "both": 0}
        self._ended = threading.Event()

    def look(self) -> None:
        seen = status_bytes()
        swap = seen.get("VmSwap", 0)
        now = {"anon": seen.get("RssAnon", 0), "file": seen.get("RssFile", 0), "swap": swap}
        now["both"] = seen.get("VmRSS", 0) + swap
        self.largest = {name: max(size, now[name]) for name, size in self.largest.items()}
        self.samples += 1

    def watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.look()

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self.watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            self.look()


def run(job: MemoryJob, events: Events) -> None:
    sampler = Sampler()
    with sampler.watching():
        loaded = Loaded(job)
        loaded.events(events)
        greedy(loaded, list(job.prompt), 0, job.generated)
    seen, largest = status_bytes(), sampler.largest
    events.write(
        "memory",
        vm_hwm_bytes=seen.get("VmHWM"),
        rss_bytes=seen.get("VmRSS"),
        rss_anon_bytes=seen.get("RssAnon"),
        rss_file_bytes=seen.get("RssFile"),
        rss_shmem_bytes=seen.get("RssShmem"),
        swap_bytes=seen.get("VmSwap"),
        peak_anon_bytes=largest["anon"] or None,
        peak_file_bytes=largest["file"] or None,
        peak_swap_bytes=largest["swap"] if seen else None,
        peak_rss_plus_swap_bytes=largest["both"] or None,
        samples=sampler.samples,
        rss_before_load_bytes=loaded.before_bytes,
        rss_before_weights_bytes=loaded.before_bytes,
        rss_after_load_bytes=loaded.after_bytes,
        prompt_tokens=len(job.prompt),
        generated_tokens=job.generated,
    )
