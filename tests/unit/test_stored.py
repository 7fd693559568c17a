"""A variant that is an artifact of the store: found by its sha256, run by the program it names, refused when gone."""

from pathlib import Path

import msgspec
import pytest

from harness.build.artifacts import MANIFEST, Manifest, Workshop, artifact_folder, stored_folder
from harness.build.cache import cache_folder, sha256_file
from harness.build.gguf_files import GgufFacts
from harness.build.needs import needed
from harness.build.recipes.stored import runner_of, stored_runner
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import PROGRAM
from harness.config import load_suite
from harness.device_files import load_devices
from harness.errors import BuildError, ConfigError, InputError
from harness.pipeline import known_names
from harness.progress import Silent
from harness.values import ArtifactFile, FileSource, Model, Variant, digest

MODEL = Model(name="m", source=FileSource(path="gone.gguf"), label="a model whose file is gone")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return cache_folder()


def put_artifact(key: str, body: bytes, adaptor: bytes | None = None) -> Manifest:
    folder = cache_folder("artifacts", key)
    files = {"model.gguf": body, **({} if adaptor is None else {"adaptor.gguf": adaptor})}
    described = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        described[name] = ArtifactFile(name=name, bytes=len(content), sha256=sha256_file(folder / name))
    manifest = Manifest(
        key=key,
        recipe="ptq",
        settings={},
        model=MODEL,
        versions={},
        file=described["model.gguf"],
        adaptor=described.get("adaptor.gguf"),
        facts=GgufFacts(
            architecture="llama",
            context=64,
            parameters=1,
            tensor_bytes=2,
            decode_bytes=2,
            tensor_types={"f16": 1},
            prefix_token=1,
        ),
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return manifest


def put_runner(sha256: str) -> Path:
    path = cache_folder("runners", sha256[:16]) / PROGRAM
    path.write_bytes(b"a program")
    return path


def variant(**settings: str) -> Variant:
    return Variant(name="int4-good", model=MODEL, recipe="stored", settings=dict(settings))


def test_an_artifact_is_found_by_what_records_call_it() -> None:
    put_artifact("0" * 16, b"another")
    kept = put_artifact("1" * 16, b"weights")
    pair = put_artifact("2" * 16, b"weights", adaptor=b"more")
    assert kept.sha256 == kept.file.sha256 != pair.sha256
    for manifest in (kept, pair):
        made = Workshop(None, Silent()).ensure(variant(artifact=manifest.sha256))
        assert (made.sha256, made.variant) == (manifest.sha256, "int4-good")
        assert Path(made.path).parent.name == manifest.key


def test_what_is_gone_is_said_and_never_made_anew() -> None:
    wanted = variant(artifact=digest("gone"), runner=digest("runner"))
    with pytest.raises(BuildError, match=r"int4-good: the artifact [0-9a-f]{16} is no longer in the store"):
        Workshop(None, Silent()).ensure(wanted)
    with pytest.raises(BuildError, match=r"the runner [0-9a-f]{16} is no longer in the store"):
        runner_of(wanted)


def test_a_half_made_or_damaged_artifact_is_nobodys() -> None:
    kept = put_artifact("1" * 16, b"weights")
    broken = cache_folder("artifacts", "0" * 16)
    (broken / MANIFEST).write_text("{")
    half = put_artifact(".3.part", b"half")
    assert stored_folder(kept.sha256) == cache_folder("artifacts", "1" * 16)
    assert stored_folder(half.sha256) is None


def test_the_program_is_the_named_one() -> None:
    path = put_runner(digest("runner"))
    assert stored_runner(digest("runner")) == Runner(path=str(path), sha256=digest("runner"))
    assert runner_of(variant(artifact=digest("a"))) is None
    assert runner_of(msgspec.structs.replace(variant(), recipe="ptq")) is None


@pytest.mark.parametrize(
    "settings",
    [{}, {"artifact": "../../etc"}, {"artifact": "a" * 64, "runner": "../x"}, {"artifact": "a" * 64, "x": 1}],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(InputError, match="recipe stored"):
        artifact_folder(variant(**settings))


def test_the_collector_keeps_what_a_suite_takes_from_the_store(tmp_path: Path) -> None:
    kept, runner = put_artifact("1" * 16, b"weights"), digest("runner")
    put_runner(runner)
    path = tmp_path / "again.yaml"
    path.write_text("extends: quick\nname: again\nvariants:\n  int8: {recipe: stored, settings: {weights: q8_0}}\n")
    with pytest.raises(ConfigError, match="weights"):
        load_suite(str(path), known_names(), load_devices())
    path.write_text(
        "extends: quick\nname: again\nvariants:\n  spinquant: null\n  qlora: null\n  int8: null\n"
        f"  old: {{model: smollm2-135m-instruct, recipe: stored,"
        f" settings: {{artifact: {kept.sha256}, runner: {runner}}}}}\n"
    )
    found = needed(load_suite(str(path), known_names(), load_devices()))
    assert {f"artifacts/{kept.key}", f"runners/{runner[:16]}"} <= found
