"""An artifact's logits on a device against its logits on the host, before its numbers there are believed."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from harness.build.cache import cache_folder, only_one, used
from harness.build.runners import Runner
from harness.errors import BuildError, StoreError
from harness.measure.events import parse_events
from harness.measure.inputs import Preparation
from harness.measure.jobs import Device, Inputs, Job, check_seen
from harness.measure.runtimes import llama_cpp
from harness.store import read_lines
from harness.values import Artifact, Cell, DeviceFacts, Model, ParitySeen, Text, digest

PROMPTS = 20
PROMPT_TOKENS = 48
MOST_MEAN_KL_NATS = 0.02
MOST_KL_NATS = 0.2
FEWEST_SAME_TOP1 = 17
"""Of `PROMPTS`. A judgement, wide enough for the correct kernel paths of docs/method/kernel-check.md; no phone has
proved it yet."""
PATIENCE_S = 1800.0


def check_parity(
    preparation: Preparation,
    device: Device,
    facts: DeviceFacts,
    runner: Runner,
    cell: Cell,
    model: Model,
    artifact: Artifact,
) -> ParitySeen:
    """The cell's artifact, with the cell's runtime settings, on the device and on the host.

    Raises:
        BuildError: one of the two programs failed.
        DeviceError: the device is out of reach, or was lost meanwhile, which says nothing of the artifact.
    """
    with tempfile.TemporaryDirectory(prefix="bench-parity-") as name:
        folder = Path(name)
        job = parity_job(preparation, facts, runner, cell, model, artifact, folder)
        answers = Path(job.spec["answers"])
        work = folder / "work"
        work.mkdir()
        outcome = device.run(job, work)
        check_seen(outcome, device.spec.name)
        device.forget(job.id)
        try:
            parsed = parse_events(outcome.events)
            given = list(read_lines(answers)) if answers.exists() else []
        except (ValueError, StoreError) as error:
            raise BuildError(f"parity of {artifact.variant} failed: {error}") from error
        if not parsed.done:
            why = parsed.error or (outcome.stderr_tail.strip().splitlines() or ["the program died"])[-1]
            raise BuildError(f"parity of {artifact.variant} failed: {why}")
    return judged(given, preparation.runner.sha256)


def parity_job(
    preparation: Preparation,
    facts: DeviceFacts,
    runner: Runner,
    cell: Cell,
    model: Model,
    artifact: Artifact,
    folder: Path,
) -> Job:
    """The job that asks for the distances on the device; its requests lie in `folder`, the host's side is made.

    Raises:
        BuildError: the host's program failed.
    """
    asking = msgspec.structs.replace(cell, workload=Text(text="parity", window=512))
    lines = prompt_lines(preparation.prompt(model, artifact, PROMPTS * PROMPT_TOKENS))
    requests = folder / "requests.jsonl"
    requests.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    inputs = Inputs(
        program=runner.path,
        model=artifact.path,
        adaptor=artifact.adaptor,
        requests=str(requests),
        answers=str(folder / "answers.jsonl"),
        reference=str(_reference(preparation, asking, artifact, requests, lines)),
        timeout_s=PATIENCE_S,
    )
    key = digest([artifact.sha256, runner.sha256, lines])[:16]
    return msgspec.structs.replace(llama_cpp.job(asking, inputs, facts), id=f"parity-{key}")


def prompt_lines(tokens: Sequence[int]) -> list[dict[str, Any]]:
    """Requests for the distribution after each prompt: equal pieces of one text, the last token is only predicted."""
    pieces = [list(tokens[i : i + PROMPT_TOKENS]) for i in range(0, len(tokens), PROMPT_TOKENS)]
    return [
        {"id": n, "tokens": piece, "positions": [len(piece) - 2], "rows": [n]}
        for n, piece in enumerate(pieces)
        if len(piece) >= 2
    ]


def judged(answers: Sequence[dict[str, Any]], reference_sha256: str) -> ParitySeen:
    """What the answers of a distance job say.

    Raises:
        BuildError: an answer is missing, or has no distance.
    """
    if len(answers) != PROMPTS or any(len(line["kl"]) != 1 or line["kl"][0] is None for line in answers):
        raise BuildError(f"parity: {len(answers)} answers to {PROMPTS} prompts")
    kl = [max(0.0, float(line["kl"][0])) for line in answers]
    same = sum(bool(line["top1"][0]) for line in answers)
    found = ParitySeen(
        prompts=len(answers),
        mean_kl_nats=fmean(kl),
        largest_kl_nats=max(kl),
        same_top1=same,
        reference_sha256=reference_sha256,
        rule=(
            f"mean KL at most {MOST_MEAN_KL_NATS} nats, each at most {MOST_KL_NATS}, "
            f"the same most likely token in at least {FEWEST_SAME_TOP1} of {PROMPTS}"
        ),
    )
    fair = (
        found.mean_kl_nats <= MOST_MEAN_KL_NATS and found.largest_kl_nats <= MOST_KL_NATS and same >= FEWEST_SAME_TOP1
    )
    if fair:
        return found
    wrong = (
        f"logits on the device are not those of the host: KL {found.mean_kl_nats:.3g} nats in the mean, "
        f"{found.largest_kl_nats:.3g} at most, the same token in {same} of {len(answers)} prompts ({found.rule})"
    )
    return msgspec.structs.replace(found, wrong=wrong)


def _reference(
    preparation: Preparation, cell: Cell, artifact: Artifact, requests: Path, lines: list[dict[str, Any]]
) -> Path:
    """The host's distributions, kept by artifact, runner and prompts."""
    facts, runtime = preparation.local_facts(), cell.runtime
    assert runtime is not None
    threads = facts.cores  # the device's count may be more than this machine has
    runtime = msgspec.structs.replace(runtime, threads=threads, threads_batch=threads)
    key = digest(["parity", artifact.sha256, preparation.runner.sha256, lines, runtime])[:32]
    target = cache_folder("references") / f"{key}.bin"
    with only_one(f"reference-{key[:16]}"):
        if not target.is_file():
            inputs = Inputs(
                program=preparation.runner.path,
                model=artifact.path,
                adaptor=artifact.adaptor,
                requests=str(requests),
                timeout_s=PATIENCE_S,
            )
            here = msgspec.structs.replace(cell, runtime=runtime)
            with tempfile.TemporaryDirectory(prefix="bench-reference-") as folder:
                job = llama_cpp.reference_job(here, inputs, str(target), 512, facts)
                preparation.run(job, Path(folder), f"reference of {artifact.variant}")
        used(target)
    return target
