"""Hugging Face checkpoints: what is missing or damaged is said, what changed is seen, nothing is unpickled."""

import hashlib
import os
import re
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.build.artifacts import Workshop
from harness.build.checkpoints import (
    checkpoint_text,
    describe,
    describe_made,
    find_checkpoint,
    special_texts,
    sums_of,
    tokenizer_sha256,
)
from harness.build.converted import refuse_code
from harness.build.runners import Runner
from harness.config import load_suite
from harness.device_files import load_devices
from harness.errors import BuildError, ConfigError, InputError
from harness.measure.runtimes import hf
from harness.pipeline import known_names
from harness.progress import Silent
from harness.values import Cell, CheckpointSource, FileSource, Model, Runtime, Speed, Task, Text, Variant, Workload

HEADER = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "BF16", "shape": [3, 4], "data_offsets": [0, 24]},
    "b": {"dtype": "F32", "shape": [5], "data_offsets": [24, 44]},
}
TOKENIZER = {
    "model": {"vocab": {"a": 0, "<s>": 1}},
    "added_tokens": [{"content": "</s>", "id": 2}, {"content": "<|im_start|>", "id": 7}],
}


def safetensors(header: object = HEADER, data: int = 44) -> bytes:
    body = header if isinstance(header, bytes) else msgspec.json.encode(header)
    return struct.pack("<Q", len(body)) + body + bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole checkpoint without a model in it: only its layout is read here."""
    place = tmp_path / "model"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "tokenizer.json").write_bytes(msgspec.json.encode(TOKENIZER))
    (place / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    (place / "model.safetensors").write_bytes(safetensors())
    return place


# ---------------------------------------------------------------- found


def test_a_whole_checkpoint_is_found(folder: Path) -> None:
    assert find_checkpoint("m", str(folder)) == folder


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["config.json"], "has no config.json: no Hugging Face checkpoint"),
        (["tokenizer.json"], "has no tokenizer.json"),
        (["config.json", "tokenizer.json"], "has no config.json and no tokenizer.json"),
        (
            ["model.safetensors"],
            r"has no model\.safetensors and no model\.safetensors\.index\.json \(pickled weights are never loaded\)",
        ),
    ],
)
def test_missing_files_are_named(folder: Path, gone: list[str], said: str) -> None:
    for name in gone:
        (folder / name).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(InputError, match=f"model 'm': .*{said}"):
        find_checkpoint("m", str(folder))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model 'm': no folder at"):
        find_checkpoint("m", str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="model 'm': no folder at"):
        find_checkpoint("m", str(tmp_path / "file"))


# ---------------------------------------------------------------- described


def test_it_is_described_by_the_headers_of_its_weights(folder: Path) -> None:
    artifact, stamps = describe("v", folder)
    assert artifact.format == "checkpoint" and artifact.path == str(folder)
    assert artifact.parameters == 12 + 5 and artifact.tensor_bytes == 44
    assert artifact.tensor_types == {"BF16": 1, "F32": 1}
    assert set(stamps) == {str(folder / file.name) for file in artifact.files}
    assert {f.name: f.bytes for f in artifact.files}["model.safetensors"] == len(safetensors())


def test_its_sha256_is_that_of_the_list_of_its_files(folder: Path) -> None:
    """As `sha256sum * | sort | sha256sum` prints it."""
    (folder / "pytorch_model.bin").write_bytes(b"no part of it")
    (folder / "modeling.py").write_text("raise SystemExit")
    names = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
    lines = sorted(f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
    artifact, _ = describe("v", folder)
    assert artifact.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert sorted(f.name for f in artifact.files) == sorted(names)


def test_another_weight_is_another_artifact_with_the_same_tokenizer(folder: Path) -> None:
    before, _ = describe("v", folder)
    (folder / "model.safetensors").write_bytes(safetensors()[:-1] + b"\x01")
    after, _ = describe("v", folder)
    assert after.sha256 != before.sha256 and tokenizer_sha256(after) == tokenizer_sha256(before)
    (folder / "tokenizer_config.json").write_text('{"bos_token": "</s>"}')
    last, _ = describe("v", folder)
    assert tokenizer_sha256(last) != tokenizer_sha256(after)


OTHER = safetensors({"c": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}, 4)


def in_parts(folder: Path, names: dict[str, str]) -> None:
    """The same weights as two files and their index."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(OTHER)
    (folder / "model.safetensors.index.json").write_bytes(msgspec.json.encode({"metadata": {}, "weight_map": names}))


def test_weights_in_the_folder_that_are_not_loaded_are_no_part_of_it(folder: Path) -> None:
    """As transformers: the single file before the index; whatever else lies there is not read."""
    for name in ("consolidated.safetensors", "model.fp16.safetensors"):
        (folder / name).write_bytes(b"damaged")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"c": "consolidated.safetensors"}}')
    artifact, _ = describe("v", folder)
    assert artifact.parameters == 17
    assert [f.name for f in artifact.files if f.name.endswith(".safetensors")] == ["model.safetensors"]


def test_weights_in_parts_are_those_that_the_index_names(folder: Path) -> None:
    parts = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    in_parts(folder, {"a": parts[0], "b": parts[0], "c": parts[1]})
    (folder / "consolidated.safetensors").write_bytes(b"damaged")
    assert find_checkpoint("m", str(folder)) == folder
    artifact, _ = describe("v", folder)
    assert artifact.parameters == 12 + 5 + 1 and artifact.tensor_bytes == 44 + 4
    assert artifact.tensor_types == {"BF16": 1, "F32": 2}
    assert [f.name for f in artifact.files if f.name.endswith(".safetensors")] == parts


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"a": "model-00003.safetensors"}, "lacks model-00003.safetensors, which model.safetensors.index.json names"),
        ({"a": "../other/model.safetensors"}, "names '../other/model.safetensors', which is no"),
        ({"a": "/model.safetensors"}, "names '/model.safetensors', which is no"),
        ({"a": "pytorch_model.bin"}, "names 'pytorch_model.bin', which is no"),
        ({"a": 3}, "index.json cannot be read"),
        ({}, "names no file"),
    ],
)
def test_an_index_that_cannot_be_followed_is_said(folder: Path, names: Any, said: str) -> None:
    in_parts(folder, names)
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(BuildError) as caught:
        describe("v", folder)
    assert said in str(caught.value) and str(folder) in str(caught.value)


def test_weights_that_the_config_names_elsewhere_are_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"transformers_weights": "consolidated.safetensors"}')
    with pytest.raises(BuildError, match=r"config\.json names weights of its own \('consolidated\.safetensors'\)"):
        describe("v", folder)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("model.safetensors", safetensors()[:-1] + b"\x01"),
        ("model.safetensors", safetensors()[:-1]),
        ("model.safetensors", None),
        ("config.json", b'{"hidden_size": 1}'),
        ("chat_template.jinja", b"new"),
        ("SHA256SUMS", None),
        ("SHA256SUMS", b"\xff"),
    ],
)
def test_a_made_checkpoint_that_is_not_as_it_was_made_is_refused(folder: Path, name: str, body: bytes | None) -> None:
    artifact, _ = describe("v", folder)
    (folder / "SHA256SUMS").write_bytes(sums_of(artifact.files))
    assert describe_made("v", folder)[0] == artifact
    (folder / name).unlink(missing_ok=True) if body is None else (folder / name).write_bytes(body)
    with pytest.raises(BuildError, match="the stored checkpoint of 'v' .*remove " + re.escape(str(folder))):
        describe_made("v", folder)


DAMAGED: list[tuple[bytes, str]] = [
    (b"", "header is longer than the file"),
    (b"\x01\x00\x00", "header is longer than the file"),
    (struct.pack("<Q", 1 << 60) + b"{}", "header is longer than the file"),
    (safetensors(b"{"), "is damaged"),
    (safetensors(b"\xff\xfe\x00"), "is damaged"),
    (safetensors(b"[" * 100_000), "is damaged"),
    (safetensors({"a": {"dtype": "F32", "shape": [1]}}), "is damaged"),
    (safetensors({"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]}}), "is damaged"),
    (safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}), "lies outside of the file"),
    (safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}), "lies outside of the file"),
    (safetensors(data=43), "cut short"),
    (safetensors(data=0), "cut short"),
]


@pytest.mark.parametrize(("body", "said"), DAMAGED)
def test_damaged_weights_are_an_error_for_people(folder: Path, body: bytes, said: str) -> None:
    (folder / "model.safetensors").write_bytes(body)
    with pytest.raises(BuildError, match=said) as caught:
        describe("v", folder)
    assert "model.safetensors" in str(caught.value)


@given(st.binary(max_size=120))
def test_any_bytes_are_weights_or_an_error_for_people(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    place = tmp_path_factory.mktemp("any")
    (place / "model.safetensors").write_bytes(body)
    try:
        describe("v", place)
    except BuildError as error:
        assert "model.safetensors" in str(error)


# ---------------------------------------------------------------- changed


def variant_of(folder: Path, recipe: str = "released") -> Variant:
    model = Model(name="m", source=CheckpointSource(path=str(folder)), label="m")
    return Variant(name="v", model=model, recipe=recipe)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_file_that_changed_since_is_seen(folder: Path, name: str) -> None:
    workshop = Workshop(None, Silent())
    artifact = workshop.ensure(variant_of(folder), "checkpoint")
    assert workshop.changed(artifact) is None
    path = folder / name
    before, body = path.stat(), bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "'v' has changed on disk" in str(workshop.changed(artifact))


def test_a_file_that_was_only_touched_is_the_same_and_one_that_is_gone_is_not(folder: Path) -> None:
    workshop = Workshop(None, Silent())
    artifact = workshop.ensure(variant_of(folder), "checkpoint")
    (folder / "config.json").touch()
    assert workshop.changed(artifact) is None
    (folder / "config.json").unlink()
    assert workshop.changed(artifact) is not None


def test_weights_of_another_kind_are_not_compressed(folder: Path) -> None:
    header = {"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    (folder / "model.safetensors").write_bytes(safetensors(header, 2))
    ptq = msgspec.structs.replace(variant_of(folder, "ptq"), settings={"weights": "int4"})
    with pytest.raises(BuildError, match=r"v: its checkpoint holds F8_E4M3; BF16, F16, F32 are known"):
        Workshop(None, Silent()).ensure(ptq, "checkpoint")


def test_a_gguf_file_is_made_of_known_kinds_of_checkpoints_alone(folder: Path) -> None:
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    (folder / "config.json").write_bytes(msgspec.json.encode({**config, "model_type": "gemma3"}))
    with pytest.raises(BuildError, match="is a 'gemma3'; checkpoints made GGUF files here are: llama, mistral"):
        Workshop(None, Silent()).ensure(variant_of(folder))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_that_a_checkpoint_names_is_refused_before_it_is_converted(folder: Path, name: str) -> None:
    path = folder / name
    named = msgspec.json.decode(path.read_bytes()) if path.is_file() else {}
    path.write_bytes(msgspec.json.encode({**named, "auto_map": {"AutoTokenizer": ["mine.py", None]}}))
    with pytest.raises(BuildError, match=r"names code of its own \(auto_map\), which is never run"):
        refuse_code(folder)


# ---------------------------------------------------------------- special tokens, chat template


def configured(folder: Path, config: object) -> Any:
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(config))
    return checkpoint_text(folder)


def test_the_bos_token_stands_before_an_empty_context(folder: Path) -> None:
    found = checkpoint_text(folder)
    assert (found.prefix_token, found.bos, found.eos, found.chat_template) == (1, "<s>", "</s>", None)


def test_without_a_bos_token_the_eos_token_does(folder: Path) -> None:
    found = configured(folder, {"bos_token": None, "eos_token": "</s>"})
    assert (found.prefix_token, found.bos) == (2, "")


def test_tokens_may_be_objects(folder: Path) -> None:
    found = configured(folder, {"bos_token": {"content": "<|im_start|>", "lstrip": False}, "eos_token": {"content": 3}})
    assert (found.prefix_token, found.bos, found.eos) == (7, "<|im_start|>", "")


@pytest.mark.parametrize("config", [{}, {"bos_token": "<none>", "eos_token": None}, {"bos_token": 5}])
def test_without_either_the_cell_cannot_be_asked(folder: Path, config: object) -> None:
    with pytest.raises(BuildError, match="names neither a BOS nor an EOS token"):
        configured(folder, config)


def test_special_texts_are_those_of_special_tokens_alone(folder: Path) -> None:
    """A tokenizer may add plain words too, such as runs of blanks; they are tokens with either way of encoding."""
    added = [
        {"content": "</s>", "id": 2, "special": True},
        {"content": "  ", "id": 3, "special": False},
        {"content": "", "id": 4, "special": True},
        {"id": 5, "special": True},
        "no token",
    ]
    (folder / "tokenizer.json").write_bytes(msgspec.json.encode({**TOKENIZER, "added_tokens": added}))
    assert special_texts(folder) == ("</s>",)


def test_a_template_in_a_file_of_its_own_wins(folder: Path) -> None:
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    assert configured(folder, {**tokens, "chat_template": "old"}).chat_template == "old"
    assert configured(folder, {**tokens, "chat_template": [{"name": "tool", "template": "x"}]}).chat_template is None
    named = [{"name": "tool", "template": "x"}, {"name": "default", "template": "y"}]
    assert configured(folder, {**tokens, "chat_template": named}).chat_template == "y"
    assert configured(folder, {**tokens, "chat_template": [3, {"name": "default"}]}).chat_template is None
    (folder / "chat_template.jinja").write_text("{{ 'ä' }}", encoding="utf-8")
    assert configured(folder, {**tokens, "chat_template": "old"}).chat_template == "{{ 'ä' }}"


def test_a_template_that_is_no_utf8_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_bytes(b"{{ '\xe4' }}")
    with pytest.raises(BuildError, match=r"chat_template\.jinja is not UTF-8 text: byte 5"):
        configured(folder, {"bos_token": "<s>"})


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 200_000])
def test_a_damaged_tokenizer_is_an_error_for_people(folder: Path, name: str, body: bytes) -> None:
    (folder / name).write_bytes(body)
    with pytest.raises(BuildError, match="cannot be read"):
        checkpoint_text(folder)


# ---------------------------------------------------------------- suites and what the runtime can do


SUITE = """name: s
title: t
models: {{m: {{source: {{from: checkpoint, path: model}}, label: l}}}}
variants: {{v: {{model: m, recipe: released}}}}
baselines: [v]
runtimes:
  hf: {{threads: 2}}
  {runtime}
measures:
  - {{kind: task, task: knowledge_200}}
"""


def load(tmp_path: Path, runtime: str) -> Any:
    path = tmp_path / "s.yaml"
    path.write_text(SUITE.format(runtime=runtime))
    return load_suite(str(path), known_names(), load_devices())


def test_a_checkpoints_path_is_relative_to_the_suite(tmp_path: Path) -> None:
    suite = load(tmp_path, "llama.cpp: {kv_type: f16}")
    assert suite.variants[0].model.source == CheckpointSource(path=str(tmp_path / "model"))
    assert [r.name for r in suite.runtimes] == ["hf", "llama.cpp"]


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        ("llama.cpp: {dtype: float32}", "unknown setting of runtime 'llama.cpp' 'dtype'"),
        ("llama.cpp: {processor: cuda}", "unknown setting of runtime 'llama.cpp' 'processor'"),
    ],
)
def test_a_setting_that_the_runtime_does_not_have_is_refused_with_its_line(
    tmp_path: Path, runtime: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, runtime)
    assert said in str(caught.value) and "s.yaml:8:" in str(caught.value)


@pytest.mark.parametrize("setting", ["kv_type: f16", "load_mode: mmap", "repack: false", "ubatch: 8"])
def test_torch_has_none_of_llama_cpps_settings(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SUITE.format(runtime="").replace("threads: 2", setting))
    with pytest.raises(ConfigError, match=r"s\.yaml:7: .*unknown setting of runtime 'hf'"):
        load_suite(str(path), known_names(), load_devices())


def cell_of(load: Workload) -> Cell:
    return Cell(key="0" * 16, variant="v", runtime=Runtime(name="hf"), device="local", workload=load)


FROM_GGUF = Model(name="m", source=FileSource(path="m.gguf"), label="m", context=2048)


@pytest.mark.parametrize(
    ("load", "variant", "said"),
    [
        (Task(task="arc_easy"), Variant(name="v", model=FROM_GGUF, recipe="bf16"), None),
        (Task(task="arc_easy"), Variant(name="v", model=FROM_GGUF, recipe="f16"), None),
        (Task(task="arc_easy"), variant_of(Path("x")), None),
        (Task(task="arc_easy"), Variant(name="v", model=FROM_GGUF, recipe="ptq"), "weights of recipe 'ptq'"),
        (Task(task="arc_easy"), Variant(name="v", model=FROM_GGUF, recipe="released"), "weights of recipe 'released'"),
        (Task(task="arc_easy", context=2049), Variant(name="v", model=FROM_GGUF, recipe="f16"), "context 2049 is more"),
        (Task(task="arc_easy"), Variant(name="v", model=FROM_GGUF, recipe="qlora"), None),
        (Speed(prompt_tokens=8, generated_tokens=2), variant_of(Path("x")), "accuracy only"),
        (Text(text="text_5000"), variant_of(Path("x")), None),
    ],
)
def test_torch_says_what_it_cannot_do(load: Workload, variant: Variant, said: str | None) -> None:
    why = hf.supports(cell_of(load), variant)
    assert why is None if said is None else said in str(why)


def test_the_runner_is_told_apart_by_its_sources() -> None:
    from harness.build.runners.hf import find_hf

    pytest.importorskip("torch")
    found = find_hf()
    assert isinstance(found, Runner) and len(found.sha256) == 64 and found == find_hf()
