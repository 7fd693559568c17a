"""A build of the runner is believed once its answers are those of the reference, and not before."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.build.runners import Runner
from harness.doctor import kernels
from harness.errors import DeviceLostError
from harness.measure import kernel_check
from harness.measure.jobs import Conditions, Job, OnProgress, Outcome
from harness.measure.kernel_agreement import (
    LIMITS,
    QUANTIZED_LIMITS,
    choices_of,
    compare,
    limits_for,
    why_not,
)
from harness.measure.kernel_check import Candidate, check_kernels
from harness.measure.requests import Requests
from harness.progress import Silent
from harness.store import read_lines, write_lines
from harness.values import (
    Artifact,
    ArtifactFile,
    DeviceFacts,
    DeviceSpec,
    FileSource,
    Model,
    ProcessSeen,
    Runtime,
    Variant,
    digest,
)

QUESTIONS, CHOICES = 50, 4
FACTS = DeviceFacts(
    device="d", model="m", os="o", arch="a", cpu="c", logical_cpus=2, usable_cores=2, memory_bytes=1 << 30, llc_bytes=1
)
RUNTIME = Runtime(name="llama.cpp", threads=2, threads_batch=2)


def artifact(*types: str, size: int = 1000, name: str = "v") -> Artifact:
    return Artifact(
        variant=name,
        format="gguf",
        sha256=digest([types, size]),
        files=(ArtifactFile(name="model.gguf", bytes=size, sha256=digest([types, size])),),
        parameters=1,
        tensor_bytes=1,
        decode_bytes=1,
        tensor_types=dict.fromkeys(types, 1),
        path="model.gguf",
    )


def logprob(number: int) -> float:
    """Of the reference: question and choice decide, and no two choices of a question are close."""
    return -1.0 - (number * 7 % CHOICES) - number / 1000


class Answering:
    """A device whose programs answer as the reference does, but for an error against the likeliest choice."""

    def __init__(self, errors: dict[str, float], name: str = "local") -> None:
        self.spec, self.errors = DeviceSpec(name=name), errors
        self.jobs: list[dict[str, Any]] = []
        self.dies = False
        self.lost: str | None = None

    def facts(self) -> DeviceFacts:
        return FACTS

    def conditions(self) -> Conditions:
        return Conditions(load_average=0.0, available_bytes=1 << 33, power=None)

    def run(self, job: Job, work: Path, on_progress: OnProgress | None = None) -> Outcome:
        self.jobs.append({"program": job.argv[0], **job.spec})
        error = self.errors[job.argv[0]]
        lines = read_lines(Path(job.spec["requests"]))
        answers = (
            {
                "id": r["id"],
                "logprob": logprob(r["id"]) + (-error if r["id"] * 7 % CHOICES == 0 else error),
                "greedy": False,
                "tokens": 1,
            }
            for r in lines
        )
        if self.dies:
            seen = ProcessSeen(signal="SIGILL", exit_code=None, wall_ns=1, user_ns=1, system_ns=1, major_faults=0)
            return Outcome(process=seen, events=b"", stderr_tail="", lost=self.lost)
        write_lines(Path(job.spec["answers"]), answers)
        seen = ProcessSeen(signal=None, exit_code=0, wall_ns=1, user_ns=1, system_ns=1, major_faults=0)
        return Outcome(process=seen, events=b'{"event":"done","wall_ns":1}\n', stderr_tail="")


class Prepared:
    """What the check needs of this machine's preparation: questions and where the reference is made."""

    def __init__(self, local: Answering, folder: Path) -> None:
        self.local, self.progress = local, Silent()
        self.runner = Runner(path="native", sha256=digest("native"))
        path = folder / "requests.jsonl.gz"
        requests = [
            {"id": CHOICES * d + i, "kind": "loglikelihood", "doc": d, "index": i, "context": [1], "continuation": [2]}
            for d in range(QUESTIONS)
            for i in range(CHOICES)
        ]
        write_lines(path, requests)
        self.made = Requests(path=path, hash="h" * 32, count=len(requests), generates=False, versions={})

    def requests(self, *_: Any) -> Requests:
        return self.made


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answering:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return Answering({"native": 0.0, "exact": 0.0, "near": 0.01, "wrong": 3.0})


@pytest.fixture
def prepared(local: Answering, tmp_path: Path) -> Any:
    return Prepared(local, tmp_path)


def candidate(device: Answering, program: str, *types: str) -> Candidate:
    model = Model(name="m", source=FileSource(path="m.gguf"), label="l")
    return Candidate(
        program=Runner(path=program, sha256=digest(program)),
        device=device,
        runtime=RUNTIME,
        variant=Variant(name="v", model=model, recipe="bf16"),
        artifact=artifact(*(types or ("f16", "f32"))),
    )


def test_a_build_that_answers_as_the_reference_passes(local: Answering, prepared: Any) -> None:
    found = check_kernels(candidate(local, "near"), prepared)
    assert found.passed and found.reason is None and found.agreed == found.questions == QUESTIONS
    assert found.largest_nats == pytest.approx(0.01) and found.mean_nats == pytest.approx(0.01)
    assert found.runner_sha256 == digest("near") and found.limits == LIMITS


def test_a_build_that_computes_something_else_does_not(local: Answering, prepared: Any) -> None:
    found = check_kernels(candidate(local, "wrong"), prepared)
    assert not found.passed and found.reason is not None
    assert "3.000 nats apart on average" in found.reason and "choices are the same" in found.reason


def test_the_reference_takes_the_plainest_path_and_the_candidate_its_own(local: Answering, prepared: Any) -> None:
    check_kernels(candidate(local, "exact"), prepared)
    reference, asked = local.jobs
    assert reference["program"] == "native" and not reference["repack"]
    assert (reference["flash_attn"], reference["kv_type"]) == ("off", "f32")
    assert asked["program"] == "exact" and asked["repack"]
    assert (asked["flash_attn"], asked["kv_type"]) == ("auto", "f16")


def test_a_check_is_made_once_for_a_build_a_file_and_settings(local: Answering, prepared: Any) -> None:
    phone = Answering({"near": 0.01, "exact": 0.0}, name="phone")
    first = check_kernels(candidate(phone, "near"), prepared)
    assert check_kernels(candidate(phone, "near"), prepared) == first
    assert (len(local.jobs), len(phone.jobs)) == (1, 1)
    more_threads = msgspec.structs.replace(candidate(phone, "near"), runtime=Runtime(name="llama.cpp", threads=4))
    assert check_kernels(more_threads, prepared) == first and len(phone.jobs) == 1
    check_kernels(candidate(phone, "exact"), prepared)
    assert (len(local.jobs), len(phone.jobs)) == (1, 2), "another build, the same reference"
    check_kernels(candidate(phone, "near", "q4_0"), prepared)
    assert (len(local.jobs), len(phone.jobs)) == (2, 3), "another file"
    without = msgspec.structs.replace(candidate(phone, "near"), runtime=msgspec.structs.replace(RUNTIME, repack=False))
    check_kernels(without, prepared)
    assert len(phone.jobs) == 4, "another path through the kernels"


def test_a_failed_check_is_kept_too(local: Answering, prepared: Any) -> None:
    assert check_kernels(candidate(local, "wrong"), prepared) == check_kernels(candidate(local, "wrong"), prepared)
    assert len(local.jobs) == 2


def test_a_program_that_dies_does_not_pass_and_is_asked_again(local: Answering, prepared: Any) -> None:
    phone = Answering({"near": 0.01}, name="phone")
    phone.dies = True
    found = check_kernels(candidate(phone, "near"), prepared)
    assert not found.passed and found.reason == "no answers: the program died by SIGILL"
    assert found.agreed is found.largest_nats is found.mean_nats is None
    phone.dies = False
    assert check_kernels(candidate(phone, "near"), prepared).passed


def test_a_phone_that_is_lost_says_nothing_against_a_build(local: Answering, prepared: Any) -> None:
    phone = Answering({"near": 0.01}, name="phone")
    phone.dies, phone.lost = True, "the phone was started anew more than once"
    with pytest.raises(DeviceLostError, match="phone: the phone was started anew"):
        check_kernels(candidate(phone, "near"), prepared)


def test_a_kept_check_that_was_torn_is_made_again(local: Answering, prepared: Any, tmp_path: Path) -> None:
    first = check_kernels(candidate(local, "near"), prepared)
    (kept,) = (tmp_path / "cache/kernel-checks").glob("*.json")
    kept.write_bytes(kept.read_bytes()[:40])
    assert check_kernels(candidate(local, "near"), prepared) == first and len(local.jobs) == 3


def test_the_doctor_tells_it(local: Answering, prepared: Any) -> None:
    good = kernels.kernels(candidate(local, "near"), prepared)
    assert good.state == "good" and good.seen is not None and "50 of 50 choices" in good.seen
    bad = kernels.kernels(candidate(local, "wrong"), prepared)
    assert bad.state == "bad" and bad.effect and bad.advice
    local.dies = True
    dark = kernels.kernels(candidate(local, "exact"), prepared)
    assert dark.state == "unknown" and dark.reason is not None and "SIGILL" in dark.reason


def test_without_a_reference_nothing_is_known(local: Answering, prepared: Any) -> None:
    local.dies = True
    found = kernels.kernels(candidate(local, "near"), prepared)
    assert found.state == "unknown" and "reference answers of v cannot be made" in str(found.reason)


# ---------------------------------------------------------------- pure parts

LOGPROBS = st.lists(st.floats(-50, 0), min_size=8, max_size=8)


@given(LOGPROBS)
def test_the_same_answers_agree_in_everything(values: list[float]) -> None:
    answers = dict(enumerate(values))
    found = compare([(0, 1, 2, 3), (4, 5, 6, 7)], answers, answers)
    assert (found.questions, found.agreed, found.largest_nats, found.mean_nats) == (2, 2, 0.0, 0.0)
    assert why_not(found, LIMITS) is None


@given(LOGPROBS, LOGPROBS)
def test_differences_are_the_same_both_ways(some: list[float], others: list[float]) -> None:
    choices = [(0, 1, 2, 3), (4, 5, 6, 7)]
    one, other = dict(enumerate(some)), dict(enumerate(others))
    found = compare(choices, one, other)
    assert found == compare(choices, other, one)
    assert 0 <= found.mean_nats <= found.largest_nats + 1e-12


def test_a_difference_of_one_answer_is_seen_however_many_there_are() -> None:
    choices = [tuple(range(4 * q, 4 * q + 4)) for q in range(200)]
    reference = {number: logprob(number) for question in choices for number in question}
    one_off = {**reference, 17: reference[17] - 5}
    found = compare(choices, reference, one_off)
    assert found.largest_nats == pytest.approx(5)
    assert "one answer is 5.00 nats apart" in str(why_not(found, QUANTIZED_LIMITS))


def test_what_is_no_number_never_passes() -> None:
    found = compare([(0, 1)], {0: -1.0, 1: -2.0}, {0: -math.inf, 1: -2.0})
    assert why_not(found, LIMITS) == "an answer's log-probability is no number"


def test_choices_stand_in_the_order_of_the_task() -> None:
    lines = [{"doc": 1, "index": 1, "id": 7}, {"doc": 0, "index": 0, "id": 9}, {"doc": 1, "index": 0, "id": 3}]
    assert choices_of(lines) == ((9,), (3, 7))


def test_a_file_with_quantized_weights_has_wider_limits() -> None:
    assert limits_for(artifact("f16", "f32")) == LIMITS
    assert limits_for(artifact("bf16", "f32")) == LIMITS
    assert limits_for(artifact("q4_0", "q8_0", "f32")) == QUANTIZED_LIMITS


def test_the_questions_are_the_projects_own() -> None:
    assert kernel_check.QUESTIONS == "knowledge_200"
