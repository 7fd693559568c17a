"""When scores are too far from lm-eval's own: which tolerance holds where, and what is said."""

import json
import math
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.build.artifacts import Workshop
from harness.build.recipes import RECIPES
from harness.measure import cross_check
from harness.measure.cross_check import (
    BATCH_SIZES,
    FLOAT32_NATS,
    Answers,
    _why_not,
    compared,
    cross_checked,
    drawn,
    plain_texts,
    too_far,
)
from harness.measure.requests import CHAT, Requests
from harness.progress import Silent
from harness.store import write_lines
from harness.values import (
    Cell,
    CheckpointSource,
    CrossChecked,
    FileSource,
    Model,
    Runtime,
    Size,
    Task,
    TrialRecord,
    Variant,
)

EXACT = {(1, 3): -2.0, (1, 8): -40.0, (1, 5): -0.25}
LOWER = {
    (1, 3): -2.01, (1, 8): -40.2, (1, 5): -0.25,
    (8, 3): -2.02, (8, 8): -40.25, (8, 5): -0.25,
}  # fmt: skip


def ours(**off: float) -> dict[int, float]:
    """The reference's scores, shifted at some requests."""
    return {request: value + off.get(f"r{request}", 0.0) for (_, request), value in EXACT.items()}


def test_the_largest_and_the_mean_difference_are_kept() -> None:
    found = compared(ours(r3=3e-5, r8=-9e-5), EXACT, {}, None, same_library=True)
    assert found.requests == 3
    assert found.largest_nats == pytest.approx(9e-5) and found.mean_nats == pytest.approx(4e-5)
    assert "lm-eval 0." in found.reference and "float32" in found.reference


@pytest.mark.parametrize(("off", "passes"), [(0.99e-4, True), (-0.99e-4, True), (1.01e-4, False), (-3.0, False)])
def test_in_float32_a_ten_thousandth_is_allowed(off: float, passes: bool) -> None:
    found = compared(ours(r8=off), EXACT, {}, None, same_library=True)
    assert found.tolerance_nats == FLOAT32_NATS and found.itself_nats is None
    assert (too_far(found) is None) is passes


def test_the_same_library_may_differ_as_lm_eval_from_itself() -> None:
    found = compared(ours(), EXACT, LOWER, "bfloat16", same_library=True)
    assert found.tolerance_nats == found.itself_nats == pytest.approx(0.05)
    assert f"batch sizes {BATCH_SIZES[0]} and {BATCH_SIZES[1]}" in found.rule and "bfloat16" in found.rule
    assert "bfloat16" in found.reference
    near = {request: value for (size, request), value in LOWER.items() if size == 1}
    for off, passes in ((0.049, True), (-0.049, True), (0.051, False), (-0.051, False)):
        shifted = {**near, 8: near[8] + off}
        assert (too_far(compared(shifted, {}, LOWER, "bfloat16", same_library=True)) is None) is passes


SCORES = st.floats(-100, 0)


@given(st.dictionaries(st.integers(0, 99), st.tuples(SCORES, SCORES), min_size=1), st.sampled_from(BATCH_SIZES))
def test_lm_evals_own_scores_pass_at_either_batch_size(both: dict[int, tuple[float, float]], size: int) -> None:
    """However far its lower precision is from float32."""
    own = {(n, request): pair[i] for request, pair in both.items() for i, n in enumerate(BATCH_SIZES)}
    mine = {request: own[size, request] for request in both}
    assert too_far(compared(mine, {}, own, "bfloat16", same_library=True)) is None


def test_other_kernels_may_be_twice_as_far_from_float32_as_lm_evals() -> None:
    found = compared(ours(), EXACT, LOWER, "bfloat16", same_library=False)
    assert found.tolerance_nats == pytest.approx(0.5) and found.itself_nats == pytest.approx(0.05)
    assert found.rule.startswith("2 times as far") and "are from those in float32" in found.rule
    assert too_far(compared(ours(r5=0.499), EXACT, LOWER, "bfloat16", same_library=False)) is None
    assert too_far(compared(ours(r5=0.501), EXACT, LOWER, "bfloat16", same_library=False)) is not None


@pytest.mark.parametrize("same", [True, False])
def test_the_tolerance_is_never_below_that_of_float32(same: bool) -> None:
    alike = {(size, request): value for size in BATCH_SIZES for (_, request), value in EXACT.items()}
    assert compared(ours(), EXACT, alike, "float16", same_library=same).tolerance_nats == FLOAT32_NATS


def test_a_failure_says_how_far_from_what_and_why_that_is_too_far() -> None:
    why = too_far(compared(ours(r8=0.3), EXACT, LOWER, "bfloat16", same_library=True))
    assert why is not None
    for said in ("0.5 nats", "lm-eval", "allowed are 0.05", "batch sizes"):
        assert said in why


def test_a_score_that_is_no_number_is_too_far() -> None:
    assert too_far(compared(ours(r8=math.nan), {(1, 8): -40.0}, {}, None, same_library=True)) is not None


@given(st.dictionaries(st.integers(0, 99), st.floats(-100, 0), min_size=1), st.floats(0, 1))
def test_one_shifted_score_is_found_wherever_it_is(scores: dict[int, float], share: float) -> None:
    exact = {(1, request): value for request, value in scores.items()}
    wrong = sorted(scores)[min(int(share * len(scores)), len(scores) - 1)]
    assert too_far(compared(scores, exact, {}, None, same_library=True)) is None
    assert too_far(compared({**scores, wrong: scores[wrong] - 1e-3}, exact, {}, None, same_library=True)) is not None


MODEL = Model(name="m", source=FileSource(path="m.gguf"), label="m")


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_only_sixteen_bit_weights_can_be_checked(recipe: str) -> None:
    cell = Cell(
        key="0" * 16, variant="v", runtime=Runtime(name="llama.cpp"), device="local", workload=Task(task="arc_easy")
    )
    why = _why_not(cell, Variant(name="v", model=MODEL, recipe=recipe))
    assert (why is None) is (recipe in ("bf16", "f16"))
    assert why is None or f"recipe {recipe!r}" in why or "the scheme's integers" in why


@pytest.mark.parametrize("damage", [None, b"no requests"])
def test_a_check_that_cannot_be_made_fails_its_trial_and_ends_no_run(tmp_path: Path, damage: bytes | None) -> None:
    """The model is gone (InputError); the requests cannot be read (StoreError)."""
    folder = tmp_path / "model"
    if damage is not None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "tokenizer.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    model = msgspec.structs.replace(MODEL, source=CheckpointSource(path=str(folder)))
    variant = Variant(name="v", model=model, recipe="released")
    requests = tmp_path / "requests.jsonl.gz"
    write_lines(requests, [{"id": 0, "task": "t", "doc": 0, "kind": "loglikelihood", "prompt": "Q", "target": " A"}])
    if damage is not None:
        requests.write_bytes(damage)
    asked = Requests(path=requests, hash="0", count=1, generates=False, versions={})
    cell = Cell(key="0" * 16, variant="v", runtime=Runtime(name="hf"), device="local", workload=Task(task="arc_easy"))
    plan = SimpleNamespace(cross_check=5, suite=SimpleNamespace(seed=1))
    floor: Any = SimpleNamespace(variants={"v": variant}, requests={cell.key: asked}, plan=plan)
    floor.ready = SimpleNamespace(workshop=Workshop(None, Silent()))
    record = TrialRecord(trial="t", cell=cell.key, round=0, status="ok", reason=None, started="2026-01-01T00:00:00Z")
    found = cross_checked(floor, cell, record, [{"id": 0, "logprob": -1.0}])
    assert found.status == "failed" and str(found.reason).startswith("the cross-check failed: ")
    assert ("no folder at" if damage is None else "requests.jsonl.gz") in str(found.reason)


def test_what_is_no_task_cannot_be_checked() -> None:
    cell = Cell(key="0" * 16, variant="v", runtime=None, device="local", workload=Size())
    assert _why_not(cell, Variant(name="v", model=MODEL, recipe="bf16")) == "it is no task"


@pytest.mark.parametrize(
    ("runtime", "why"),
    [
        (Runtime(name="llama.cpp", kv_type="q8_0"), "q8_0 KV cache"),
        (Runtime(name="llama.cpp", kv_type="f32"), None),
        (Runtime(name="hf"), None),
    ],
)
def test_what_the_reference_does_otherwise_is_not_checked(runtime: Runtime, why: str | None) -> None:
    cell = Cell(key="0" * 16, variant="v", runtime=runtime, device="local", workload=Task(task="arc_easy"))
    assert _why_not(cell, Variant(name="v", model=MODEL, recipe="bf16")) == why


def floor_of(tmp_path: Path, lines: list[dict[str, Any]], **versions: str) -> tuple[Any, Cell]:
    """A run with these requests and a checkpoint whose one special token is `</s>`."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    token = {"id": 0, "content": "</s>", "special": True}
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": [token]}))
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    model = msgspec.structs.replace(MODEL, source=CheckpointSource(path=str(folder)))
    requests = tmp_path / "requests.jsonl.gz"
    write_lines(requests, [{"task": "t", "doc": line["id"], **line} for line in lines])
    asked = Requests(path=requests, hash="0", count=len(lines), generates=False, versions=versions)
    cell = Cell(key="0" * 16, variant="v", runtime=Runtime(name="hf"), device="local", workload=Task(task="arc_easy"))
    plan = SimpleNamespace(cross_check=5, suite=SimpleNamespace(seed=1))
    floor: Any = SimpleNamespace(
        variants={"v": Variant(name="v", model=model, recipe="released")}, requests={cell.key: asked}, plan=plan
    )
    floor.ready = SimpleNamespace(workshop=Workshop(None, Silent()))
    return floor, cell


RECORD = TrialRecord(trial="t", cell="0" * 16, round=0, status="ok", reason=None, started="2026-01-01T00:00:00Z")


def test_a_rolling_text_is_not_checked_and_nothing_is_made_for_it(tmp_path: Path) -> None:
    floor, cell = floor_of(tmp_path, [{"id": 0, "kind": "loglikelihood_rolling", "prompt": "a text"}])
    floor.ready = None
    found = cross_checked(floor, cell, RECORD, [{"id": 0, "logprob": -1.0}])
    assert found.status == "ok" and found.noise == ("not cross-checked: rolling text",)


@pytest.mark.parametrize(("logprob", "status"), [(-1.00009, "ok"), (-1.00011, "failed"), (-0.9998, "failed")])
def test_a_score_beyond_the_tolerance_fails_its_trial_and_keeps_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logprob: float, status: str
) -> None:
    lines = [{"id": n, "kind": "loglikelihood", "prompt": "Q", "target": f" {n}"} for n in range(3)]
    floor, cell = floor_of(tmp_path, lines)
    monkeypatch.setattr(cross_check, "_ask", lambda *_: {(1, n): -1.0 for n in range(3)})
    cell = msgspec.structs.replace(cell, runtime=Runtime(name="hf", dtype="float32"))
    given = [{"id": n, "logprob": logprob if n == 1 else -1.0} for n in range(3)]
    found = cross_checked(floor, cell, RECORD, given)
    assert found.status == status and bool(found.reason) == (status == "failed")
    (seen,) = found.observations
    assert isinstance(seen, CrossChecked) and seen.requests == 3
    assert seen.largest_nats == pytest.approx(abs(logprob + 1))


@pytest.mark.parametrize(("versions", "checked"), [({}, False), ({CHAT: "0123, date 26 Jul 2024"}, True)])
def test_special_texts_of_chat_prompts_are_tokens_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], checked: bool
) -> None:
    floor, cell = floor_of(
        tmp_path, [{"id": 0, "kind": "loglikelihood", "prompt": "Q</s>", "target": " A"}], **versions
    )
    asked: list[Any] = []

    def ask(*given: Any) -> Answers:
        asked.append(given[3])
        return {(1, 0): -1.0}

    monkeypatch.setattr(cross_check, "_ask", ask)
    cell = msgspec.structs.replace(cell, runtime=Runtime(name="hf", dtype="float32"))
    found = cross_checked(floor, cell, RECORD, [{"id": 0, "logprob": -1.0}])
    assert found.status == "ok" and bool(asked) is checked
    assert checked or found.noise == ("not cross-checked: every prompt holds the text of a special token",)


def test_questions_are_drawn_with_all_of_their_requests() -> None:
    asked = [{"id": n, "task": "ab"[n // 20], "doc": n % 20 // 4} for n in range(40)]
    some = drawn(asked, 3, 1)
    assert len(some) == 12 and len({(line["task"], line["doc"]) for line in some}) == 3
    assert some == drawn(asked, 3, 1) != drawn(asked, 3, 2)
    assert drawn(asked, 99, 1) == asked


def test_texts_with_the_text_of_a_special_token_are_left_out() -> None:
    asked = [
        {"id": 0, "context": "Q", "continuation": " A"},
        {"id": 1, "context": "what is </s>", "continuation": " A"},
        {"id": 2, "context": "Q", "continuation": " <|im_end|>"},
        {"id": 3, "context": "at the joint <", "continuation": "/s>"},
    ]
    assert [line["id"] for line in plain_texts(asked, ("</s>", "<|im_end|>"))] == [0]
    assert plain_texts(asked, ()) == asked
