"""Releases in Meta's layout as the host sees them: files, sizes, tokenizers, and how they are fetched."""

import base64
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.build import hub_models, releases
from harness.build.checkpoints import describe, find_checkpoint, holds_integers, makes_no_checkpoint
from harness.build.gguf_packing import has_no_gguf
from harness.build.hub_models import fetched, settled
from harness.build.releases import Quantization, Shape, parameters, tensor_bytes
from harness.build.tiktoken_files import merges_of, read_ranks, tokenizer_json, write_tokenizer
from harness.cli import main
from harness.config import load_suite
from harness.device_files import load_devices
from harness.errors import BuildError, InputError
from harness.pipeline import known_names
from harness.values import CheckpointSource, HubSource, Model, Variant

PARAMS: dict[str, Any] = {
    "dim": 2048,
    "n_layers": 16,
    "n_heads": 32,
    "n_kv_heads": 8,
    "vocab_size": 128256,
    "norm_eps": 1e-05,
    "ffn_dim_multiplier": 1.5,
    "multiple_of": 256,
    "rope_theta": 500000.0,
    "use_scaled_rope": True,
}
GROUPS = {"quantization_args": {"group_size": 32}}
NAME = "meta-llama/Llama-3.2-1B-Instruct-SpinQuant_INT4_EO8"


def release(folder: Path, **more: Any) -> Path:
    """A folder with the names of a release, and no tensors to speak of."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.json").write_text(json.dumps({**PARAMS, **more}))
    with zipfile.ZipFile(folder / "consolidated.00.pth", "w") as file:
        file.writestr("consolidated.00/data.pkl", b"never read here")
        file.writestr("consolidated.00/data/0", bytes(100))
        file.writestr("consolidated.00/data/11", bytes(28))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def taken(path: Path) -> Variant:
    return Variant(
        name="v", model=Model(name="m", source=CheckpointSource(path=str(path)), label="x"), recipe="released"
    )


def test_a_release_is_an_artifact_of_its_files(tmp_path: Path) -> None:
    folder = release(tmp_path / "m", **GROUPS)
    assert find_checkpoint("m", str(folder)) == folder
    artifact, stamps = describe("v", folder)
    assert [file.name for file in artifact.files] == ["consolidated.00.pth", "params.json", "tokenizer.json"]
    assert artifact.tensor_bytes == tensor_bytes(folder) == 128 and len(stamps) == 3
    assert holds_integers(taken(folder)) and makes_no_checkpoint(taken(folder)) is None


def test_a_checkpoint_of_transformers_beside_it_goes_first(tmp_path: Path) -> None:
    folder = release(tmp_path / "m")
    (folder / "config.json").write_text("{}")
    assert not releases.is_release(folder)
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        find_checkpoint("m", str(folder))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (GROUPS, "no place for R4"),
        ({**GROUPS, "lora_args": {"rank": 16}}, None),
        ({"quantization_args": {"group_size": 32, "spinquant": False}}, None),
        ({"quantization_args": {"group_size": 24, "spinquant": False}}, "groups of 24"),
        ({}, None),
    ],
)
def test_what_no_gguf_file_can_say_is_known_before_a_run(tmp_path: Path, more: dict[str, Any], why: str | None) -> None:
    said = has_no_gguf(taken(release(tmp_path / "m", **more)))
    assert said is None if why is None else said is not None and why in said


def test_parameters_are_those_of_the_shape() -> None:
    shape = Shape(2048, 16, 32, 8, 128256, 256, 1.5)
    table = 128256 * 2048
    assert parameters(shape, 2 * 1_235_814_400) == 1_235_814_400
    assert parameters(shape, 2 * (1_235_814_400 + table)) == 1_235_814_400 + table
    three = Shape(3072, 28, 24, 8, 128256, 256, 1.0)
    assert parameters(three, 2 * 3_212_749_824) == 3_212_749_824
    packed = Shape(2048, 16, 32, 8, 128256, 256, 1.5, quantization_args=Quantization(32))
    assert parameters(packed, 1) == 1_235_814_400 + table


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "params.json").write_text("["), r"params\.json cannot be read"),
        (lambda f: (f / "params.json").write_text('{"dim": "wide"}'), r"params\.json cannot be read"),
        (lambda f: (f / "consolidated.00.pth").write_bytes(b"PK"), "damaged or cut short"),
        (lambda f: release(f, n_heads=0), "n_heads"),
        (lambda f: release(f, multiple_of=0), "multiple_of"),
        (lambda f: release(f, ffn_dim_multiplier=1e308), "ffn_dim_multiplier"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, spoil: Any, message: str) -> None:
    folder = release(tmp_path / "m")
    spoil(folder)
    with pytest.raises(BuildError, match=message):
        describe("v", folder)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = release(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json and no tokenizer\.model"):
        find_checkpoint("m", str(folder))
    (folder / "params.json").unlink()
    with pytest.raises(InputError, match=r"consolidated\.00\.pth and no params\.json"):
        find_checkpoint("m", str(folder))


TEXTS = ["It's 12345 o'clock, isn't it?\n\n  Yes: “ja”, naïve façade!", "a  b\tc \r\n d", "日本語 ok 🙂", ""]


def trained(folder: Path) -> tuple[Any, Path]:
    """A tokenizer of byte pairs, and the same pairs as Meta writes them."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    from harness.build.tiktoken_files import SPLIT, byte_letters

    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS * 9, trainers.BpeTrainer(vocab_size=330, initial_alphabet=sorted(alphabet)))
    bytes_of = {letter: byte for byte, letter in enumerate(byte_letters())}
    ranks = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    lines = [base64.b64encode(bytes(bytes_of[c] for c in token)) + b" %d" % rank for token, rank in ranks]
    (folder / "tokenizer.model").write_bytes(b"\n".join(lines) + b"\n")
    return tokenizer, folder / "tokenizer.model"


def test_a_tokenizer_of_byte_pairs_encodes_alike_as_json(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    theirs, path = trained(tmp_path)
    ranks = read_ranks(path)
    ours = Tokenizer.from_str(json.dumps(tokenizer_json(ranks)))
    for text in TEXTS:
        ids = ours.encode(text, add_special_tokens=False).ids
        assert ids == theirs.encode(text, add_special_tokens=False).ids
        assert ours.decode(ids) == text
        assert ours.encode(text).ids == [len(ranks), *ids], "one token begins a text"
    assert ours.encode("a<|eot_id|>", add_special_tokens=False).ids[-1] == len(ranks) + 9
    learned = json.loads(theirs.to_str())["model"]["merges"]
    assert len(list(merges_of(ranks))) == len(learned)


def test_special_tokens_have_the_places_of_llama_3(tmp_path: Path) -> None:
    _, path = trained(tmp_path)
    added = tokenizer_json(read_ranks(path))["added_tokens"]
    names = [token["content"] for token in added]
    assert len(set(names)) == 256
    assert names[128_009 - 128_000] == "<|eot_id|>" and names[11] == "<|reserved_special_token_2|>"
    assert names[-1] == "<|reserved_special_token_246|>"


def test_a_release_without_a_tokenizer_gets_one_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = release(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    tokenizer, path = trained(folder)
    pairs = tokenizer.get_vocab_size()
    with pytest.raises(BuildError, match=f"has {pairs} tokens; one of Llama 3 has 128,000"):
        find_checkpoint("m", str(folder))
    assert list((tmp_path / "cache" / "releases").iterdir()) == []
    monkeypatch.setattr(releases, "write_tokenizer", lambda source, to: write_tokenizer(source, to, pairs=pairs))
    made = find_checkpoint("m", str(folder))
    assert made != folder and made == find_checkpoint("m", str(folder))
    assert describe("v", made)[0].tensor_bytes == 128
    assert json.loads((made / "generation_config.json").read_text())["eos_token_id"] == [
        pairs + 1,
        pairs + 8,
        pairs + 9,
    ]
    assert path.samefile(made / "tokenizer.model")


def test_the_turns_of_a_chat(tmp_path: Path) -> None:
    from jinja2 import Environment

    from harness.build.tiktoken_files import TEMPLATE

    template = Environment(autoescape=False).from_string(TEMPLATE)
    said = template.render(
        messages=[{"role": "user", "content": " Hi "}],
        bos_token="<b>",
        date_string="1 May 2025",
        add_generation_prompt=True,
    )
    assert said == (
        "<b><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 1 May 2025"
        "\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("YQ== 1\n", "rank 1 instead of 0"), ("?? 0\n", "cannot be read"), ("YQ== 0\n", "lacks single bytes")],
)
def test_a_damaged_tokenizer_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tokenizer.model").write_text(text)
    with pytest.raises(BuildError, match=message):
        read_ranks(tmp_path / "tokenizer.model")


def test_every_single_byte_is_wanted_however_many_tokens_there_are(tmp_path: Path) -> None:
    tokens = [*(bytes([byte]) for byte in range(255)), *(bytes([97, byte]) for byte in range(40))]
    lines = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    (tmp_path / "tokenizer.model").write_text(lines)
    with pytest.raises(BuildError, match="lacks single bytes"):
        read_ranks(tmp_path / "tokenizer.model")


SUITE = f"""
name: s
title: t
models: {{m: {{source: {{from: hub, repository: {NAME}}}, label: x, context: 8192}}}}
variants: {{v: {{model: m, recipe: released}}}}
baselines: [v]
runtimes: {{hf: {{}}}}
devices: [local]
measures: [{{kind: size}}, {{kind: task, task: knowledge_200}}]
"""


def test_a_compressed_checkpoint_is_compressed_no_second_time(tmp_path: Path) -> None:
    from harness.build.artifacts import Workshop
    from harness.progress import Silent

    for name in ("config.json", "tokenizer.json", "compressed.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(BuildError, match="'m' is compressed already: recipe 'released' takes it as it is"):
        Workshop(None, Silent()).model_file(taken(tmp_path).model)


def test_a_hub_name_is_found_in_the_folder_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_MODELS", str(tmp_path))
    (tmp_path / "s.yaml").write_text(SUITE)
    suite = load_suite(str(tmp_path / "s.yaml"), known_names(), load_devices())
    monkeypatch.setattr(hub_models, "fetched", lambda name, repository: tmp_path / "fetched")
    assert settled(suite, fetch=False) == (suite, {})
    found, refused = settled(suite, fetch=True)
    assert found.variants[0].model.source == CheckpointSource(path=str(tmp_path / "fetched")) and refused == {}
    folder = release(tmp_path / NAME, **GROUPS)
    assert settled(suite, fetch=False)[0].variants[0].model.source == CheckpointSource(path=str(folder))
    (tmp_path / f"{NAME}.gguf").write_bytes(b"")
    assert settled(suite, fetch=True) == (suite, {}), "a file of the user's own goes first"


def test_without_access_a_variant_is_left_out_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_MODELS", str(tmp_path))
    monkeypatch.setattr(hub_models, "fetched", _gated)
    (tmp_path / "s.yaml").write_text(SUITE)
    done = CliRunner().invoke(main, ["run", "--suite", str(tmp_path / "s.yaml"), "--results", str(tmp_path)])
    assert done.exit_code == 2 and "nothing in suite 's' can be measured: it is gated" in done.output
    suite = load_suite(str(tmp_path / "s.yaml"), known_names(), load_devices())
    assert settled(suite, fetch=True) == (suite, {"v": "it is gated"})


def _gated(name: str, repository: str) -> Path:
    raise InputError("it is gated")


def test_a_plan_knows_a_model_of_the_hub_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_MODELS", str(tmp_path))
    (tmp_path / "s.yaml").write_text(SUITE)
    done = CliRunner().invoke(main, ["plan", "--suite", str(tmp_path / "s.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    cells = json.loads(done.stdout)["cells"]
    assert [cell.get("unsupported") for cell in cells] == [None, None]


def response(status: int) -> Any:
    import httpx2  # what huggingface_hub asks with

    return httpx2.Response(status, request=httpx2.Request("GET", "http://127.0.0.1/"))


def refusals() -> dict[str, tuple[Exception, str]]:
    from huggingface_hub import errors

    return {
        "gated": (errors.GatedRepoError("403", response=response(403)), "it is gated: accept its licence"),
        "unknown": (errors.RepositoryNotFoundError("404", response=response(404)), "the hub has no such name"),
        "offline": (errors.LocalEntryNotFoundError("no"), "the hub is out of reach"),
        "switched off": (errors.OfflineModeIsEnabled("no"), "the hub is out of reach"),
        "broken": (errors.HfHubHTTPError("500\nlong", response=response(500)), "the hub says: 500"),
        "disk": (OSError(28, "No space left on device"), "No space left"),
    }


@pytest.mark.parametrize("kind", ["gated", "unknown", "offline", "switched off", "broken", "disk"])
def test_what_the_hub_refuses_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    import huggingface_hub

    error, message = refusals()[kind]

    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=message) as caught:
        fetched("m", NAME)
    assert "\n" not in str(caught.value) and f"or put its files into models/{NAME}" in str(caught.value)


def test_a_source_of_the_hub_is_taken_as_it_is_only_by_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_MODELS", str(tmp_path))
    model = Model(name="m", source=HubSource(repository=NAME), label="x")
    assert makes_no_checkpoint(Variant(name="v", model=model, recipe="released")) is None
    (tmp_path / f"{NAME}.gguf").parent.mkdir(parents=True)
    (tmp_path / f"{NAME}.gguf").write_bytes(b"")
    assert makes_no_checkpoint(Variant(name="v", model=model, recipe="released")) is not None
