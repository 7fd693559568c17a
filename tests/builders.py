"""Synthetic runs as real run folders: seeded, so that equal arguments give equal bytes."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from harness.measure.parts import Unit, part_of
from harness.measure.plan import rounds_of
from harness.store import PLAN, RECORDS, Run, encode, read_run, write_durably, write_lines
from harness.values import (
    Answers,
    ArtifactFile,
    Bandwidth,
    BandwidthSeen,
    Buffer,
    Cell,
    DeviceFacts,
    DeviceSpec,
    Environment,
    Files,
    FileSource,
    Hello,
    Loaded,
    Memory,
    MemorySeen,
    Model,
    Observation,
    Plan,
    ProcessSeen,
    RandomSource,
    Runtime,
    Shard,
    Size,
    Speed,
    Stands,
    Suite,
    Task,
    Text,
    Timing,
    Trial,
    TrialRecord,
    Variant,
    Workload,
    digest,
)

Change = Callable[[Cell, TrialRecord], TrialRecord | None]
"""What to make of a record before it is written; None leaves its trial unmeasured."""

RUNNER = digest("runner")
MIB = 1 << 20
PARAMETERS = 134_515_008


@dataclass(frozen=True)
class Truth:
    """What a variant really is: the centre that noise is put around."""

    scheme: str
    size_bytes: int
    prefill_tok_s: float
    decode_tok_s: float
    accuracy: float
    """Share of items right; a variant's flips against the first one come from `flips`."""
    flips: float
    loss: float
    """Nats a token of the text."""
    kl: float
    types: dict[str, int] = field(default_factory=dict)


TRUTHS: dict[str, Truth] = {
    "bf16": Truth(
        "BF16 weights, tied output layer",
        270_885_984,
        190,
        42,
        0.46,
        0.0,
        3.02,
        2e-5,
        {"bf16": 211, "f32": 61},
    ),
    "f16": Truth(
        "the BF16 weights stored as F16",
        270_885_984,
        830,
        121,
        0.46,
        0.01,
        3.02,
        1e-9,
        {"f16": 211, "f32": 61},
    ),
    "int8": Truth("Q8_0 everywhere", 144_811_104, 1010, 214, 0.46, 0.02, 3.021, 4e-4, {"q8_0": 211, "f32": 61}),
    "int4-ptq": Truth(
        "Q4_0 block linears, Q8_0 tied embedding and output, round to nearest",
        91_727_328,
        1130,
        322,
        0.43,
        0.12,
        3.17,
        0.094,
        {"q4_0": 210, "q8_0": 1, "f32": 61},
    ),
}

MEASURES: tuple[Workload, ...] = (
    Size(),
    Bandwidth(rounds=5, repetitions=2),
    Memory(load_mode="none", rounds=3),
    Memory(load_mode="mmap", rounds=3),
    Speed(prompt_tokens=64, generated_tokens=64, rounds=5, repetitions=3),
    Speed(prompt_tokens=512, generated_tokens=1, rounds=5, repetitions=3),
    Task(task="knowledge_200"),
    Text(text="text_5000", reference="f16"),
)


def build_run(
    results: Path,
    *,
    name: str = "20260714T101500Z-quick-example-00aa",
    seed: int = 7,
    truths: dict[str, Truth] | None = None,
    baselines: tuple[str, ...] = ("bf16", "f16"),
    measures: Sequence[Workload] = MEASURES,
    noise: float = 0.015,
    label: str = "stand-in for SmolLM2-135M-Instruct, dequantized from Q4_1",
    title: str = "SmolLM2-135M-Instruct, 16-bit against 8-bit and 4-bit",
    random_weights: bool = False,
    threads: int = 4,
    read_bandwidth_bytes_s: float = 45e9,
    items: int = 200,
    change: Change | None = None,
    claims: dict[str, dict[str, Stands]] | None = None,
    shard: Shard | None = None,
) -> Path:
    """Write one run and return its folder. With `noise=0` every process repeats the truth exactly."""
    truths = TRUTHS if truths is None else truths
    plan = _plan(truths, baselines, measures, label, title, random_weights, threads, seed)
    plan = msgspec.structs.replace(plan, suite=msgspec.structs.replace(plan.suite, claims=claims or {}), shard=shard)
    folder = results / name
    write_durably(folder / PLAN, encode(plan))
    made = _Maker(folder, plan, truths, noise, threads, read_bandwidth_bytes_s, items, seed)
    records = [r for trial in plan.trials if (r := made.record(trial, change)) is not None]
    records += [
        TrialRecord(trial=f"{cell.key}-0", cell=cell.key, round=0, status="unsupported", reason=cell.unsupported)
        for cell in plan.cells
        if cell.unsupported
    ]
    write_lines(folder / RECORDS, list(records))
    return folder


def build_and_read(results: Path, **changes: Any) -> Run:
    """`build_run`, then what the store makes of it."""
    return read_run(build_run(results, **changes))


def only(cell: Cell, *, variant: str | None = None, measure: str | None = None, workload: str | None = None) -> bool:
    """Whether a cell is the one that a `change` means."""
    return (
        (variant is None or cell.variant == variant)
        and (measure is None or cell.measure == measure)
        and (workload is None or cell.workload.label == workload)
    )


def _plan(
    truths: dict[str, Truth],
    baselines: tuple[str, ...],
    measures: Sequence[Workload],
    label: str,
    title: str,
    random_weights: bool,
    threads: int,
    seed: int,
) -> Plan:
    source: Any = FileSource(path="model.gguf")
    if random_weights:
        source = RandomSource(
            tokenizer=FileSource(path="t.gguf"), embedding=64, feed_forward=128, layers=2, heads=4, kv_heads=2
        )
    model = Model(name="smollm2-135m-instruct", source=source, label=label, licence="Apache-2.0", context=8192)
    runtime = Runtime(name="llama.cpp")
    suite = Suite(
        name="quick",
        title=title,
        variants=tuple(Variant(name=n, model=model, recipe="ptq", scheme=t.scheme) for n, t in truths.items()),
        baselines=baselines,
        runtimes=(runtime,),
        devices=(DeviceSpec(name="local", title="this machine"),),
        measures=tuple(measures),
        seed=seed,
        source="quick.yaml",
    )
    cells = tuple(_cells(suite, runtime))
    rounds = max(map(rounds_of, cells), default=1)
    trials = tuple(
        Trial(id=f"{c.key}-{r}", cell=c.key, round=r)
        for r in range(rounds)
        for c in cells
        if r < rounds_of(c) and c.unsupported is None
    )
    command = ("bench", "run", "--suite", "quick", "--device", "local")
    facts = {"local": _facts(threads)}
    return Plan(suite=suite, facts=facts, cells=cells, trials=trials, command=command, bench_version="0.1.0")


def _cells(suite: Suite, runtime: Runtime) -> Iterator[Cell]:
    for workload in suite.measures:
        variants = [None] if isinstance(workload, Bandwidth) else [v.name for v in suite.variants]
        for variant in variants:
            of = None if isinstance(workload, Size) else runtime
            if isinstance(workload, Speed) and workload.threads:
                of = msgspec.structs.replace(runtime, threads=workload.threads, threads_batch=workload.threads)
            key = digest([variant, workload, of])[:16]
            yield Cell(key=key, variant=variant, runtime=of, device="local", workload=workload)


def _facts(threads: int) -> DeviceFacts:
    return DeviceFacts(
        device="local",
        model="Example Board 8",
        os="Debian GNU/Linux 12",
        arch="aarch64",
        cpu="Example Core X1",
        logical_cpus=threads * 2,
        usable_cores=threads,
        memory_bytes=16 << 30,
        llc_bytes=32 << 20,
        cpu_flags=("asimddp", "i8mm"),
        host_hash="5f2c",
        missing={"governor": "the kernel shows no cpufreq"},
    )


class _Maker:
    def __init__(
        self,
        folder: Path,
        plan: Plan,
        truths: dict[str, Truth],
        noise: float,
        threads: int,
        bandwidth: float,
        items: int,
        seed: int,
    ) -> None:
        self.folder, self.plan, self.truths = folder, plan, truths
        self.noise, self.threads, self.bandwidth, self.items, self.seed = (
            noise,
            threads,
            bandwidth,
            items,
            seed,
        )
        self.cells = {cell.key: cell for cell in plan.cells}
        self.started = 0
        self.graded: dict[str, tuple[str, list[Unit], list[dict[str, Any]]]] = {}

    def record(self, trial: Trial, change: Change | None) -> TrialRecord | None:
        cell = self.cells[trial.cell]
        rng = random.Random(f"{self.seed} {trial.id}")
        minute, second = divmod(self.started * 7, 60)
        self.started += 1
        record = TrialRecord(
            trial=trial.id,
            cell=cell.key,
            round=trial.round,
            status="ok",
            reason=None,
            observations=tuple(self._observations(cell, trial, rng)),
            artifact_sha256=digest(cell.variant) if cell.variant else None,
            environment=Environment(
                device="local",
                facts_sha256=digest(self.plan.facts["local"]),
                bench_version="0.1.0",
                python="3.11.2",
                runner_sha256=None if isinstance(cell.workload, Size) else RUNNER,
                load_average=0.2,
                available_bytes=12 << 30,
                power="mains",
            ),
            started=f"2026-07-14T10:{minute:02d}:{second:02d}Z",
            duration_ns=2_000_000_000,
        )
        return change(cell, record) if change else record

    def _observations(self, cell: Cell, trial: Trial, rng: random.Random) -> Iterator[Observation]:
        workload = cell.workload
        process = ProcessSeen(
            exit_code=0,
            signal=None,
            wall_ns=10**9,
            user_ns=10**9,
            system_ns=10**7,
            major_faults=0,
        )
        if isinstance(workload, Size):
            yield self._files(cell)
            return
        kind = "score" if isinstance(workload, Task | Text) else cell.measure
        yield Hello(program="bench-llama", runner_sha256=RUNNER, llama_version="b9999", kind=kind, pid=4242)
        if isinstance(workload, Bandwidth):
            for index in range(workload.repetitions):
                yield self._bandwidth(index, rng)
            yield process
            return
        truth = self.truths[str(cell.variant)]
        yield self._files(cell)
        yield self._loaded(cell, truth)
        if isinstance(workload, Speed):
            drift = 1 + 2 * self.noise * random.Random(f"{self.seed} round {trial.round}").gauss(0, 1)
            for index in range(workload.repetitions):
                yield self._timing(workload, truth, index, drift, rng)
        elif isinstance(workload, Memory):
            yield self._memory(workload, truth, rng)
        else:
            yield self._answers(cell, trial, truth)
        yield process

    def _files(self, cell: Cell) -> Files:
        truth = self.truths[str(cell.variant)]
        file = ArtifactFile(name=f"{cell.variant}.gguf", bytes=truth.size_bytes, sha256=digest(cell.variant))
        tensors = truth.size_bytes - 1_800_000
        return Files(
            files=(file,),
            parameters=PARAMETERS,
            tensor_bytes=tensors,
            decode_bytes=tensors,
            tensor_types=truth.types,
        )

    def _loaded(self, cell: Cell, truth: Truth) -> Loaded:
        context: int = getattr(cell.workload, "context", 512) or 2048
        kv = 2 * 30 * 192 * context * 2
        mode = getattr(cell.workload, "load_mode", "none")
        return Loaded(
            load_ns=int(truth.size_bytes / 1.1), model_bytes=truth.size_bytes - 1_800_000,
            parameters=PARAMETERS,
            description="llama 135M", layers=30, embedding=576, heads=9, kv_heads=3, vocabulary=49152,
            context_trained=8192, context=context, batch=2048, ubatch=512, threads=self.threads,
            threads_batch=self.threads, load_mode=mode, repack=True, kv_type="f16", flash_attn="on",
            kv_bytes=kv,
            cpu_features=("NEON", "DOTPROD", "MATMUL_INT8"),
            buffers=(
                Buffer(kind="model", name="CPU", bytes=truth.size_bytes - 1_800_000),
                Buffer(kind="kv", name="CPU", bytes=kv),
                Buffer(kind="compute", name="CPU", bytes=98 * MIB),
                Buffer(kind="output", name="CPU", bytes=196_608),
            ),
        )  # fmt: skip

    def _timing(self, workload: Speed, truth: Truth, index: int, drift: float, rng: random.Random) -> Timing:
        def around(value: float) -> float:
            return value * drift * (1 + self.noise * rng.gauss(0, 1))

        logits = round(workload.prompt_tokens / around(truth.prefill_tok_s) * 1e9)
        now, tokens = logits + 20_000, []
        for _ in range(workload.generated_tokens):
            tokens.append(now)
            now += round(1e9 / around(truth.decode_tok_s))
        return Timing(
            index=index, warmup=False, prefix_tokens=workload.depth, prompt_tokens=workload.prompt_tokens,
            generated_tokens=workload.generated_tokens, logits_ns=logits, token_ns=tuple(tokens), wall_ns=now,
            cpu_ns=now * self.threads, machine_busy_ns=now * self.threads, machine_steal_ns=0, major_faults=0,
            minor_faults=12, voluntary_switches=3, involuntary_switches=1,
        )  # fmt: skip

    def _memory(self, workload: Memory, truth: Truth, rng: random.Random) -> MemorySeen:
        mapped = truth.size_bytes if workload.load_mode == "mmap" else 0
        anon = truth.size_bytes - mapped + 98 * MIB + 2 * 30 * 192 * workload.context * 2 + 9 * MIB
        anon += round(rng.gauss(0, self.noise) * 20 * MIB)
        file = mapped + 18 * MIB
        return MemorySeen(
            vm_hwm_bytes=anon + file, rss_bytes=anon + file, rss_anon_bytes=anon, rss_file_bytes=file,
            rss_shmem_bytes=0, swap_bytes=0, peak_anon_bytes=anon, peak_file_bytes=file, peak_swap_bytes=0,
            peak_rss_plus_swap_bytes=anon + file, samples=90, rss_before_load_bytes=4 * MIB,
            rss_before_weights_bytes=19 * MIB,
            rss_after_load_bytes=anon, prompt_tokens=workload.prompt_tokens,
            generated_tokens=workload.generated_tokens,
        )  # fmt: skip

    def _bandwidth(self, index: int, rng: random.Random) -> BandwidthSeen:
        size = 512 * MIB
        rate = self.bandwidth * (1 + self.noise * rng.gauss(0, 1))
        return BandwidthSeen(
            index=index, warmup=False, bytes=size, ns=round(size / rate * 1e9), threads=self.threads,
            buffer_bytes=size, cpu_ns=None, machine_busy_ns=None, machine_steal_ns=None, major_faults=0,
        )  # fmt: skip

    def _answers(self, cell: Cell, trial: Trial, truth: Truth) -> Answers:
        workload = cell.workload
        if cell.key not in self.graded:
            self.graded[cell.key] = self._asked(cell, truth)
        requests, units, lines = self.graded[cell.key]
        part = part_of(self.plan, trial, cell)
        chosen = set(units if part is None else part.of(units))
        lines = [line for line in lines if unit_of_item(line) in chosen]
        name = cell.key if part is None or part.round is None else f"{cell.key}-r{part.round}"
        write_lines(self.folder / f"items/{name}.jsonl.gz", lines)
        reference = workload.reference if isinstance(workload, Text) else None
        return Answers(
            requests=requests,
            answers=f"answers/{name}.jsonl.gz",
            items=f"items/{name}.jsonl.gz",
            count=len(lines),
            tokens=4000,
            questions=len(chosen),
            of=len(units),
            task_versions={workload.task: "1.0"} if isinstance(workload, Task) else {},
            reference=reference,
            reference_sha256=digest(reference) if reference else None,
        )

    def _asked(self, cell: Cell, truth: Truth) -> tuple[str, list[Unit], list[dict[str, Any]]]:
        """The requests file, what it asks, and the items of it all."""
        workload = cell.workload
        if not isinstance(workload, Task):
            return "requests/r.jsonl.gz", [("", w) for w in range(12)], list(text_lines(truth, self.seed, self.noise))
        requests = f"requests/{workload.task}.jsonl.gz"
        if not (self.folder / requests).exists():
            asked = request_lines(workload.task, self.items, self.seed)
            write_lines(self.folder / requests, [{"head": {workload.task: "1.0"}}, *asked])
        units = [(workload.task, index) for index in range(self.items)]
        return requests, units, list(task_lines(workload.task, truth, self.items, self.seed))


def unit_of_item(line: dict[str, Any]) -> tuple[str, int]:
    """What an item's requests belong to."""
    return (line["task"], line["id"]) if line["kind"] == "item" else ("", line["window"])


GROUPS = ("geography", "history", "biology", "physics", "chemistry", "language", "music", "sport", "addition",
          "subtraction", "sequences", "percentages")  # fmt: skip


def task_lines(task: str, truth: Truth, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Items that are mostly alike for all variants: a variant flips a seeded share of them."""
    for index in range(count):
        shared = random.Random(f"{seed} item {index}")
        own = random.Random(f"{seed} item {index} {truth.scheme}")
        right = shared.random() < 0.46
        if own.random() < truth.flips:
            right = own.random() < truth.accuracy - 0.1
        metrics = {"acc": float(right), "acc_norm": float(right if shared.random() < 0.9 else not right)}
        group = GROUPS[index % len(GROUPS)]
        about = {"kind": "item", "task": task, "id": index, "group": group, "metrics": metrics, "chance": 0.25}
        yield {**about, **_chosen(truth, right, f"{seed} choices {index}")}


def _chosen(truth: Truth, right: bool, seed: str) -> dict[str, Any]:
    """Four choices that are about as likely for every variant; the answer is the likeliest."""
    shared, own = random.Random(seed), random.Random(f"{seed} {truth.scheme}")
    target = shared.randrange(4)
    wrong = own if own.random() < truth.flips else shared
    answer = target if right else (target + 1 + wrong.randrange(3)) % 4
    logprobs = [shared.gauss(-3, 0.4) + truth.kl * own.gauss(0, 1) for _ in range(4)]
    best = logprobs.index(max(logprobs))
    logprobs[answer], logprobs[best] = logprobs[best], logprobs[answer]
    return {"answer": answer, "target": target, "logprobs": logprobs}


def request_lines(task: str, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """What the items of `task_lines` were asked: examples that all share, a question of its own, four choices."""
    examples = "".join(f"Question: Which number follows {n}?\nAnswer: {n + 1}\n\n" for n in range(3))
    for index in range(count):
        subject = GROUPS[index % len(GROUPS)]
        prompt = f"{examples}Question {index}: what is said of {subject}?\nAnswer:"
        for choice in range(4):
            about = {"id": 4 * index + choice, "kind": "loglikelihood", "task": task, "doc": index, "index": choice}
            target = f" {subject} {(seed + 3 * index + choice) % 11}"
            yield {**about, "prompt": prompt, "context": [1, 2], "continuation": [3], "target": target}


def text_lines(truth: Truth, seed: int, noise: float) -> Iterator[dict[str, Any]]:
    """Twelve windows of a text and some compared positions in each."""
    for window in range(12):
        shared = random.Random(f"{seed} window {window}")
        own = random.Random(f"{seed} window {window} {truth.scheme}")
        tokens = 511 if window < 11 else 300
        loss = truth.loss + 0.2 * shared.gauss(0, 1) + noise * own.gauss(0, 1)
        yield {"kind": "window", "window": window, "tokens": tokens, "logprob": -loss * tokens}
        for position in range(0, tokens, 64):
            kl = truth.kl * math.exp(own.gauss(0, 0.5))
            top1 = own.random() > 1.2 * math.sqrt(truth.kl)
            line = {"window": window, "position": position, "kl": kl, "top1": top1, "logprob": -loss}
            yield {"kind": "position", **line}
