"""Which builds of the runner there are, which a phone can run, and which is the quickest there."""

import math
import os
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.build.runners.choice import candidates, quickest, seconds_of
from harness.build.runners.llama_cpp_build import build_key, ensure_runner, runner_hash
from harness.build.runners.targets import PHONE, TARGETS
from harness.errors import SetupError, UnknownNameError
from harness.progress import Silent

A53 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
X4 = f"{A76} sha3 sm3 sm4 sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg sve2 svei8mm i8mm bf16 bti"


def features(text: str) -> frozenset[str]:
    return frozenset(text.split())


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        (A53, ("aarch64",)),
        (A76, ("aarch64-dotprod", "aarch64")),
        (X4, ("aarch64-i8mm", "aarch64-dotprod", "aarch64")),
        (A76.replace("asimdhp", ""), ("aarch64",)),
        (X4.replace("i8mm", "").replace("sve", ""), ("aarch64-dotprod", "aarch64")),
        ("", ("aarch64",)),
    ],
)
def test_a_cpu_gets_what_it_can_run_and_the_plain_build_always(cpu: str, expected: tuple[str, ...]) -> None:
    assert candidates(features(cpu)) == expected


@given(st.frozensets(st.sampled_from(X4.split())), st.frozensets(st.sampled_from(X4.split())))
def test_more_features_never_take_a_build_away(some: frozenset[str], more: frozenset[str]) -> None:
    assert set(candidates(some)) <= set(candidates(some | more))


def rounds(seconds: float, count: int = 8, noise: float = 0.01, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [seconds * math.exp(draw.gauss(0, noise)) for _ in range(count)]


def test_a_build_that_is_quicker_beyond_the_noise_is_taken() -> None:
    found = quickest({"aarch64": rounds(1.0), "aarch64-dotprod": rounds(0.5, seed=2), "aarch64-i8mm": rounds(0.3)})
    assert found.target == "aarch64-i8mm"
    assert [(d.target, d.against, d.won) for d in found.duels] == [
        ("aarch64-dotprod", "aarch64", True),
        ("aarch64-i8mm", "aarch64-dotprod", True),
    ]
    assert found.duels[0].ratio == pytest.approx(0.5, rel=0.05) and found.duels[0].ratio_high < 1


def test_a_newer_kernel_that_is_slower_is_not_taken() -> None:
    found = quickest({"aarch64-i8mm": rounds(1.2), "aarch64-dotprod": rounds(1.0, seed=2), "aarch64": rounds(2.0)})
    assert found.target == "aarch64-dotprod" and not found.duels[-1].won


def test_a_tie_within_the_noise_goes_to_the_simpler_build() -> None:
    measured = {"aarch64": rounds(1.0, noise=0.1), "aarch64-dotprod": rounds(0.99, noise=0.1, seed=2)}
    found = quickest(measured)
    assert found.target == "aarch64" and found.duels[0].ratio_low < 1 < found.duels[0].ratio_high


def test_a_slow_middle_build_is_passed_over() -> None:
    found = quickest({"aarch64": rounds(1.0), "aarch64-dotprod": rounds(1.5), "aarch64-i8mm": rounds(0.7, seed=3)})
    assert found.target == "aarch64-i8mm" and found.duels[1].against == "aarch64"


def test_drift_that_all_builds_share_decides_nothing() -> None:
    heat = [1.0, 1.1, 1.3, 1.6, 2.0, 2.5]
    found = quickest({"aarch64": heat, "aarch64-dotprod": [0.9 * s for s in heat]})
    assert found.target == "aarch64-dotprod" and found.duels[0].ratio == pytest.approx(0.9)


@given(st.permutations(PHONE), st.integers(0, 100))
def test_the_order_in_which_builds_are_named_decides_nothing(names: list[str], seed: int) -> None:
    measured = {name: rounds(1.0, noise=0.2, seed=seed + len(name)) for name in PHONE}
    assert quickest({name: measured[name] for name in names}) == quickest(measured)


def test_one_build_needs_no_measurement() -> None:
    assert quickest({"aarch64": [1.0]}).target == "aarch64"


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ({}, "as many rounds"),
        ({"aarch64": [1.0, 1.0, 1.0], "aarch64-dotprod": [1.0, 1.0]}, "as many rounds"),
        ({"aarch64": [1.0, 1.0], "aarch64-dotprod": [1.0, 1.0]}, "2 rounds"),
        ({"aarch64": [1.0, 0.0, 1.0], "aarch64-dotprod": [1.0, 1.0, 1.0]}, "not above 0"),
        ({"aarch64": [1.0, math.nan, 1.0], "aarch64-dotprod": [1.0, 1.0, 1.0]}, "not above 0"),
    ],
)
def test_what_is_no_measurement_is_refused(measured: dict[str, list[float]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        quickest(measured)


def test_an_unknown_build_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"aarch64-dotprot.*did you mean 'aarch64-dotprod'"):
        quickest({"aarch64-dotprot": [1.0]})
    with pytest.raises(UnknownNameError, match="aarch46"):
        ensure_runner(Silent(), "aarch46")


def test_prefill_and_decode_count_alike() -> None:
    assert seconds_of(0.5, 2.0) == seconds_of(2.0, 0.5) == pytest.approx(1.0)


def compiler(folder: Path, libraries: Path | str) -> None:
    """A cross compiler that only says what is asked of it, with its libraries in a folder."""
    file = folder / "aarch64-linux-gnu-g++"
    found = f'-print-file-name=*) echo "{libraries}${{1#-print-file-name=}}"'
    file.write_text(f'#!/bin/sh\ncase "$1" in {found};; *) echo "g++ 12";; esac\n')
    file.chmod(0o755)


def test_without_a_cross_compiler_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    for target in PHONE:
        with pytest.raises(SetupError, match="apt-get install g\\+\\+-aarch64-linux-gnu") as caught:
            ensure_runner(Silent(), target)
        assert "\n" not in str(caught.value)


def test_a_cross_compiler_that_cannot_link_statically_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler(tmp_path, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=r"has no libc\.a, which static programs need"):
        runner_hash("aarch64")


def test_each_target_has_a_program_of_its_own_and_those_for_phones_share_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("libc.a", "libstdc++.a", "libgcc_eh.a"):
        (tmp_path / name).write_bytes(b"")
    compiler(tmp_path, f"{tmp_path}/")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    before = {name: runner_hash(name) for name in PHONE}
    assert len(set(before.values())) == len(PHONE)
    assert len({build_key(name) for name in PHONE}) == 1
    monkeypatch.setenv("CXXFLAGS", "-march=native")
    assert before == {name: runner_hash(name) for name in PHONE}, "options for this machine are none for phones"
    (tmp_path / "libc.a").write_bytes(b"another")
    assert not set(before.values()) & {runner_hash(name) for name in PHONE}


def test_builds_stand_from_plain_to_special() -> None:
    needs = [TARGETS[name].needs for name in PHONE]
    assert all(one < other for one, other in pairwise(needs)) and not needs[0]
