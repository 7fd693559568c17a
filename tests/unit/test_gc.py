"""The cache loses what nobody needs, and nothing else: no needed, pinned, young or linked thing."""

import fcntl
import os
import time
from pathlib import Path

import msgspec
import pytest

from harness import housekeeping
from harness.build.artifacts import MANIFEST, Manifest, artifact_folder, base_variant
from harness.build.cache import cache_folder, in_use, only_one, used
from harness.build.gguf_files import GgufFacts
from harness.build.needs import needed
from harness.build.recipes import base_of
from harness.build.runners.llama_cpp_sources import SDIST_SHA256
from harness.build.waste import DAY_S, KINDS, Entry, entries, remove
from harness.config import load_suite
from harness.device_files import load_devices
from harness.errors import ConfigError, InputError, SetupError, UnknownNameError
from harness.pipeline import known_names
from harness.values import ArtifactFile, RandomSource, Suite, digest

OLD = 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return cache_folder()


def aged(path: Path, days: float = OLD) -> Path:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def thing(kind: str, name: str, days: float = OLD, size: int = 5000) -> Path:
    """A folder with one file, last used so many days ago."""
    folder = cache_folder(kind, name)
    (folder / "content").write_bytes(os.urandom(size))
    return aged(folder, days)


def suite(name: str = "quick") -> Suite:
    return load_suite(name, known_names(), load_devices())


def collect(keep_days: int = 30, *, dry_run: bool = False) -> list[str]:
    return list(housekeeping.collect(keep_days, dry_run=dry_run))


def test_what_is_old_and_needed_by_nobody_goes(cache: Path) -> None:
    gone = [thing(kind, "0123456789abcdef") for kind in KINDS]
    young = thing("artifacts", "fedcba9876543210", days=3)
    lines = collect()
    assert not any(path.exists() for path in gone) and young.exists()
    assert lines[-2].startswith(f"freeing {len(gone)} entries, ")
    assert lines[-1].startswith(f"freed {len(gone)} entries, ")
    assert any("artifacts/0123456789abcdef" in line and "not used for 40 days" in line for line in lines)
    assert collect() == [f"nothing to remove from {cache}"]


def test_a_file_of_the_cache_goes_too() -> None:
    reference, requests = cache_folder("references") / "ab.bin", cache_folder("requests") / "cd.jsonl.gz"
    for path in (reference, requests):
        path.write_bytes(b"x" * 4096)
        aged(path)
    collect()
    assert not reference.exists() and not requests.exists()


def test_a_dry_run_says_bytes_and_touches_nothing() -> None:
    path = thing("artifacts", "0123456789abcdef", size=3 << 20)
    lines = collect(dry_run=True)
    assert path.exists() and lines[-1].startswith("would free 1 entry, 3.0 MiB of ")


def test_the_bytes_are_said_before_anything_is_removed() -> None:
    path = thing("artifacts", "0123456789abcdef")
    lines = housekeeping.collect(30, dry_run=False)
    while not (line := next(lines)).startswith("freeing"):
        assert path.exists()
    assert "KiB" in line and path.exists()
    list(lines)
    assert not path.exists()


# ---------------------------------------------------------------- what is kept


def test_what_a_suite_of_the_project_needs_is_kept() -> None:
    quick = suite()
    kept = [aged(artifact_folder(v)) if artifact_folder(v).exists() else v for v in quick.variants]
    paths = [cache_folder("artifacts", artifact_folder(v).name) for v in quick.variants]
    paths += [cache_folder(*entry.split("/")) for entry in needed(quick)]
    paths += [cache_folder("downloads", SDIST_SHA256), cache_folder("sources", SDIST_SHA256[:16])]
    for path in paths:
        aged(path)
    collect(0)
    assert all(path.exists() for path in paths) and kept


def test_the_base_that_a_variant_is_quantized_from_is_needed() -> None:
    for one in ("quick", "llama32-shape"):
        for variant in suite(one).variants:
            base = base_of(variant)
            ids = needed(suite(one))
            assert f"artifacts/{artifact_folder(variant).name}" in ids
            if base is not None:
                assert f"artifacts/{artifact_folder(base).name}" in ids
            if isinstance(variant.model.source, RandomSource):
                assert f"artifacts/{artifact_folder(base_variant(variant.model)).name}" in ids


def test_a_suite_of_the_working_directory_counts(tmp_path: Path) -> None:
    Path("suites").mkdir()
    text = "extends: quick\nname: own\ntitle: t\nvariants:\n  int8: {settings: {weights: q4_0, embedding: q4_0}}\n"
    Path("suites/own.yaml").write_text(text)
    variant = next(v for v in suite("own").variants if v.name == "int8")
    path = aged(cache_folder("artifacts", artifact_folder(variant).name))
    collect(0)
    assert path.exists()
    Path("suites/own.yaml").unlink()
    collect(0)
    assert not path.exists()


def test_a_wrong_suite_stops_everything() -> None:
    path = thing("artifacts", "0123456789abcdef")
    Path("suites").mkdir()
    Path("suites/own.yaml").write_text("name: own\n")
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        collect(0)
    assert path.exists()


def manifest(path: Path, sha256: str) -> None:
    facts = GgufFacts(
        architecture="llama",
        parameters=1,
        tensor_bytes=1,
        decode_bytes=1,
        tensor_types={},
        context=None,
        prefix_token=1,
    )
    body = Manifest(
        key=path.name, recipe="ptq", settings={}, model=suite().variants[0].model, versions={},
        file=ArtifactFile(name="model.gguf", bytes=1, sha256=sha256), facts=facts,
    )  # fmt: skip
    (path / MANIFEST).write_bytes(msgspec.json.encode(body))
    aged(path)


def test_a_pinned_artifact_stays_until_it_is_unpinned() -> None:
    path, sha = thing("artifacts", "0123456789abcdef"), digest("a")
    manifest(path, sha)
    assert housekeeping.pin(sha[:10]) == f"pinned {sha[:10]}: 1 entry of the cache"
    collect(0)
    assert path.exists()
    with pytest.raises(UnknownNameError, match=sha[:10]):
        housekeeping.unpin("nonsense")
    housekeeping.unpin(sha[:10])
    collect(0)
    assert not path.exists()


def test_a_pinned_suite_keeps_what_it_needs_when_its_file_is_gone() -> None:
    path = Path("other.yaml")
    text = "extends: quick\nname: own\ntitle: t\nvariants:\n  int8: {settings: {weights: q4_0, embedding: q4_0}}\n"
    path.write_text(text)
    variant = next(v for v in suite("other.yaml").variants if v.name == "int8")
    artifact = aged(cache_folder("artifacts", artifact_folder(variant).name))
    housekeeping.pin("other.yaml")
    path.unlink()
    collect(0)
    assert artifact.exists()


def test_nothing_unknown_can_be_pinned() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'quick'"):
        housekeeping.pin("quik")


def test_damaged_pins_stop_everything() -> None:
    path = thing("artifacts", "0123456789abcdef")
    (cache_folder() / "pins.json").write_text("{")
    with pytest.raises(SetupError, match=r"pins\.json is damaged"):
        collect(0)
    assert path.exists()


# ---------------------------------------------------------------- what is never touched


def test_links_are_neither_followed_nor_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    cache_folder("artifacts")
    link = cache_folder("artifacts") / "0123456789abcdef"
    link.symlink_to(outside, target_is_directory=True)
    aged(link)
    inside = thing("artifacts", "1123456789abcdef")
    (inside / "link").symlink_to(outside, target_is_directory=True)
    aged(inside)
    (cache_folder() / "references").symlink_to(outside, target_is_directory=True)
    aged(outside / "precious")
    collect(0)
    assert (outside / "precious").read_text() == "x" and link.is_symlink() and not inside.exists()


def test_locks_and_strange_folders_stay(cache: Path) -> None:
    strange = cache / "strange"
    strange.mkdir()
    aged(strange)
    with only_one("x"):
        pass
    collect(0)
    assert strange.exists() and (cache / "locks" / "x.lock").exists()


# ---------------------------------------------------------------- others at work, and kills


def test_a_run_in_progress_is_not_robbed() -> None:
    path = thing("artifacts", "0123456789abcdef")
    with in_use(), pytest.raises(InputError, match="a bench process uses the cache"):
        collect(0)
    assert path.exists()


def test_what_was_used_while_its_lock_was_awaited_stays() -> None:
    path = thing("artifacts", "0123456789abcdef")
    (entry,) = [e for e in entries() if e.kind == "artifacts"]
    used(path)
    assert remove(entry, 30) is False and path.exists()


def test_the_makers_lock_is_taken(cache: Path) -> None:
    thing("artifacts", "0123456789abcdef")
    (entry,) = [e for e in entries() if e.kind == "artifacts"]
    assert remove(entry, 30)
    with open(cache / "locks" / "artifact-0123456789abcdef.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and is given back


def test_what_a_kill_left_half_removed_is_removed_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    path = thing("artifacts", "0123456789abcdef")

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("harness.build.waste.shutil.rmtree", killed)
        collect()
    assert not path.exists(), "whole or absent under its own name"
    (left,) = [e for e in entries() if e.kind == "artifacts"]
    assert left.left_over and left.name.endswith(".gone")
    aged(left.path, days=0)
    assert any("left by a killed process" in line for line in collect())
    assert not [e for e in entries() if e.kind == "artifacts"]


def test_age_means_last_use() -> None:
    path = thing("downloads", digest("d"))
    used(path)
    collect()
    assert path.exists()
    used(path / "nothing is here")  # no error


def test_sizes_are_those_of_the_disk() -> None:
    thing("artifacts", "0123456789abcdef", size=1 << 20)
    (entry,) = [e for e in entries() if e.kind == "artifacts"]
    assert isinstance(entry, Entry) and 1 << 20 <= entry.bytes < (1 << 20) + 65536
