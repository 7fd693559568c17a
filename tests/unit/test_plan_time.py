"""The suites for phones, planned without one, and how long they will take."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.build.artifacts import artifact_folder
from harness.build.hub_models import hub_file
from harness.config import load_suite
from harness.device_files import load_devices
from harness.errors import BenchError, ConfigError, InputError
from harness.listing import in_hours, plan_lines
from harness.measure.plan_time import TimeExpected, expected_times, weight_bytes
from harness.pipeline import Wish, known_names, plan
from harness.values import FULL, DeviceSpec, HubSource, PhoneSpec, Plan, Speed, Suite, Task, only_for

HOUR = 3600.0


@pytest.fixture(autouse=True)
def _no_files_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("BENCH_MODELS", str(tmp_path / "models"))


def planned(suite: str = "mobile", device: str = "oneplus12", **wish: object) -> Plan:
    return plan(Wish(suite=suite, devices=(device,), **wish), ("bench",))  # type: ignore[arg-type]


def time_of(found: Plan) -> TimeExpected:
    (time,) = expected_times(found)
    return time


def test_mobile_is_planned_without_a_phone_and_takes_at_most_three_hours() -> None:
    found = planned()
    time = time_of(found)
    assert time.trials == len(found.trials) and not time.unknown and not time.too_large
    assert HOUR < time.total_s <= 3 * HOUR
    assert time.total_s == time.prepare_s + time.work_s + time.cool_down_s
    assert time.prepare_s > sum(weight_bytes(v) or 0 for v in found.suite.variants) / 60e6, "a cable of USB 2"
    warmed = {c.key for c in found.cells if c.measure in ("bandwidth", "speed", "sustained")}
    timed = sum(t.cell in warmed for t in found.trials)
    assert time.cool_down_s == 60.0 * timed
    assert time.cool_down_most_s == 300.0 * timed and time.most_s == time.total_s + 240.0 * timed
    assert {c.runtime.threads for c in found.cells if c.runtime} == {6}
    line = next(line for line in plan_lines(found) if line.startswith("time on oneplus12"))
    assert all(in_hours(part) in line for part in (time.total_s, time.cool_down_s, time.prepare_s))
    assert "at least" in line and line.endswith(f"up to {in_hours(time.most_s)} where the phone does not cool")


@pytest.mark.parametrize(
    "device", ["galaxy-s24plus-exynos", "galaxy-s24plus-snapdragon", "galaxy-s22-exynos", "pixel-8"]
)
def test_mobile_fits_three_hours_on_smaller_phones_as_well(device: str) -> None:
    time = time_of(planned(device=device))
    assert time.total_s <= 3 * HOUR and {"3b-bf16", "3b-f16"} <= set(time.too_large)


def test_the_demonstration_takes_an_hour_on_any_known_phone() -> None:
    for name, spec in load_devices().items():
        if isinstance(spec.phone, PhoneSpec) and spec.phone.clusters:
            time = time_of(planned("mobile-demo", name))
            assert time.total_s < 1.25 * HOUR and not time.too_large and not time.unknown, name


def test_no_single_trial_of_mobile_outlasts_its_time_limit() -> None:
    """Timed programs are ended after 15 minutes."""
    found = planned()
    for cell in found.cells:
        if isinstance(cell.workload, Speed):
            alone = msgspec.structs.replace(found, cells=(cell,), trials=())
            assert time_of(alone).work_s < 900 * cell.workload.rounds, cell.variant


def test_mobile_asks_what_it_should() -> None:
    found = planned()
    kinds = Counter(c.measure for c in found.cells)
    assert set(kinds) == {"size", "bandwidth", "memory", "speed", "sustained", "task"}
    speed = [c.workload for c in found.cells if isinstance(c.workload, Speed)]
    assert {load.prompt_tokens for load in speed} == {64, 512}
    deepest = max(speed, key=lambda load: load.depth)
    assert deepest.depth + deepest.prompt_tokens + deepest.generated_tokens == FULL
    assert all(c.workload.until is not None for c in found.cells if isinstance(c.workload, Task))
    assert found.suite.baselines == ("1b-bf16", "1b-f16", "3b-bf16", "3b-f16")
    sources = {v.model.source for v in found.suite.variants}
    assert {s.repository for s in sources if isinstance(s, HubSource)} == {
        "meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-3.2-3B-Instruct",
    }  # fmt: skip


def test_a_phone_of_unknown_cores_must_be_there_to_plan_for_it() -> None:
    with pytest.raises(BenchError):
        planned("mobile-demo", "phone")


def test_a_run_needs_the_models_that_a_plan_does_without(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"meta-llama/Llama-3\.2-1B-Instruct\.gguf .*BENCH_MODELS"):
        plan(Wish(suite="mobile", devices=("local",)), ("bench",), to_run=True)


def test_a_model_by_its_hub_name_is_known_by_what_its_file_holds(tmp_path: Path) -> None:
    source = HubSource(repository="someone/Model-1B")
    path = tmp_path / "models" / "someone" / "Model-1B.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    assert hub_file("m", source) == path
    variant = planned().suite.variants[0]
    variant = msgspec.structs.replace(variant, model=msgspec.structs.replace(variant.model, source=source))
    first = artifact_folder(variant)
    path.write_bytes(b"two")
    assert artifact_folder(variant) != first


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/../b", "/a/b", "a", "a/b/c", "a/b\n", "-a/b"])
def test_a_hub_name_is_no_path(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"from": "hub", "repository": name}, HubSource)


# ---------------------------------------------------------------- the estimate

phones = st.sampled_from(["oneplus12", "galaxy-s22-exynos", "nothing-phone-2a", "pixel-8"])


@given(phones, st.floats(60, 250))
def test_longer_cool_downs_take_longer_by_as_much(name: str, least_s: float) -> None:
    found = planned("mobile-demo", name)
    (spec,) = found.suite.devices
    assert isinstance(spec.phone, PhoneSpec)
    cool = msgspec.structs.replace(spec.phone.cool_down, least_s=least_s)
    slower = _with_device(
        found, msgspec.structs.replace(spec, phone=msgspec.structs.replace(spec.phone, cool_down=cool))
    )
    before, after = time_of(found), time_of(slower)
    assert after.work_s == before.work_s
    assert after.cool_down_s == pytest.approx(before.cool_down_s * least_s / 60)


def test_more_rounds_take_longer_and_fewer_variants_less() -> None:
    usual = time_of(planned()).total_s
    assert time_of(planned(rounds=5)).total_s > usual
    assert time_of(planned(variants=("1b-int4-ptq",))).total_s < usual / 2


def test_only_weights_that_are_asked_questions_have_their_kernels_asked() -> None:
    """Of BF16 that alone would take a quarter of an hour; where nothing asks, the smallest file answers."""
    speed = {"variants": ("1b-bf16", "1b-f16", "1b-int4-ptq"), "measures": ("speed",)}
    with_task = {**speed, "measures": ("speed", "task")}
    none, asked = time_of(planned(**speed)), time_of(planned(**with_task))
    assert 0 < asked.prepare_s - none.prepare_s < 300


def test_weights_by_recipe() -> None:
    sizes = {v.name: weight_bytes(v) for v in planned().suite.variants}
    assert sizes["1b-bf16"] == sizes["1b-f16"] == 2 * 1235814400
    assert sizes["3b-int4-ptq"] == 3212749824 * 4.5 / 8
    shape = load_suite("llama32-shape", known_names(), load_devices()).variants[0]
    counted = weight_bytes(shape)
    assert counted is not None and abs(counted - 2 * 1235814400) < 2 * 200_000  # without norms


def test_models_of_unknown_size_are_named_and_only_cool_down() -> None:
    found = planned("quick")
    time = time_of(found)
    assert time.unknown == ("bf16", "f16", "int8", "int4-ptq", "spinquant", "qlora")
    assert "nothing says how large they are" in "\n".join(plan_lines(found))


def test_this_machine_has_no_time() -> None:
    assert expected_times(planned("mobile-demo", "local")) == ()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "1 min"), (61, "1 min"), (3599, "1 h 00 min"), (3 * HOUR + 300, "3 h 05 min")]
)
def test_hours_in_words(seconds: float, words: str) -> None:
    assert in_hours(seconds) == words


def _with_device(found: Plan, spec: DeviceSpec) -> Plan:
    return msgspec.structs.replace(found, suite=msgspec.structs.replace(found.suite, devices=(spec,)))


# ---------------------------------------------------------------- measures for some variants


def suite_of(tmp_path: Path, measure: str) -> Suite:
    path = tmp_path / "s.yaml"
    path.write_text(f"extends: quick\nname: s\ntitle: t\nmeasures:\n  - {measure}\n")
    return load_suite(str(path), known_names(), load_devices())


def test_a_measure_may_be_for_some_variants(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "{kind: speed, prompt_tokens: 64, generated_tokens: 4, variants: [f16, int8]}")
    assert only_for(suite.measures[0]) == ("f16", "int8")
    found = plan(Wish(suite=str(tmp_path / "s.yaml"), devices=("oneplus12",)), ("bench",))
    assert [c.variant for c in found.cells] == ["f16", "int8"]
    everywhere = suite_of(tmp_path, "{kind: speed, prompt_tokens: 64, generated_tokens: 4}")
    of_all = plan(Wish(suite=str(tmp_path / "s.yaml"), devices=("oneplus12",)), ("bench",))
    assert {c.key for c in found.cells} < {c.key for c in of_all.cells}, "the same cell, whoever else is measured"
    assert everywhere.measures[0] == found.cells[0].workload


def test_an_unknown_variant_of_a_measure_has_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"s\.yaml:5: measures\[0\]\.variants\[1\]: .*did you mean 'int8'"):
        suite_of(tmp_path, "{kind: speed, prompt_tokens: 64, generated_tokens: 4, variants: [f16, int88]}")
