"""Prefill and decode, timed: the clock starts with token ids in memory and stops when a token is known."""

import time

from harness.measure.workers.hf.files import Events, say
from harness.measure.workers.pte.clocks import between, look
from harness.measure.workers.pte.jobs import SpeedJob
from harness.measure.workers.pte.program import Loaded


def run(job: SpeedJob, events: Events) -> None:
    loaded = Loaded(job)
    loaded.events(events)
    if job.prefix:
        loaded.read(list(job.prefix), 0)
    whole = job.warmups + job.repetitions
    for index in range(whole):
        idle_ns = _idle(job.idle_ms)
        before = look()
        logits_ns, token_ns = greedy(loaded, list(job.prompt), len(job.prefix), job.generated)
        counted = between(before, look())
        warmup = index < job.warmups
        events.write(
            "timing",
            index=index if warmup else index - job.warmups,
            warmup=warmup,
            prefix_tokens=len(job.prefix),
            prompt_tokens=len(job.prompt),
            generated_tokens=job.generated,
            logits_ns=logits_ns,
            token_ns=token_ns,
            discarded=False,
            canary_before=None,
            canary_after=None,
            idle_ns=idle_ns,
            threads=[],
            **counted,
        )
        say(f"progress {index + 1} {whole}")


def greedy(loaded: Loaded, prompt: list[int], position: int, count: int) -> tuple[int, list[int]]:
    """Nanoseconds from the start until the prompt's logits are ready, and until each of `count` tokens is known.

    End-of-generation tokens do not stop it.
    """
    start_ns = time.monotonic_ns()
    logits = loaded.read(prompt, position)
    logits_ns = time.monotonic_ns() - start_ns
    token = int(logits.argmax())
    times = [time.monotonic_ns() - start_ns]
    position += len(prompt)
    while len(times) < count:
        token = int(loaded.call([token], position).argmax())
        times.append(time.monotonic_ns() - start_ns)
        position += 1
    return logits_ns, times


def _idle(milliseconds: int) -> int:
    if not milliseconds:
        return 0
    start_ns = time.monotonic_ns()
    time.sleep(milliseconds / 1000)
    return time.monotonic_ns() - start_ns
