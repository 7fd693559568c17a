"""The native runner: its scores are right, and every wrong job ends with one clear line."""

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.build.runners.llama_cpp_build import Runner
from harness.store import read_lines
from harness.values import Artifact
from tests.integration.conftest import Ask

pytestmark = pytest.mark.runner

COMMON = {
    "threads": 1,
    "threads_batch": 1,
    "context": 256,
    "batch": 64,
    "ubatch": 32,
    "load_mode": "none",
    "repack": False,
    "kv_type": "f32",
    "flash_attn": "off",
}


def write(path: Path, lines: list[dict[str, Any]]) -> str:
    shared = [line if "positions" in line or "text" in line else {"shared": 0, **line} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in shared))
    return str(path)


@pytest.fixture
def model(artifacts: dict[str, Artifact]) -> str:
    return artifacts["f16"].path


def scores(ask: Ask, model: str, folder: Path, lines: list[dict[str, Any]], **changes: Any) -> dict[int, Any]:
    answers = folder / f"answers-{len(list(folder.iterdir()))}.jsonl"
    job = {"kind": "score", "model": model, **COMMON, "reference": None, "answers": str(answers)}
    code, events, errors = ask({**job, "requests": write(folder / "q.jsonl", lines)}, **changes)
    assert code == 0, errors
    assert events[-1]["event"] == "done"
    return {a["id"]: a for a in read_lines(answers)}


CONTEXT = [100, 2000, 300, 40, 5000]


def test_a_continuation_is_the_sum_of_its_steps(ask: Ask, model: str, tmp_path: Path) -> None:
    tail = [7, 77, 777, 7777]
    steps = [{"id": i, "context": CONTEXT + tail[:i], "continuation": [tail[i]]} for i in range(4)]
    found = scores(ask, model, tmp_path, [*steps, {"id": 9, "context": CONTEXT, "continuation": tail}])
    assert found[9]["logprob"] == pytest.approx(sum(found[i]["logprob"] for i in range(4)), abs=1e-3)
    assert found[9]["greedy"] == all(found[i]["greedy"] for i in range(4)) and found[9]["tokens"] == 4


def test_probabilities_of_all_tokens_sum_to_one(ask: Ask, model: str, tmp_path: Path) -> None:
    lines = [{"id": t, "context": CONTEXT, "continuation": [t]} for t in range(49152)]
    found = scores(ask, model, tmp_path, lines)
    assert math.fsum(math.exp(a["logprob"]) for a in found.values()) == pytest.approx(1, abs=1e-4)
    assert sum(a["greedy"] for a in found.values()) == 1
    best = max(found.values(), key=lambda a: a["logprob"])
    assert best["greedy"]


def test_answers_do_not_depend_on_company_order_or_batch(ask: Ask, model: str, tmp_path: Path) -> None:
    lines = [
        {"id": 10 * c + n, "context": [*CONTEXT, c], "continuation": [3 + n + i for i in range(1 + 9 * n)]}
        for c in range(6)
        for n in range(5)
    ]
    together = scores(ask, model, tmp_path, lines)
    groups = [lines[i : i + 5] for i in range(0, 30, 5)]
    backwards = scores(ask, model, tmp_path, [line for group in reversed(groups) for line in group])
    assert together == backwards, "the order of groups changes nothing at all"
    alone = {k: v for group in groups for k, v in scores(ask, model, tmp_path, group).items()}
    assert together == alone
    small = scores(ask, model, tmp_path, lines, batch=16, ubatch=16)
    for key, answer in together.items():
        assert small[key]["logprob"] == pytest.approx(answer["logprob"], abs=1e-3)


LARGE = {"context": 1024, "batch": 512, "ubatch": 512, "repack": True, "kv_type": "f16", "flash_attn": "auto"}
"""Room for several questions in one call."""


def questions() -> list[list[dict[str, Any]]]:
    """Contexts of many lengths with four continuations each, some of which begin alike; two beginnings are shared."""
    return [
        [
            {
                "id": 10 * c + n,
                "context": [*([7 + c % 2] * 70), *((c * 41 + i * i) % 49152 for i in range(3 + (17 * c) % 130))],
                "shared": 70 if c < 14 else 0,
                "continuation": [5, *(9 + (n * i) % 3 for i in range(c % 3 * 5)), 50 + n],
            }
            for n in range(4)
        ]
        for c in range(20)
    ]


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        *((name, {}) for name in ("bf16", "f16", "int8", "int4-ptq")),
        ("f16", {"flash_attn": "off"}),
        ("f16", {"kv_type": "q8_0", "flash_attn": "on"}),
        ("int8", {"repack": False}),
    ],
)
def test_questions_in_one_call_are_answered_as_if_each_were_alone(
    ask: Ask, artifacts: dict[str, Artifact], tmp_path: Path, variant: str, changes: dict[str, Any]
) -> None:
    """Bit for bit: what a question's neighbours are shows in none of its sums."""
    model, settings, groups = artifacts[variant].path, {**LARGE, **changes}, questions()
    whole = scores(ask, model, tmp_path, [line for group in groups for line in group], **settings)
    assert len(whole) == 80
    some = scores(ask, model, tmp_path, [line for group in groups[::-3] for line in group], **settings)
    alone = [scores(ask, model, tmp_path, groups[c], **settings) for c in (0, 9, 19)]
    for part in (some, *alone):
        assert part == {key: whole[key] for key in part}
    small = {**settings, "ubatch": 32}  # too small for more than one question
    singly = scores(ask, model, tmp_path, [line for group in groups for line in group], **small)
    apart = [abs(singly[key]["logprob"] - whole[key]["logprob"]) for key in whole]
    assert max(apart) < 0.5 and sum(apart) / len(apart) < 0.1, "another way to the same sums"


def test_logits_that_are_no_numbers_end_the_job_by_the_requests_name(ask: Ask, model: str, tmp_path: Path) -> None:
    from gguf import GGUFReader

    spoiled = tmp_path / "spoiled.gguf"
    shutil.copy(model, spoiled)
    reader = GGUFReader(spoiled, "r+")
    next(t for t in reader.tensors if t.name == "output_norm.weight").data[:] = math.nan
    reader.data.flush()
    asked = {
        "score": [line for group in questions()[3:] for line in group],
        "generate": [{"id": 30, "tokens": CONTEXT, "shared": 0, "max_tokens": 4, "stop": []}],
        "reference": [{"id": 30, "tokens": CONTEXT, "positions": [2], "rows": [0]}],
    }
    for kind, lines in asked.items():
        job = {"kind": kind, "model": str(spoiled), **COMMON, **LARGE, "requests": write(tmp_path / kind, lines)}
        own = {"output": str(tmp_path / "r")} if kind == "reference" else {"answers": str(tmp_path / f"{kind}.answers")}
        code, events, _ = ask({**job, **({"reference": None} if kind == "score" else {}), **own})
        assert code == 1 and events[-1]["event"] == "error"
        assert "request 30: the model's logits are not numbers" in events[-1]["message"]
    assert not (tmp_path / "r").exists()


def test_a_single_logit_that_is_no_number_ends_generation_and_distances(
    ask: Ask, artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    """A NaN is never the largest of a row: the choice would pass over it."""
    from gguf import GGUFReader

    spoiled = tmp_path / "spoiled.gguf"
    shutil.copy(artifacts["f16"].path, spoiled)
    reader = GGUFReader(spoiled, "r+")
    next(t for t in reader.tensors if t.name == "token_embd.weight").data[777] = math.nan
    reader.data.flush()
    job = {"model": str(spoiled), **COMMON}
    reference = {"kind": "reference", "output": str(tmp_path / "r")}
    drawn = [{"id": 4, "tokens": CONTEXT, "positions": [2], "rows": [0]}]
    sound = {**job, **reference, "model": artifacts["f16"].path, "requests": write(tmp_path / "drawn", drawn)}
    assert ask(sound)[0] == 0
    asked = {
        "generate": [{"id": 4, "tokens": CONTEXT, "shared": 0, "max_tokens": 4, "stop": []}],
        "score": drawn,
    }
    for kind, lines in asked.items():
        own = {"reference": str(tmp_path / "r")} if kind == "score" else {}
        files = {"requests": write(tmp_path / kind, lines), "answers": str(tmp_path / f"{kind}.answers")}
        code, events, _ = ask({**job, "kind": kind, **own, **files})
        assert code == 1 and "request 4: the model's logits are not numbers" in events[-1]["message"]
        assert list(read_lines(tmp_path / f"{kind}.answers")) == []


HEAD = [(31 * i) % 49152 for i in range(90)]
"""More than one batch of 64."""


def test_a_shared_beginning_changes_nothing_but_the_work(ask: Ask, model: str, tmp_path: Path) -> None:
    lines = [
        {"id": 10 * c + n, "context": [*HEAD, c, *CONTEXT], "shared": 90, "continuation": [3 + n] * (1 + 2 * n)}
        for c in range(5)
        for n in range(3)
    ]
    other = {"id": 99, "context": [*HEAD[:80], 7, 7], "shared": 80, "continuation": [5]}
    together = scores(ask, model, tmp_path, [*lines[:6], other, *lines[6:]])
    backwards = scores(ask, model, tmp_path, [other, *(line for i in (12, 9, 6, 3, 0) for line in lines[i : i + 3])])
    assert together == backwards
    groups = [*(lines[i : i + 3] for i in range(0, 15, 3)), [other]]
    assert together == {k: v for group in groups for k, v in scores(ask, model, tmp_path, group).items()}
    whole = scores(ask, model, tmp_path, [{**line, "shared": 0} for line in lines])
    for key, answer in whole.items():
        assert together[key]["logprob"] == pytest.approx(answer["logprob"], abs=1e-4)


def test_many_and_long_continuations_of_one_context_agree_with_single_ones(
    ask: Ask, model: str, tmp_path: Path
) -> None:
    """More sequences than one call has, more rows than one call has, and single tokens among them."""
    lengths = [1, 3, 400, 2, 1, 5, *([4] * 30), 350, 1]
    lines = [
        {"id": n, "context": CONTEXT, "shared": 0, "continuation": [(7 * n + i) % 49152 for i in range(length)]}
        for n, length in enumerate(lengths)
    ]
    together = scores(ask, model, tmp_path, lines, context=512)
    assert [together[n]["tokens"] for n in range(len(lengths))] == lengths
    for line in (lines[n] for n in (0, 1, 2, 4, 20, 36, 37)):
        single = scores(ask, model, tmp_path, [line], context=512)[line["id"]]
        assert together[line["id"]]["logprob"] == pytest.approx(single["logprob"], abs=2e-3)
        assert together[line["id"]]["greedy"] == single["greedy"]


def test_the_last_token_needs_no_room_in_the_context(ask: Ask, model: str, tmp_path: Path) -> None:
    """256 tokens go through the model, the 257th is only predicted."""
    context = [(31 * i) % 49152 for i in range(1, 251)]
    lines = [{"id": n, "context": context, "continuation": list(range(5, 5 + n))} for n in (7, 1)]
    lines.append({"id": 3, "context": [*context, 9, 9, 9, 9, 9, 9], "continuation": [8]})
    found, roomy = (scores(ask, model, tmp_path, lines, context=size) for size in (256, 512))
    for number in (7, 1, 3):
        assert found[number]["logprob"] == pytest.approx(roomy[number]["logprob"], abs=2e-3)
    job = {"kind": "score", "model": model, **COMMON, "reference": None, "answers": str(tmp_path / "a.jsonl")}
    over = [{"id": 8, "context": context, "continuation": list(range(8))}]
    code, _, errors = ask({**job, "requests": write(tmp_path / "over.jsonl", over)})
    assert code == 1 and "request 8: " in errors and "258 tokens; in the job's context fit 256 and a last one" in errors


def test_a_shared_beginning_generates_the_same_text(ask: Ask, artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    lines = [{"id": c, "tokens": [*HEAD, c], "shared": 90, "max_tokens": 5, "stop": []} for c in range(4)]
    job = {"kind": "generate", "model": artifacts["f16"].path, **COMMON}

    def texts(name: str, asked: list[dict[str, Any]]) -> dict[int, str]:
        answers = tmp_path / f"{name}.jsonl"
        code, _, errors = ask({**job, "requests": write(tmp_path / f"{name}-q", asked), "answers": str(answers)})
        assert code == 0, errors
        return {a["id"]: a["text"] for a in read_lines(answers)}

    assert texts("shared", lines) == texts("whole", [{**line, "shared": 0} for line in lines])


def test_generated_bytes_that_are_no_text_are_written_as_such(
    ask: Ask, artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    """One of two tokens always wins: the first bytes of a character of three, whose rest never comes."""
    from gguf import GGUFReader

    spoiled = tmp_path / "spoiled.gguf"
    shutil.copy(artifacts["f16"].path, spoiled)
    reader = GGUFReader(spoiled, "r+")
    tensors = {t.name: t.data for t in reader.tensors}
    words = reader.fields["tokenizer.ggml.tokens"].contents()
    for byte, sign in ((0xE2, 1), (0xE3, -1)):
        tensors["token_embd.weight"][words.index(chr(byte)), 0] = sign * 1000.0
    tensors["output_norm.weight"][1:] = 0.0  # leaves one direction, of either sign
    reader.data.flush()
    asked = write(tmp_path / "g", [{"id": 0, "tokens": CONTEXT, "max_tokens": 3, "stop": []}])
    answers = tmp_path / "answers.jsonl"
    job = {"kind": "generate", "model": str(spoiled), **COMMON, "requests": asked}
    code, _, errors = ask({**job, "answers": str(answers)})
    assert code == 0, errors
    assert next(iter(read_lines(answers))) == {"id": 0, "text": "\ufffd" * 3, "tokens": 3, "stopped": "length"}


def test_kv_types_and_threads_agree(ask: Ask, model: str, tmp_path: Path) -> None:
    lines = [{"id": 0, "context": CONTEXT, "continuation": [9, 8, 7]}]
    exact = scores(ask, model, tmp_path, lines)[0]["logprob"]
    two_threads = {"threads": 2, "threads_batch": 2}
    for changes in ({"kv_type": "f16"}, two_threads, {"load_mode": "mmap"}, {"flash_attn": "on"}):
        assert scores(ask, model, tmp_path, lines, **changes)[0]["logprob"] == pytest.approx(exact, abs=2e-2)


def test_killed_while_scoring_it_goes_on_with_the_same_answers(
    ask: Ask, runner: Runner, model: str, tmp_path: Path
) -> None:
    lines = [
        {"id": 3 * c + n, "context": [*CONTEXT, c], "continuation": [5 + n, 6, 7]} for c in range(400) for n in range(3)
    ]
    whole = scores(ask, model, tmp_path, lines)
    answers = tmp_path / "resumed.jsonl"
    job = {"kind": "score", "model": model, **COMMON, "reference": None, "requests": write(tmp_path / "r.jsonl", lines)}
    (tmp_path / "job.json").write_bytes(msgspec.json.encode({**job, "answers": str(answers)}))
    argv = [runner.path, str(tmp_path / "job.json"), str(tmp_path / "events.jsonl")]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not answers.exists() or answers.stat().st_size < 2000:
        assert process.poll() is None, "the program ended before it could be killed"
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = answers.read_bytes()
    assert 0 < before.count(b"\n") < len(lines)
    answers.write_bytes(before + b'{"id": 11')  # what a kill in the middle of a write leaves
    code, events, errors = ask({**job, "answers": str(answers)})
    assert code == 0, errors
    given = list(read_lines(answers))
    assert answers.read_bytes().startswith(before)
    assert {a["id"]: a for a in given} == whole and len(given) == len(lines)
    scored = next(e for e in events if e["event"] == "scored")
    assert scored["skipped"] == before.count(b"\n") and scored["answered"] == len(lines) - scored["skipped"]


def test_distance_to_its_own_reference_is_zero(ask: Ask, artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    tokens = [(37 * i) % 49152 for i in range(60)]
    drawn = [{"id": 0, "tokens": tokens, "positions": [3, 10, 58], "rows": [0, 1, 2]}]
    job = {"kind": "reference", "model": artifacts["f16"].path, **COMMON}
    reference = tmp_path / "reference.bin"
    code, _, errors = ask({**job, "requests": write(tmp_path / "d.jsonl", drawn), "output": str(reference)})
    assert code == 0, errors
    assert reference.stat().st_size == 24 + 3 * 49152 * 2
    everything = [{"id": 0, "tokens": tokens, "positions": list(range(59)), "rows": [-1] * 59}]
    for row, position in enumerate((3, 10, 58)):
        everything[0]["rows"][position] = row
    for name, low, high in (("f16", 0.0, 1e-4), ("int4-ptq", 1e-5, 10.0)):
        found = scores(ask, artifacts[name].path, tmp_path, everything, reference=str(reference))[0]
        kl = [v for v in found["kl"] if v is not None]
        assert len(kl) == 3 and len(found["logprob"]) == 59
        assert [i for i, v in enumerate(found["top1"]) if v is not None] == [3, 10, 58]
        assert all(low <= v <= high for v in kl), name
    pairs = [{"id": p, "context": tokens[: p + 1], "continuation": [tokens[p + 1]]} for p in (3, 30, 58)]
    again = scores(ask, artifacts["int4-ptq"].path, tmp_path, pairs)
    for p in (3, 30, 58):
        assert found["logprob"][p] == pytest.approx(again[p]["logprob"], abs=1e-2)


def test_generation_is_greedy_and_stops(ask: Ask, artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    def generate(stop: list[str]) -> dict[str, Any]:
        answers = tmp_path / f"g{len(stop)}.jsonl"
        lines = [{"id": 0, "tokens": CONTEXT, "max_tokens": 12, "stop": stop}]
        job = {"kind": "generate", "model": artifacts["f16"].path, **COMMON}
        code, _, errors = ask({**job, "requests": write(tmp_path / "g.jsonl", lines), "answers": str(answers)})
        assert code == 0, errors
        return next(iter(read_lines(answers)))

    free = generate([])
    assert free["stopped"] in ("length", "eog") and free["text"]
    middle = free["text"][len(free["text"]) // 2 :][:3]
    stopped = generate([middle])
    assert stopped["stopped"] == "stop" and free["text"].startswith(stopped["text"]) and middle not in stopped["text"]


def test_tokens_are_the_models_own(ask: Ask, artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    texts = ["Hello world", "", "Zwölf Boxkämpfer 😀", "a <|im_start|> b"]
    lines = [{"id": i, "text": t, "add_special": False, "parse_special": False} for i, t in enumerate(texts)]
    lines.append({"id": 9, "text": texts[3], "add_special": False, "parse_special": True})
    job = {"kind": "tokenize", "model": artifacts["f16"].path, "requests": write(tmp_path / "t.jsonl", lines)}
    code, _, errors = ask({**job, "answers": str(tmp_path / "t.out")})
    assert code == 0, errors
    found = {a["id"]: a["tokens"] for a in read_lines(tmp_path / "t.out")}
    assert found[0] == [19556, 905] and found[1] == []
    assert 1 in found[9] and 1 not in found[3], "special tokens are parsed only when asked for"


SPEED = {
    "kind": "speed",
    **COMMON,
    "prompt": [1, 2, 3],
    "prefix": [],
    "generated": 2,
    "repetitions": 1,
    "warmups": 0,
    "canary": False,
    "discards": 0,
    "idle_ms": 0,
}


def test_each_window_says_where_its_threads_ran(artifacts: dict[str, Artifact], ask: Ask) -> None:
    long = {"prompt": list(range(200)), "generated": 50, "threads": 2, "threads_batch": 2}
    code, events, errors = ask({**SPEED, "model": artifacts["f16"].path}, **long)
    assert code == 0, errors
    (window,) = [e for e in events if e["event"] == "timing"]
    assert 1 <= len(window["threads"]) <= 2
    for thread in window["threads"]:
        assert thread["cpu_before"] in os.sched_getaffinity(0) and thread["cpu_after"] in os.sched_getaffinity(0)
        assert thread["run_ns"] > 0 and thread["wait_ns"] >= 0
    assert window["idle_ns"] == 0


def test_before_a_window_from_idle_the_program_sleeps_and_never_before_a_warm_up(
    artifacts: dict[str, Artifact], ask: Ask
) -> None:
    job = {**SPEED, "model": artifacts["f16"].path, "warmups": 1, "idle_ms": 50, "canary": True}
    code, events, errors = ask(job)
    assert code == 0, errors
    warm, timed = (e for e in events if e["event"] == "timing")
    assert warm["warmup"] and warm["idle_ns"] == 0
    assert timed["idle_ns"] >= 50_000_000 and timed["canary_before"] and timed["canary_after"]


def test_a_prefix_is_decoded_once_and_changes_nothing(artifacts: dict[str, Artifact], ask: Ask) -> None:
    deep = {"prefix": list(range(40, 80)), "prompt": [1, 2, 3], "generated": 4, "repetitions": 3, "warmups": 1}
    code, events, errors = ask({**SPEED, "model": artifacts["f16"].path}, **deep, context=46)
    assert code == 0, errors  # a prefix that was left in the cache twice would not fit into 46 tokens
    timings = [e for e in events if e["event"] == "timing"]
    assert [t["prefix_tokens"] for t in timings] == [40] * 4


LOAD = {"kind": "load", **COMMON, "cold": True}


@pytest.mark.parametrize("cold", [True, False])
def test_a_load_says_what_of_its_file_was_in_memory(artifacts: dict[str, Artifact], ask: Ask, cold: bool) -> None:
    code, events, errors = ask({**LOAD, "model": artifacts["f16"].path, "cold": cold})
    assert code == 0, errors
    seen = next(e for e in events if e["event"] == "load")
    assert seen["cold"] is cold and seen["file_bytes"] == Path(artifacts["f16"].path).stat().st_size
    assert next(e for e in events if e["event"] == "loaded")["load_ns"] > 0
    if not cold:  # but for what the kernel may have taken back meanwhile: the host allows 1 % too
        assert 0.99 * seen["file_bytes"] <= seen["cached_bytes"] <= seen["file_bytes"]
    elif seen["cached_bytes"] is not None:  # a file system in memory cannot drop it, and says so
        assert seen["cached_bytes"] <= seen["file_bytes"]


SUSTAINED = {"kind": "sustained", **COMMON, "prompt": [1, 2, 3, 4], "generated": 3, "work_ms": 200, "idle_ms": 20}


def zone(folder: Path, name: str, title: str, energy_uj: int, range_uj: int = 1000) -> Path:
    """A counter as powercap shows it."""
    path = folder / name
    path.mkdir(parents=True)
    (path / "name").write_text(f"{title}\n")
    (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path


def test_work_without_a_pause_is_told_stretch_by_stretch(
    artifacts: dict[str, Artifact], ask: Ask, tmp_path: Path
) -> None:
    code, events, errors = ask({**SUSTAINED, "model": artifacts["f16"].path, "powercap": str(tmp_path / "none")})
    assert code == 0, errors
    stretches = [e for e in events if e["event"] == "stretch"]
    assert [s["index"] for s in stretches] == list(range(len(stretches))) and len(stretches) > 1
    assert all(a["start_ns"] < b["start_ns"] for a, b in itertools.pairwise(stretches))
    assert {(s["prompt_tokens"], s["generated_tokens"]) for s in stretches} == {(4, 3)}
    (energy,) = [e for e in events if e["event"] == "energy"]
    assert energy["domains"] == [] and "no RAPL counters" in energy["missing"]
    assert energy["idle_ns"] >= 20_000_000 and energy["work_ns"] >= 200_000_000


def test_counters_of_energy_that_lie_side_by_side_are_read(
    artifacts: dict[str, Artifact], ask: Ask, tmp_path: Path
) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 900)
    zone(tmp_path, "intel-rapl:0:0", "core", 5)
    zone(tmp_path, "intel-rapl:0:1", "dram", 7)
    zone(tmp_path, "intel-rapl:1", "psys", 7)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 7)
    code, events, errors = ask({**SUSTAINED, "model": artifacts["f16"].path, "powercap": str(tmp_path)})
    assert code == 0, errors
    (energy,) = [e for e in events if e["event"] == "energy"]
    still = {"idle_uj": 0, "work_uj": 0}
    assert energy["domains"] == [{"name": "package-0", **still}, {"name": "dram", **still}]
    assert energy["missing"] is None


MOVE = """
import pathlib, sys, time
counter, folder = map(pathlib.Path, sys.argv[1:])
while not any(b'"loaded"' in path.read_bytes() for path in folder.glob("*/events.jsonl")):
    time.sleep(0.01)
with open(counter, "r+b", buffering=0) as file:
    file.write(b"150\\n")
"""
"""The counters are open when the model is loaded, and are read again after the sleep."""


def test_a_counter_that_goes_round_is_followed(artifacts: dict[str, Artifact], ask: Ask, tmp_path: Path) -> None:
    """The counter is moved by one step while the program sleeps: from 900 of 1,000 over the end to 150."""
    counter = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 900) / "energy_uj"
    mover = subprocess.Popen([sys.executable, "-c", MOVE, str(counter), str(tmp_path)])
    try:
        job = {**SUSTAINED, "model": artifacts["f16"].path, "powercap": str(tmp_path / "powercap"), "idle_ms": 3000}
        code, events, errors = ask(job)
    finally:
        mover.kill()
        mover.wait()
    assert code == 0, errors
    (energy,) = [e for e in events if e["event"] == "energy"]
    assert energy["domains"] == [{"name": "package-0", "idle_uj": 250, "work_uj": 0}]


def test_a_canary_sings_beside_each_window_and_discards_are_told(artifacts: dict[str, Artifact], ask: Ask) -> None:
    job = {**SPEED, "model": artifacts["f16"].path, "repetitions": 2, "canary": True, "discards": 2}
    code, events, errors = ask(job)
    assert code == 0, errors
    timings = [e for e in events if e["event"] == "timing"]
    for one in timings:
        for when in ("canary_before", "canary_after"):
            assert one[when]["compute_ns"] > 0 and one[when]["read_ns"] > 0
    assert [t["index"] for t in timings if not t["discarded"]] == [0, 1]
    for index in (0, 1):
        assert sum(t["discarded"] for t in timings if t["index"] == index) <= 2


@pytest.mark.parametrize(
    ("changes", "said", "code"),
    [
        ({"surprise": 1}, "surprise", 2),
        ({"prompt": None}, "prompt", 2),
        ({"prompt": []}, "prompt", 2),
        ({"threads": 0}, "threads", 2),
        ({"threads": "two"}, "threads", 2),
        ({"repack": 1}, "repack", 2),
        ({"load_mode": "magic"}, "load_mode", 2),
        ({"kind": "dance"}, "kind", 2),
        ({"context": 3}, "context", None),
        ({"prompt": [49152]}, "49152", None),
        ({"prompt": [-1]}, "prompt", 2),
        ({"model": "/nowhere/m.gguf"}, "/nowhere/m.gguf", None),
    ],
)
def test_a_wrong_job_is_one_clear_line(
    ask: Ask, model: str, changes: dict[str, Any], said: str, code: int | None
) -> None:
    found, events, errors = ask({**SPEED, "model": model}, **changes)
    assert found == code if code is not None else found in (1, 2)
    assert said in errors and len(errors.strip().splitlines()) == 1
    assert events[-1]["event"] == "error" and said in events[-1]["message"]


def test_a_missing_key_is_named(ask: Ask, model: str) -> None:
    code, _, errors = ask({k: v for k, v in {**SPEED, "model": model}.items() if k != "ubatch"})
    assert code == 2 and "ubatch" in errors


@pytest.mark.parametrize("size", [0, 3, 4, 20, 5000, 6_000_000])
def test_a_damaged_model_is_an_error_not_a_crash(ask: Ask, model: str, tmp_path: Path, size: int) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(Path(model).read_bytes()[:size])
    code, events, errors = ask({**SPEED, "model": str(damaged)})
    assert code in (1, 2) and events[-1]["event"] == "error"
    assert "damaged.gguf" in errors and len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b'{"id": 0}\n',
        b'{"id": 0, "context": [], "shared": 0, "continuation": [1]}\n',
        b'{"id": 0, "context": [1], "shared": 0, "continuation": [99999]}\n',
        b'{"id": 0, "context": [1], "shared": 1, "continuation": [1]}\n',
        b'{"id": 0, "context": [1], "shared": -1, "continuation": [1]}\n',
        b'{"id": 0, "context": [1], "continuation": [1]}\n',
        b'{"id": 0, "context": [1], "shared": 0, "continuation": [1]}\n' * 2,
    ],
)
def test_wrong_requests_are_refused(ask: Ask, model: str, tmp_path: Path, line: bytes) -> None:
    (tmp_path / "q.jsonl").write_bytes(line)
    job = {"kind": "score", "model": model, **COMMON, "reference": None}
    code, events, errors = ask({**job, "requests": str(tmp_path / "q.jsonl"), "answers": str(tmp_path / "a.jsonl")})
    assert code in (1, 2) and events[-1]["event"] == "error" and len(errors.strip().splitlines()) == 1


OBSERVER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
"""


@pytest.mark.parametrize("load_mode", ["none", "mmap"])
def test_the_peak_is_what_the_kernel_accounts(
    runner: Runner, artifacts: dict[str, Artifact], tmp_path: Path, load_mode: str
) -> None:
    """A small observer starts the program: what it sees of its child is what `/usr/bin/time` would see."""
    job = {"kind": "memory", "model": artifacts["bf16"].path, **COMMON, "load_mode": load_mode, "context": 4096}
    (tmp_path / "job.json").write_bytes(msgspec.json.encode({**job, "prompt": [5] * 200, "generated": 4}))
    argv = [
        sys.executable,
        "-S",
        "-c",
        OBSERVER,
        runner.path,
        str(tmp_path / "job.json"),
        str(tmp_path / "events.jsonl"),
    ]
    outside = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    memory = next(e for e in read_lines(tmp_path / "events.jsonl") if e["event"] == "memory")
    assert memory["vm_hwm_bytes"] == pytest.approx(outside, rel=0.01)
    assert memory["vm_hwm_bytes"] > 24 << 20 and memory["samples"] > 0


def test_bandwidth_reads_what_it_says(ask: Ask) -> None:
    job = {"kind": "bandwidth", "threads": 2, "buffer": 8 << 20, "repetitions": 3, "warmups": 1}
    code, events, errors = ask(job)
    assert code == 0, errors
    windows = [e for e in events if e["event"] == "bandwidth"]
    assert [w["warmup"] for w in windows] == [True, False, False, False]
    assert all(abs(w["bytes"] - (8 << 20)) < 4096 and w["ns"] > 0 and w["threads"] == 2 for w in windows)
