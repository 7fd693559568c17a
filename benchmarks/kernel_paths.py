"""How far answers lie apart on other paths through llama.cpp's kernels: `python benchmarks/kernel_paths.py`.

The demonstration model's variants answer the project's 200 questions: on the plainest path of this machine's runner
(the reference of `harness/measure/kernel_check.py`), on its other paths, and by other programs, such as those for
phones under an emulator (`--program NAME=FILE`; slow, so `--questions` takes a few of them). A file may also
be spoiled on purpose, to see which faults the limits catch (`--faults`). Printed are the questions to which both
choose the same answer, and the mean and the largest difference in nats.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec

from harness.build.artifacts import Workshop
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.config import load_devices, load_suite
from harness.measure.devices import open_device
from harness.measure.inputs import Preparation
from harness.measure.kernel_agreement import choices_of, compare, limits_for, why_not
from harness.measure.kernel_check import Candidate, ask, logprobs, plainest, questions
from harness.measure.requests import Requests
from harness.measure.runtimes import llama_cpp
from harness.pipeline import known_names
from harness.progress import Silent
from harness.request_lines import read_requests
from harness.values import Runtime

PATHS: dict[str, dict[str, Any]] = {
    "again": {},
    "one thread": {"threads": 1, "threads_batch": 1},
    "F16 cache": {"kv_type": "f16"},
    "flash attention": {"flash_attn": "on"},
    "flash attention, F16 cache": {"flash_attn": "on", "kv_type": "f16"},
    "repacked": {"repack": True},
    "as suites have it": {"repack": True, "flash_attn": "auto", "kv_type": "f16"},
}
SUITES = "as suites have it"


def _negated_tail(weights: Any) -> None:
    weights[..., -32:] *= -1


def _doubled(weights: Any) -> None:
    weights *= 2


def _swapped(weights: Any) -> None:
    weights[...] = weights[::-1].copy()


def _last_row(weights: Any) -> None:
    weights[-1] = 0


def _last_block_lost(blocks: Any) -> None:
    blocks[..., -Q4_0_BLOCK:] = 0


def _nibbles_swapped(blocks: Any) -> None:
    shape = (*blocks.shape[:-1], blocks.shape[-1] // Q4_0_BLOCK, Q4_0_BLOCK)
    quants = blocks.reshape(shape)[..., 2:]  # a scale of two bytes comes first
    quants[...] = (quants << 4) | (quants >> 4)


Q4_0_BLOCK = 18
"""Bytes of 32 weights."""
Spoil = Callable[[Any], None]
FAULTS: dict[str, dict[str, tuple[str, Spoil]]] = {
    "f16": {
        "last 32 columns of one ffn_down negated": ("blk.15.ffn_down.weight", _negated_tail),
        "one attn_q doubled": ("blk.15.attn_q.weight", _doubled),
        "rows of one attn_k in reverse": ("blk.15.attn_k.weight", _swapped),
        "rows of one ffn_up in reverse": ("blk.15.ffn_up.weight", _swapped),
        "last row of one ffn_gate zero": ("blk.15.ffn_gate.weight", _last_row),
        "last row of every ffn_gate zero": ("blk.*.ffn_gate.weight", _last_row),
    },
    "int4-ptq": {
        "last block of one ffn_down lost": ("blk.15.ffn_down.weight", _last_block_lost),
        "last block of every ffn_down lost": ("blk.*.ffn_down.weight", _last_block_lost),
        "last block of every attn_output lost": ("blk.*.attn_output.weight", _last_block_lost),
        "nibbles of one attn_v swapped": ("blk.15.attn_v.weight", _nibbles_swapped),
    },
}
"""What a wrong kernel would do, done to weights: of every layer, as it would, or of one of thirty only."""


def spoiled(path: str, folder: Path, tensors: str, spoil: Spoil) -> str:
    from gguf import GGUFReader

    target = folder / "spoiled.gguf"
    shutil.copy(path, target)
    reader = GGUFReader(target, "r+")
    for tensor in (t for t in reader.tensors if fnmatch(t.name, tensors)):
        spoil(tensor.data)
    reader.data.flush()
    return str(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", default="bf16,f16,int8,int4-ptq")
    parser.add_argument("--questions", type=int, help="so many of them, drawn by the suite's seed")
    parser.add_argument("--program", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--only-programs", action="store_true", help="leave out this machine's other paths")
    parser.add_argument("--faults", action="store_true")
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in rows(wish, Path(folder)):
            print(line, flush=True)


def rows(wish: argparse.Namespace, folder: Path) -> Iterator[str]:
    progress = Silent()
    runner, suite = ensure_runner(progress), load_suite("quick", known_names(), load_devices())
    workshop, device = Workshop(runner, progress), open_device(suite.devices[0])
    preparation = Preparation(device, runner, workshop, suite, progress)
    base = plainest(llama_cpp.resolved(suite.runtimes[0], device.facts()))
    programs = {name: Runner(path=file, sha256=name) for name, _, file in (p.partition("=") for p in wish.program)}
    for variant in (v for v in suite.variants if v.name in wish.variants.split(",")):
        artifact = workshop.ensure(variant)

        def at(program: Runner, path: str, runtime: Runtime) -> Candidate:
            used = msgspec.structs.replace(artifact, path=path)  # noqa: B023 - called within the loop
            return Candidate(program=program, device=device, runtime=runtime, variant=variant, artifact=used)  # noqa: B023

        plain = at(runner, artifact.path, base)
        requests = questions(plain, preparation, wish.questions)
        choices = choices_of(read_requests(requests.path))
        reference = logprobs(answered(plain, requests))
        asked = {} if wish.only_programs else {n: at(runner, artifact.path, changed(base, n)) for n in PATHS}
        for name, program in programs.items():
            asked[f"{name}, {SUITES}"] = at(program, artifact.path, changed(base, SUITES))
        if wish.faults:
            for name, (tensors, spoil) in FAULTS.get(variant.name, {}).items():
                path = spoiled(artifact.path, folder, tensors, spoil)
                yield row(variant.name, name, choices, reference, at(runner, path, changed(base, SUITES)), requests)
        for name, one in asked.items():
            yield row(variant.name, name, choices, reference, one, requests)


def changed(base: Runtime, path: str) -> Runtime:
    return msgspec.structs.replace(base, **PATHS[path])


def answered(candidate: Candidate, requests: Requests) -> bytes:
    answers, why = ask(candidate, requests, Silent(), "")
    assert why is None, why
    return answers


def row(
    variant: str, name: str, choices: Any, reference: dict[int, float], candidate: Candidate, requests: Requests
) -> str:
    found = compare(choices, reference, logprobs(answered(candidate, requests)))
    verdict = why_not(found, limits_for(candidate.artifact))
    return (
        f"{variant:<9} {name:<45} {found.agreed:>3} of {found.questions}  mean {found.mean_nats:.4f}"
        f"  largest {found.largest_nats:.3f}  {'passes' if verdict is None else 'caught'}"
    )


if __name__ == "__main__":
    main()
