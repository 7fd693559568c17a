"""The runtime executorch without ExecuTorch: what it can do, what it asks its program, and how files are exported."""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.analyse.trials import not_as_asked
from harness.build import exported as exporting
from harness.build.exported import Numbers, Wish, exported, numbers_of, wish_of
from harness.build.runners import Runner
from harness.errors import BuildError
from harness.measure.jobs import Inputs
from harness.measure.runtimes import executorch
from harness.progress import Silent
from harness.values import (
    Artifact,
    ArtifactFile,
    Bandwidth,
    Cell,
    CheckpointSource,
    FileSource,
    Load,
    Loaded,
    Memory,
    Model,
    Runtime,
    Speed,
    Sustained,
    Task,
    Text,
    TrialRecord,
    Variant,
    Workload,
)
from tests.builders import _facts

FACTS = _facts(2)

SHA = "0" * 64
DEFAULT = Wish()
MODEL = Model(name="m", source=FileSource(path="/m.gguf"), label="x", context=4096)
PTQ = Variant(name="v", model=MODEL, recipe="ptq", settings={"weights": "int4"})
MMAP = Runtime(name="executorch", threads=2, load_mode="mmap")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ExecuTorch were here: nothing of it runs in these tests."""
    monkeypatch.setattr(executorch, "lacking", lambda: None)
    monkeypatch.setattr(executorch, "find_executorch", lambda: Runner(path="python", sha256=SHA))
    monkeypatch.setattr(exporting, "find_export", lambda: SHA)


def cell(load: Workload, runtime: Runtime = MMAP) -> Cell:
    return Cell(key="0" * 16, variant="v", runtime=runtime, device="local", workload=load)


@pytest.mark.parametrize(
    ("load", "variant", "runtime", "why"),
    [
        (Speed(prompt_tokens=64, generated_tokens=64), PTQ, MMAP, None),
        (Memory(), PTQ, MMAP, None),
        (Task(task="arc_easy"), PTQ, MMAP, None),
        (Text(text="text_5000"), PTQ, MMAP, None),
        (Load(), PTQ, MMAP, "not asked for load"),
        (Sustained(), PTQ, MMAP, "not asked for sustained"),
        (Bandwidth(), None, MMAP, "not asked for bandwidth"),
        (
            Speed(prompt_tokens=64, generated_tokens=8, context=3000),
            PTQ,
            MMAP,
            "3000 is more than the 2048 tokens that",
        ),
        (Text(text="text_5000", window=4096), PTQ, MMAP, "4096 is more than the 2048"),
        (Task(task="arc_easy", context=2049), PTQ, MMAP, "2049 is more than the 2048"),
        (Memory(context=2048), PTQ, msgspec.structs.replace(MMAP, export_context=512), "2048 is more than the 512"),
        (
            Memory(),
            PTQ,
            msgspec.structs.replace(MMAP, export_context=8192),
            "8192 is more than the 4096 tokens the model",
        ),
        (Speed(prompt_tokens=1000, generated_tokens=64), PTQ, MMAP, "1064 tokens do not fit a context of 1024"),
        (
            Memory(),
            msgspec.structs.replace(PTQ, settings={"weights": "q4_0"}),
            MMAP,
            "exist in llama.cpp's format only",
        ),
        (Memory(), msgspec.structs.replace(PTQ, settings={"weights": "int4", "group": 16}), MMAP, "not of 16"),
    ],
)
def test_what_it_can_do(load: Workload, variant: Variant | None, runtime: Runtime, why: str | None) -> None:
    said = executorch.supports(cell(load, runtime), variant)
    assert said is None if why is None else said is not None and why in said


def test_without_it_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.build.runners import executorch as programs

    monkeypatch.setattr(programs, "NEEDS", {"no_such_module": "no-such-package"})
    monkeypatch.setattr(executorch, "lacking", programs.lacking)
    said = executorch.supports(cell(Memory()), PTQ)
    assert said is not None and "needs no-such-package" in said and "executorch==1.5.1" in said
    with pytest.raises(BuildError, match="needs no-such-package"):
        programs.find_export()


def test_a_phone_runs_none_of_it_and_the_reason_is_said() -> None:
    from harness.config import load_suite
    from harness.device_files import load_devices
    from harness.measure.devices.phone.expected import expected_facts
    from harness.measure.plan import make_plan
    from harness.pipeline import known_names

    suite, phone = load_suite("quick", known_names(), load_devices()), load_devices()["oneplus12"]
    measures = (Speed(prompt_tokens=64, generated_tokens=64), Task(task="knowledge_200"))
    runtimes = (*suite.runtimes, MMAP, Runtime(name="hf"))
    suite = msgspec.structs.replace(suite, runtimes=runtimes, devices=(phone,), measures=measures)
    plan = make_plan(suite, {phone.name: expected_facts(phone, 4)}, ())
    said = {
        (c.runtime.name, c.measure): c.unsupported for c in plan.cells if c.runtime is not None and c.variant == "bf16"
    }
    assert said["llama.cpp", "speed"] is None and said["llama.cpp", "task"] is None
    assert "`bench import` takes its logs" in str(said["executorch", "speed"])
    assert "is scored on the host" in str(said["executorch", "task"])
    assert said["hf", "task"] == "torch runs on this machine alone"


def test_jobs_hold_what_the_program_knows() -> None:
    inputs = Inputs(program="p", model="/a/model.pte", prompt=(1, 2), prefix=(3,), requests="/r", answers="/a")
    speed = executorch.job(cell(Speed(prompt_tokens=2, generated_tokens=4, idle_s=0.5)), inputs, FACTS)
    assert speed.timed and speed.spec["prompt"] == [1, 2] and speed.spec["prefix"] == [3]
    assert speed.spec["load_mode"] == "mmap" and speed.spec["idle_ms"] == 500
    memory = executorch.job(cell(Memory(load_mode="none")), inputs, FACTS)
    assert memory.spec["load_mode"] == "none" and memory.spec["generated"] == 16
    asked = executorch.job(cell(Task(task="arc_easy")), msgspec.structs.replace(inputs, context=4000), FACTS)
    assert asked.spec["kind"] == "score" and asked.spec["context"] == 2048
    assert "reference" not in asked.spec
    written = msgspec.structs.replace(inputs, generates=True)
    assert executorch.job(cell(Task(task="arc_easy")), written, FACTS).spec["kind"] == "generate"
    kept = executorch.reference_job(cell(Text(text="text_5000")), inputs, "/out", 512, FACTS)
    assert kept.spec["kind"] == "reference" and kept.spec["output"] == "/out" and kept.spec["context"] == 512


def artifact(path: Path, types: dict[str, int]) -> Artifact:
    file = ArtifactFile(name="model.safetensors", bytes=3, sha256=SHA)
    return Artifact(
        variant="v",
        format="checkpoint",
        sha256=SHA,
        files=(file,),
        parameters=7,
        tensor_bytes=3,
        decode_bytes=None,
        tensor_types=types,
        path=str(path),
    )


@pytest.mark.parametrize(
    ("recipe", "settings", "types", "numbers"),
    [
        ("ptq", {"weights": "int4"}, {"U8": 3, "F32": 3}, Numbers("float32", "xnnpack")),
        ("bf16", {}, {"BF16": 3, "F32": 2}, Numbers("bfloat16", "none")),
        ("f16", {}, {"F16": 3}, Numbers("float16", "xnnpack")),
        ("released", {}, {"F32": 3}, Numbers("float32", "xnnpack")),
        ("released", {}, {}, Numbers("bfloat16", "none")),
    ],
)
def test_two_baselines(recipe: str, settings: dict[str, Any], types: dict[str, int], numbers: Numbers) -> None:
    """BF16 as Meta's recipe exports it, on ExecuTorch's own kernels; F16 delegated."""
    variant = Variant(name="v", model=MODEL, recipe=recipe, settings=settings)
    assert numbers_of(variant, artifact(Path("/c"), types)) == numbers


WRITES = """
import json, sys
job = json.load(open(sys.argv[1]))
print("talk of the exporter")
open(job["output"], "wb").write(b"program")
events = [{"event": "hello", "versions": {"executorch": "9"}}, {"event": "done", "delegates": {"X": 2}, "kv_bytes": 5}]
open(sys.argv[2], "w").write("".join(json.dumps(event) + "\\n" for event in events))
"""
FAILS = "import sys; print('bench-export: out of memory', file=sys.stderr); print('later talk'); sys.exit(1)"
DIES = "import os; print('talk'); os.kill(os.getpid(), 9)"
SILENT = "pass"


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in ("tokenizer.json", "config.json", "model.safetensors", "learned.text"):
        (folder / name).write_text("{}")
    return artifact(folder, {"F32": 1})


def export(checkpoint: Artifact, monkeypatch: pytest.MonkeyPatch, program: str, wish: Wish = DEFAULT) -> Artifact:
    monkeypatch.setattr(exporting, "EXPORT_ARGV", (sys.executable, "-c", program))
    made, stamps = exported(PTQ, checkpoint, Numbers("float32", "xnnpack"), wish, Silent())
    assert list(stamps) == [made.path]
    return made


def test_a_file_is_exported_once_and_kept_with_a_manifest(
    checkpoint: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = export(checkpoint, monkeypatch, WRITES)
    again = export(checkpoint, monkeypatch, FAILS)
    other = export(checkpoint, monkeypatch, WRITES, Wish(context=64))
    assert again == made and Path(other.path).parent != Path(made.path).parent
    folder = Path(made.path).parent
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.pte", "tokenizer"]
    assert sorted(path.name for path in (folder / "tokenizer").iterdir()) == [
        "config.json",
        "learned.text",
        "tokenizer.json",
    ]
    told = json.loads((folder / "manifest.json").read_text())
    assert told["delegates"] == {"X": 2} and told["versions"] == {"executorch": "9"} and told["wish"]["context"] == 2048
    Path(made.path).write_bytes(b"changed")
    with pytest.raises(BuildError, match="has changed on disk"):
        export(checkpoint, monkeypatch, WRITES)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (FAILS, "exporting v failed: out of memory"),
        (DIES, r"exporting v failed: ended by SIGKILL \(memory\?\)"),
        (SILENT, "ended without its last event"),
    ],
)
def test_a_failed_export_leaves_nothing(
    checkpoint: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, message: str
) -> None:
    with pytest.raises(BuildError, match=message):
        export(checkpoint, monkeypatch, program)
    assert list((tmp_path / "cache" / "exported").iterdir()) == []


def test_a_suite_says_how_files_are_exported() -> None:
    from harness.config import load_suite
    from harness.device_files import load_devices
    from harness.pipeline import known_names

    suite = load_suite("quick", known_names(), load_devices())
    assert wish_of(suite) == Wish()
    runtime = msgspec.structs.replace(MMAP, export_context=512, full_logits=True)
    assert wish_of(msgspec.structs.replace(suite, runtimes=(runtime,))) == Wish(context=512, full_logits=True)


def test_a_suites_files_are_kept_by_gc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    from harness.build.checkpoints import describe
    from harness.build.exported import pte_folder
    from harness.build.needs import needed
    from harness.config import load_suite
    from harness.device_files import load_devices
    from harness.pipeline import known_names

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tokenizer.json").write_text("{}")
    shape = {
        "dim": 8,
        "n_layers": 1,
        "n_heads": 1,
        "n_kv_heads": 1,
        "vocab_size": 3,
        "norm_eps": 1e-5,
        "rope_theta": 1e4,
    }
    (tmp_path / "params.json").write_text(json.dumps(shape))
    with zipfile.ZipFile(tmp_path / "consolidated.00.pth", "w") as file:
        file.writestr("consolidated.00/data/0", bytes(64))
    model = msgspec.structs.replace(MODEL, source=CheckpointSource(path=str(tmp_path)))
    variant = Variant(name="v", model=model, recipe="released")
    suite = load_suite("quick", known_names(), load_devices())
    suite = msgspec.structs.replace(suite, variants=(variant,), baselines=("v",), runtimes=(MMAP,))
    base = describe("v", tmp_path)[0]
    kept = pte_folder(numbers_of(variant, base), base.sha256, Wish())
    assert f"exported/{kept.name}" in needed(suite)
    other = msgspec.structs.replace(suite, runtimes=(Runtime(name="hf"),))
    assert not any(name.startswith("exported/") for name in needed(other))


def test_settings_of_executorch_change_no_other_runtimes_key() -> None:
    assert b"export_context" not in msgspec.json.encode(Runtime(name="llama.cpp"))


def test_what_executorch_does_not_know_is_not_asked_of_it() -> None:
    """The width of its KV cache follows from the file: a runtime's default for another program is no wish."""
    loaded = Loaded(
        load_ns=1, model_bytes=1, parameters=1, description="", layers=1, embedding=1, heads=1, kv_heads=1,
        vocabulary=9, context_trained=9, context=9, batch=1, ubatch=1, threads=2, threads_batch=2, load_mode="mmap",
        repack=True, kv_type="f32", flash_attn="on", kv_bytes=None, cpu_features=(), buffers=(),
    )  # fmt: skip
    record = TrialRecord(trial="t", cell="c", round=0, status="ok", reason=None, observations=(loaded,))
    load = Speed(prompt_tokens=4, generated_tokens=2)
    asked = cell(load, msgspec.structs.replace(MMAP, threads=2, threads_batch=2))
    assert not_as_asked(asked, record) == []
    (said,) = not_as_asked(cell(load, msgspec.structs.replace(MMAP, threads=4, threads_batch=4)), record)
    assert "threads 4, ran with 2" in said
