"""The llama.cpp runtime is two pure functions: cell → job, events → observations."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.events import parse_events
from harness.measure.jobs import Inputs, room_for
from harness.measure.runtimes import llama_cpp
from harness.values import (
    Bandwidth,
    BandwidthSeen,
    FileSource,
    Loaded,
    MemorySeen,
    Model,
    Speed,
    Task,
    Text,
    Timing,
    Variant,
)
from tests.unit.test_execute import MEMORY, RUNTIME, SPEED
from tests.unit.test_plan import FACTS

RECORDINGS = Path(__file__).parents[1] / "recordings"
INPUTS = Inputs(program="/r", model="/m.gguf", prompt=(1, 2), requests="/q", answers="/a")
MODEL = Model(name="m", source=FileSource(path="/m"), label="l")


def test_a_speed_job_carries_all_that_identifies_it() -> None:
    job = llama_cpp.job(SPEED, INPUTS, FACTS)
    assert job.argv == ("/r", "{job}", "{events}")
    expected = {"kind": "speed", "threads": 2, "threads_batch": 2, "context": 1024, "batch": 2048, "ubatch": 512}
    assert expected.items() <= job.spec.items()
    assert (job.spec["prompt"], job.spec["generated"], job.spec["repetitions"]) == ([1, 2], 2, 2)
    assert (job.spec["load_mode"], job.spec["repack"], job.spec["kv_type"]) == ("none", True, "f16")


def test_a_memory_job_has_its_own_load_mode() -> None:
    mapped = msgspec.structs.replace(MEMORY, workload=msgspec.structs.replace(MEMORY.workload, load_mode="mmap"))
    assert llama_cpp.job(mapped, INPUTS, FACTS).spec["load_mode"] == "mmap"


def test_bandwidth_reads_beyond_the_cache() -> None:
    cell = msgspec.structs.replace(SPEED, variant=None, workload=Bandwidth())
    assert llama_cpp.job(cell, INPUTS, FACTS).spec["buffer"] == 256 << 20
    more = msgspec.structs.replace(FACTS, llc_bytes=1 << 30)
    assert llama_cpp.job(cell, INPUTS, more).spec["buffer"] == 4 << 30


def test_a_task_without_a_context_gets_what_its_longest_question_needs() -> None:
    cell = msgspec.structs.replace(SPEED, workload=Task(task="t"))
    inputs = msgspec.structs.replace(INPUTS, context=room_for(2900, trained=8192))
    assert llama_cpp.job(cell, inputs, FACTS).spec["context"] == 3584
    given = msgspec.structs.replace(cell, workload=Task(task="t", context=1024))
    assert llama_cpp.job(given, inputs, FACTS).spec["context"] == 1024


@pytest.mark.parametrize(
    ("longest", "trained", "room"),
    [(300, 8192, 2048), (300, 1024, 1024), (1601, 8192, 2304), (8000, 8192, 8192), (8193, 8192, 8193)],
)
def test_room_holds_the_longest_question_and_is_what_the_model_was_trained_for_at_most(
    longest: int, trained: int, room: int
) -> None:
    assert room_for(longest, trained) == room >= longest


def test_tasks_score_or_generate() -> None:
    cell = msgspec.structs.replace(SPEED, workload=Task(task="t"))
    assert llama_cpp.job(cell, INPUTS, FACTS).spec["kind"] == "score"
    generating = msgspec.structs.replace(INPUTS, generates=True)
    spec = llama_cpp.job(cell, generating, FACTS).spec
    assert spec["kind"] == "generate" and "reference" not in spec
    text = msgspec.structs.replace(SPEED, workload=Text(text="t"))
    assert llama_cpp.job(text, msgspec.structs.replace(INPUTS, reference="/ref"), FACTS).spec["reference"] == "/ref"


@pytest.mark.parametrize(
    ("workload", "runtime", "said"),
    [
        (Speed(prompt_tokens=1000, generated_tokens=100), {}, "1100 tokens do not fit a context of 1024"),
        (Speed(prompt_tokens=1, generated_tokens=1, depth=1023), {}, "1025 tokens"),
        (Task(task="t", context=9000), {}, "more than the 2048 tokens the model was trained for"),
        (Speed(prompt_tokens=1, generated_tokens=1), {"kv_type": "q8_0", "flash_attn": "off"}, "flash attention"),
        (Speed(prompt_tokens=1, generated_tokens=1), {}, None),
    ],
)
def test_what_cannot_be_has_a_reason(workload: object, runtime: dict[str, str], said: str | None) -> None:
    cell = msgspec.structs.replace(SPEED, workload=workload, runtime=msgspec.structs.replace(RUNTIME, **runtime))
    why = llama_cpp.supports(cell, Variant(name="v", model=MODEL, recipe="f16"))
    assert why is None if said is None else said in str(why)


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("bench-llama-*.jsonl")), ids=lambda p: p.stem)
def test_recorded_output_of_the_real_runner_is_understood(path: Path) -> None:
    parsed = parse_events(path.read_bytes())
    assert parsed.done and parsed.error is None
    kind = path.stem.rsplit("-", 1)[-1]
    expected = {"speed": Timing, "memory": MemorySeen, "bandwidth": BandwidthSeen}[kind]
    assert any(isinstance(o, expected) for o in parsed.observations)
    assert kind == "bandwidth" or any(isinstance(o, Loaded) for o in parsed.observations)
    assert not any(getattr(o, "warmup", False) for o in parsed.observations)
    assert kind == "memory" or parsed.warmups


@given(st.data())
def test_a_recording_cut_anywhere_is_not_done_and_never_a_crash(data: st.DataObject) -> None:
    body = next(iter(sorted(RECORDINGS.glob("bench-llama-*-speed.jsonl")))).read_bytes()
    cut = body[: data.draw(st.integers(min_value=0, max_value=len(body) - 1))]
    assert not parse_events(cut).done


@pytest.mark.parametrize(
    "garbage", [b"not json\n", b'{"event": "surprise"}\n', b'{"event": "timing"}\n', b"[]\n", b"\xff\n"]
)
def test_garbage_is_an_error_the_caller_can_record(garbage: bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        parse_events(garbage)


def test_discarded_windows_count_for_nothing_and_are_kept() -> None:
    lines = next(RECORDINGS.glob("*-speed.jsonl")).read_bytes().splitlines(keepends=True)
    timing = next(line for line in lines if b'"timing"' in line and b'"warmup":true' not in line.replace(b" ", b""))
    event = msgspec.json.decode(timing)
    canary = {"compute_ns": 40_000_000, "read_ns": 9_000_000}
    slow = {**event, "discarded": True, "canary_before": canary, "canary_after": canary}
    parsed = parse_events(b"".join([*lines, msgspec.json.encode(slow) + b"\n"]))
    assert [t.discarded for t in parsed.discards if isinstance(t, Timing)] == [True]
    assert not any(t.discarded for t in parsed.observations if isinstance(t, Timing))
