"""The runners for phones: static, for the CPU they are named after, and computing what the native one computes."""

import json
import os
import re
import shlex
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.build.artifacts import Workshop
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import configuring, ensure_runner
from harness.build.runners.targets import PHONE, TARGETS
from harness.measure import kernel_check
from harness.measure.devices import open_device
from harness.measure.inputs import Preparation
from harness.measure.kernel_check import Candidate, check_kernels
from harness.progress import Silent
from harness.store import read_lines
from harness.values import Artifact, DeviceSpec, Suite
from tests.integration.conftest import Bench

pytestmark = [pytest.mark.runner, pytest.mark.cross]

PHONES = pytest.mark.parametrize("target", PHONE)
AARCH64, INTERPRETER, LOADED = 183, 3, 1
LARGEST_PAGE = 16384
"""Of Android's kernels, from version 15 on."""
EMULATED = 8
"""Questions: an emulator is a hundred times as slow."""
FEATURES = {
    "aarch64": {"NEON", "ARM_FMA", "LLAMAFILE", "REPACK"},
    "aarch64-dotprod": {"NEON", "ARM_FMA", "LLAMAFILE", "REPACK", "FP16_VA", "DOTPROD"},
    "aarch64-i8mm": {"NEON", "ARM_FMA", "REPACK", "FP16_VA", "DOTPROD", "MATMUL_INT8"},
}
"""What ggml says it was built with. Where there is i8mm it leaves llamafile's matrix products out."""


@pytest.fixture(scope="session")
def built() -> Callable[[str], Runner]:
    made: dict[str, Runner] = {}

    def one(target: str) -> Runner:
        if target not in made:
            made[target] = ensure_runner(Silent(), target)
        return made[target]

    return one


Emulated = Callable[..., Runner]


@pytest.fixture
def emulated(built: Callable[[str], Runner], tmp_path: Path) -> Emulated:
    """The program for a phone as one of this machine, on an emulated CPU: the least one that has what it needs."""

    def one(target: str, cpu: str = "") -> Runner:
        runner, cpu = built(target), cpu or TARGETS[target].qemu_cpu
        script = tmp_path / f"{target}-{cpu}"
        script.write_text(f'#!/bin/sh\nexec qemu-aarch64-static -cpu {cpu} {shlex.quote(runner.path)} "$@"\n')
        script.chmod(0o755)
        return Runner(path=str(script), sha256=runner.sha256)

    return one


@pytest.fixture(scope="session")
def checks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checks")


@pytest.fixture
def preparation(runner: Runner, suite: Suite, checks: Path, monkeypatch: pytest.MonkeyPatch) -> Preparation:
    """Checks that an earlier session kept are made again; references are shared by the tests of this one."""

    def place(*parts: str) -> Path:
        checks.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        return checks.joinpath(*parts)

    monkeypatch.setattr(kernel_check, "cache_folder", place)
    return Preparation(open_device(DeviceSpec(name="local")), runner, Workshop(runner, Silent()), suite, Silent())


def candidate(program: Runner, suite: Suite, artifact: Artifact) -> Candidate:
    return Candidate(
        program=program,
        device=open_device(DeviceSpec(name="local")),
        runtime=suite.runtimes[0],
        variant=next(v for v in suite.variants if v.name == artifact.variant),
        artifact=artifact,
    )


# ---------------------------------------------------------------- the files


@PHONES
def test_it_is_static_and_fits_every_page_size(built: Callable[[str], Runner], target: str) -> None:
    """No interpreter: nothing of the phone's libraries is loaded. Segments may lie on pages of 4 and 16 KiB."""
    elf = Path(built(target).path).read_bytes()
    assert elf[:6] == b"\x7fELF\x02\x01" and struct.unpack_from("<H", elf, 18) == (AARCH64,)
    start, size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    heads = [struct.unpack_from("<IIQQQQQQ", elf, start + i * size) for i in range(count)]
    assert INTERPRETER not in [head[0] for head in heads]
    assert all(head[7] % LARGEST_PAGE == 0 for head in heads if head[0] == LOADED)


def test_kernels_are_compiled_as_llama_cpp_compiles_them_but_for_the_cpu(tmp_path: Path) -> None:
    subprocess.run(configuring("aarch64", tmp_path, Silent()), check=True, capture_output=True)
    commands = json.loads((tmp_path / "compile_commands.json").read_text())

    def options(folder: str) -> dict[str, set[str]]:
        """Source → what the compiler is told of it, without its own output's name."""
        found = {}
        for one in (c for c in commands if f"/{folder}.dir/" in c["output"]):
            words = shlex.split(one["command"])
            source = words[words.index("-c") + 1]
            told = {f"-I{os.path.normpath(w[2:])}" if w.startswith("-I") else w for w in words}
            found[source] = told - {one["output"], words[words.index("-o") + 1]}
        return found

    own = options("ggml-cpu")
    assert len(own) > 10
    for target in PHONE[1:]:
        other = options(f"kernels-{target}")
        assert other.keys() == own.keys()
        for source in own:
            march = {f"-march={TARGETS['aarch64'].march}", f"-march={TARGETS[target].march}"}
            assert own[source] ^ other[source] == march, f"{source} for {target}"


def test_one_command_builds_them_all(built: Callable[[str], Runner], bench: Bench) -> None:
    for target in PHONE:
        built(target)
    made = bench("build", "--runners", "phone", "--json")
    assert made.returncode == 0, made.stderr
    programs = json.loads(made.stdout)
    assert [p["target"] for p in programs] == list(PHONE)
    assert {p["path"] for p in programs} == {built(target).path for target in PHONE}
    plain = bench("build", "--runners", "phone")
    assert all(p["sha256"] in plain.stdout and p["path"] in plain.stdout for p in programs)


# ---------------------------------------------------------------- what they compute, under an emulator


def ask(program: Runner, spec: dict[str, Any], folder: Path) -> tuple[int, list[dict[str, Any]], str]:
    job, events = folder / "job.json", folder / "events.jsonl"
    events.unlink(missing_ok=True)
    job.write_bytes(msgspec.json.encode(spec))
    done = subprocess.run(
        [program.path, str(job), str(events)], capture_output=True, text=True, errors="replace", timeout=600
    )
    return done.returncode, list(read_lines(events)) if events.exists() else [], done.stderr


def memory_job(model: str) -> dict[str, Any]:
    return {
        "kind": "memory", "model": model, "threads": 2, "threads_batch": 2, "context": 256, "batch": 64, "ubatch": 64,
        "load_mode": "none", "repack": True, "kv_type": "f16", "flash_attn": "auto",
        "prompt": [(37 * i) % 49152 for i in range(32)], "generated": 3,
    }  # fmt: skip


@pytest.mark.qemu
@PHONES
def test_it_runs_on_the_least_cpu_it_is_for_and_uses_what_that_has(
    built: Callable[[str], Runner], emulated: Emulated, artifacts: dict[str, Artifact], tmp_path: Path, target: str
) -> None:
    code, events, errors = ask(emulated(target), memory_job(artifacts["int4-ptq"].path), tmp_path)
    assert code == 0, errors
    hello, loaded = events[0], next(e for e in events if e["event"] == "loaded")
    assert hello["program"] == "bench-llama" and hello["runner_sha256"] == built(target).sha256
    assert set(loaded["cpu_features"]) == FEATURES[target]
    assert events[-1]["event"] == "done"


@pytest.mark.qemu
def test_it_opens_nothing_but_its_own_files_and_what_the_kernel_shows(
    built: Callable[[str], Runner], artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    """A phone has no /etc/passwd, no locales and no libraries of ours."""
    traced = tmp_path / "traced"
    traced.write_text(f'#!/bin/sh\nexec qemu-aarch64-static -strace {shlex.quote(built("aarch64").path)} "$@"\n')
    traced.chmod(0o755)
    model = artifacts["int4-ptq"].path
    code, _, trace = ask(Runner(path=str(traced), sha256="0" * 64), memory_job(model), tmp_path)
    assert code == 0
    opened = set(re.findall(r'open(?:at)?\((?:AT_FDCWD,)?"([^"]*)"', trace))
    own = {str(tmp_path / "job.json"), str(tmp_path / "events.jsonl"), model}
    assert own <= opened
    assert not [path for path in opened - own if not path.startswith(("/proc/", "/sys/"))]


@pytest.mark.qemu
@pytest.mark.parametrize(("target", "cpu"), [("aarch64-dotprod", "cortex-a53"), ("aarch64-i8mm", "cortex-a76")])
def test_on_a_cpu_that_lacks_something_it_dies_of_an_illegal_instruction(
    emulated: Emulated, artifacts: dict[str, Artifact], tmp_path: Path, target: str, cpu: str
) -> None:
    """So the choice by features is needed, and the emulator above does prove something."""
    code, events, _ = ask(emulated(target, cpu), memory_job(artifacts["int4-ptq"].path), tmp_path)
    assert code in (-4, 132) and events[-1]["event"] != "done"


@pytest.mark.qemu
@PHONES
def test_it_tokenizes_as_the_native_one(
    runner: Runner, emulated: Emulated, artifacts: dict[str, Artifact], tmp_path: Path, target: str
) -> None:
    texts = ["Hello, world", " ünïcödé 😀 漢字", "a\n\n  b\t", "<|im_start|>", "3.14159", "x" * 300]
    lines = [
        {"id": 2 * i + special, "text": text, "add_special": True, "parse_special": bool(special)}
        for i, text in enumerate(texts)
        for special in (0, 1)
    ]
    asked = tmp_path / "texts.jsonl"
    asked.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    found = []
    for number, program in enumerate((runner, emulated(target))):
        answers = tmp_path / f"tokens-{number}.jsonl"
        job = {"kind": "tokenize", "model": artifacts["f16"].path, "requests": str(asked), "answers": str(answers)}
        code, _, errors = ask(program, job, tmp_path)
        assert code == 0, errors
        found.append(list(read_lines(answers)))
    assert found[0] == found[1] and len(found[0]) == len(lines)


@pytest.mark.qemu
@pytest.mark.parametrize("variant", ["f16", "int4-ptq"])
@PHONES
def test_its_answers_are_those_of_the_reference(
    emulated: Emulated,
    preparation: Preparation,
    suite: Suite,
    artifacts: dict[str, Artifact],
    target: str,
    variant: str,
) -> None:
    found = check_kernels(candidate(emulated(target), suite, artifacts[variant]), preparation, limit=EMULATED)
    assert found.passed, found.reason
    assert found.questions == EMULATED and found.largest_nats is not None and found.largest_nats > 0


def test_a_spoiled_model_is_caught(
    runner: Runner, preparation: Preparation, suite: Suite, artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    """The weights of one layer's second half are of another sign: what a kernel's wrong tail would do."""
    from gguf import GGUFReader

    good = artifacts["f16"]
    assert check_kernels(candidate(runner, suite, good), preparation).passed
    path = tmp_path / "spoiled.gguf"
    shutil.copy(good.path, path)
    reader = GGUFReader(path, "r+")
    weights = next(t for t in reader.tensors if t.name == "blk.1.ffn_down.weight").data
    half = weights.shape[-1] // 2
    weights[..., half:] *= -1
    reader.data.flush()
    spoiled = msgspec.structs.replace(good, path=str(path))
    other = Runner(path=runner.path, sha256="5" * 64)  # or the check above would be found again
    found = check_kernels(candidate(other, suite, spoiled), preparation)
    assert not found.passed and found.reason is not None
