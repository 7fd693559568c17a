"""Checkpoints in Meta's layout: written, read back equal, computed, and refused where they contradict themselves."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from harness.config import PROJECT
from harness.measure.workers.hf.errors import JobFailedError, ModelError
from harness.measure.workers.released.names import halved, paired
from harness.measure.workers.released.opening import open_released
from harness.measure.workers.released.params import params_of, read_params, widened
from harness.measure.workers.released.reading import Released
from harness.measure.workers.released.unreleasing import write_unreleased
from harness.measure.workers.released.writing import write_released
from harness.measure.workers.scheme.layout import Weights, read_scheme
from harness.measure.workers.scheme.loading import open_compressed
from tests.small_llama import SCALED, SCHEMES, write_compressed, write_plain

pytestmark = pytest.mark.torch

TOKENS = torch.arange(48)[None] * 5 % 256


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plain(tmp_path_factory.mktemp("plain"), torch.bfloat16, rope_parameters=SCALED)


@pytest.fixture(scope="module")
def compressed(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("compressed")
    return {kind: write_compressed(plain, folder / kind, SCHEMES[kind]) for kind in SCHEMES}


@pytest.fixture(scope="module")
def released(compressed: dict[str, Path], plain: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("released")
    for kind, source in (*compressed.items(), ("bf16", plain)):
        write_released(source, folder / kind)
    return {kind: folder / kind for kind in (*compressed, "bf16")}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS, use_cache=False).logits
    return found


@pytest.mark.parametrize("kind", list(SCHEMES))
def test_what_is_written_is_read_back_equal(
    compressed: dict[str, Path], released: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    ours, theirs = Weights(compressed[kind] / "compressed.safetensors"), Released(released[kind])
    assert theirs.scheme == read_scheme(compressed[kind])
    for name in ("model.embed_tokens", "lm_head", "model.layers.1.self_attn.k_proj", "model.layers.0.mlp.down_proj"):
        shape = theirs.shape_of(name)
        one, other = ours.matrix(name, *shape), theirs.matrix(name, *shape)
        assert torch.equal(one.integers, other.integers) and torch.equal(one.scales, other.scales)
    write_unreleased(released[kind], tmp_path / "back")
    before, after = (load_file(f / "compressed.safetensors") for f in (compressed[kind], tmp_path / "back"))
    assert set(before) == set(after)
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype and torch.equal(tensor, after[name]), name
    assert read_scheme(tmp_path / "back") == read_scheme(compressed[kind])


def test_keys_types_and_shapes_are_metas(released: dict[str, Path]) -> None:
    state = torch.load(released["qlora"] / "consolidated.00.pth", weights_only=True)
    kinds = {key: (value.dtype, tuple(value.shape)) for key, value in state.items()}
    assert kinds["layers.1.attention.wq.weight"] == (torch.int8, (96, 96))
    assert kinds["layers.1.attention.wq.scales"] == (torch.float32, (96, 3))
    assert kinds["layers.0.feed_forward.w2.adaptor.A.weight"] == (torch.bfloat16, (8, 192))
    assert kinds["layers.0.feed_forward.w2.adaptor.B.weight"] == (torch.bfloat16, (96, 8))
    assert kinds["output.weight"] == kinds["tok_embeddings.weight"] == (torch.int8, (256, 96))
    assert kinds["tok_embeddings.scales"][1] == (256, 1)
    params = json.loads((released["qlora"] / "params.json").read_text())
    assert params["quantization_args"]["group_size"] == 32 and params["lora_args"] == {"rank": 8, "scale": 2.0}
    assert params["use_scaled_rope"] and params["rope_scale_factor"] == 32 and params["n_kv_heads"] == 2


@pytest.mark.parametrize("kind", list(SCHEMES))
def test_a_release_computes_what_the_checkpoint_computes(
    compressed: dict[str, Path], released: dict[str, Path], kind: str
) -> None:
    scheme = read_scheme(compressed[kind])
    assert scheme is not None
    before = logits(open_compressed(compressed[kind], scheme, torch.float32, "sdpa"))
    assert torch.equal(before, logits(open_released(released[kind], torch.float32, "sdpa")))


def test_a_plain_release_computes_what_the_checkpoint_computes(
    plain: Path, released: dict[str, Path], tmp_path: Path
) -> None:
    before = logits(AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32))
    assert torch.equal(before, logits(open_released(released["bf16"], torch.float32, "sdpa")))
    write_unreleased(released["bf16"], tmp_path / "back")
    assert torch.equal(before, logits(AutoModelForCausalLM.from_pretrained(tmp_path / "back", dtype=torch.float32)))


def test_a_release_may_leave_out_an_output_layer_that_is_the_table(
    released: dict[str, Path], changed: Callable[..., Path]
) -> None:
    folder = changed("bf16", lambda state, params: state.pop("output.weight"))
    assert torch.equal(
        logits(open_released(folder, torch.float32, "sdpa")),
        logits(open_released(released["bf16"], torch.float32, "sdpa")),
    )


Change = Callable[[dict[str, torch.Tensor], dict[str, Any]], object]


@pytest.fixture
def changed(released: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a release with other tensors and another params.json."""

    def one(kind: str, change: Change) -> Path:
        state = torch.load(released[kind] / "consolidated.00.pth", weights_only=True)
        params = json.loads((released[kind] / "params.json").read_text())
        change(state, params)
        torch.save(state, tmp_path / "consolidated.00.pth")
        (tmp_path / "params.json").write_text(json.dumps(params))
        return tmp_path

    return one


W2 = "layers.0.feed_forward.w2"
CONTRADICTIONS: dict[str, tuple[Change, str]] = {
    "one layer more": (lambda s, p: p.update(n_layers=3), r"lacks layers\.2\..*, which params\.json asks for"),
    "one layer fewer": (lambda s, p: p.update(n_layers=1), r"params\.json has no place for layers\.1\."),
    "another vocabulary": (lambda s, p: p.update(vocab_size=300), r"tok_embeddings\.weight is int8 \[256, 96\].*300"),
    "another group": (lambda s, p: p["quantization_args"].update(group_size=16), r"scales is float32 \[96, 3\].*6"),
    "no scheme": (lambda s, p: (p.pop("quantization_args"), p.pop("lora_args")), r"is int8 .* asks for bfloat16"),
    "no adaptors": (lambda s, p: p.pop("lora_args"), r"no place for layers\.0\..*adaptor"),
    "another rank": (
        lambda s, p: p["lora_args"].update(rank=4),
        r"adaptor\.A\.weight is bfloat16 \[8, 96\].*\[4, 96\]",
    ),
    "adaptors without a scheme": (
        lambda s, p: p.pop("quantization_args"),
        "it has lora_args, but no quantization_args",
    ),
    "a strange key": (lambda s, p: p.update(use_qk_norm=True), "unknown field `use_qk_norm`"),
    "two widths": (lambda s, p: p.update(ffn_dim_multiplier=2.0), "hidden_dim is 192, but ffn_dim_multiplier"),
    "heads that do not fit": (lambda s, p: p.update(n_kv_heads=3), "3 key heads do not divide 4 heads"),
    "integers beyond int4": (lambda s, p: s[f"{W2}.weight"][0].fill_(9), r"from -8 to 9, not within \(-8, 7\)"),
    "half scales": (lambda s, p: s.update({f"{W2}.scales": s[f"{W2}.scales"].half()}), r"w2\.scales is float16"),
    "endless scales": (
        lambda s, p: s[f"{W2}.scales"][0].fill_(torch.inf),
        r"w2\.scales has values that are no numbers",
    ),
    "zero points": (lambda s, p: s.update({f"{W2}.zeros": torch.ones(96, 6)}), r"no place for .*w2\.zeros"),
}


@pytest.mark.parametrize("what", list(CONTRADICTIONS))
def test_contradictions_are_named_in_one_line(changed: Callable[..., Path], what: str) -> None:
    change, message = CONTRADICTIONS[what]
    with pytest.raises(ModelError, match=message) as caught:
        open_released(changed("qlora", change), torch.float32, "sdpa")
    assert "\n" not in str(caught.value)


def test_zero_points_of_zero_and_older_keys_are_no_contradiction(changed: Callable[..., Path]) -> None:
    more = {f"{W2}.zeros": torch.zeros(96, 6), "rope.freqs": torch.ones(12)}
    Released(changed("spinquant", lambda s, p: s.update(more)))


def test_a_file_that_holds_code_is_refused_and_nothing_of_it_runs(released: dict[str, Path], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "it ran"),)

    (tmp_path / "params.json").write_bytes((released["ptq"] / "params.json").read_bytes())
    torch.save({"tok_embeddings.weight": Evil()}, tmp_path / "consolidated.00.pth")
    with pytest.raises(ModelError, match="cannot load"):
        Released(tmp_path)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("bytes_left", [0, 100, 20_000])
def test_a_cut_file_is_named(released: dict[str, Path], tmp_path: Path, bytes_left: int) -> None:
    (tmp_path / "params.json").write_bytes((released["ptq"] / "params.json").read_bytes())
    whole = (released["ptq"] / "consolidated.00.pth").read_bytes()
    (tmp_path / "consolidated.00.pth").write_bytes(whole[:bytes_left])
    with pytest.raises(ModelError, match=r"cannot load .*consolidated\.00\.pth"):
        Released(tmp_path)


def test_other_things_than_tensors_are_refused(released: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "params.json").write_bytes((released["ptq"] / "params.json").read_bytes())
    torch.save({"model": {"norm.weight": torch.ones(3)}}, tmp_path / "consolidated.00.pth")
    with pytest.raises(ModelError, match="other things than tensors"):
        Released(tmp_path)
    (tmp_path / "consolidated.01.pth").write_bytes(b"")
    with pytest.raises(ModelError, match="split over several files"):
        Released(tmp_path)


def test_nothing_is_written_over_or_half_written(plain: Path, released: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(JobFailedError, match="is there already"):
        write_released(plain, released["ptq"])
    with pytest.raises(ModelError):
        write_released(tmp_path, tmp_path / "made")
    write_unreleased(released["ptq"], tmp_path / "made")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]


def test_what_params_json_cannot_say_is_refused(tmp_path: Path) -> None:
    strange = write_plain(tmp_path / "m", rope_parameters={**SCALED, "low_freq_factor": 2.0})
    with pytest.raises(ModelError, match="no word for a RoPE"):
        write_released(strange, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inner", [8192, 5461, 96, 14336, 1536, 13, 2730])
@pytest.mark.parametrize("dim", [2048, 3072, 576, 12])
def test_the_width_of_the_feed_forward_layer_follows_from_metas_formula_too(dim: int, inner: int) -> None:
    from transformers import LlamaConfig

    config = LlamaConfig(hidden_size=dim, intermediate_size=inner, num_attention_heads=4, num_key_value_heads=4)
    params = params_of(config, None)
    assert params.ffn_dim_multiplier and params.multiple_of
    assert widened(dim, params.multiple_of, params.ffn_dim_multiplier) == params.inner == inner


def test_published_params_are_understood(tmp_path: Path) -> None:
    told = {"dim": 2048, "n_layers": 16, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "norm_eps": 1e-05}
    told |= {"ffn_dim_multiplier": 1.5, "multiple_of": 256, "rope_theta": 500000.0, "use_scaled_rope": True}
    for more, rotates in (({}, True), ({"lora_args": {"rank": 16, "scale": 2.0}}, False)):
        (tmp_path / "params.json").write_text(json.dumps({**told, "quantization_args": {"group_size": 32}, **more}))
        params = read_params(tmp_path)
        assert params.inner == 8192 and params.head == 64
        assert params.scheme is not None and params.scheme.rotates_down is rotates
        assert params.scheme.lora_rank == (0 if rotates else 16)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_rows_come_back_in_their_order(heads: int) -> None:
    rows = torch.arange(16.0)[:, None].expand(16, 3)
    assert torch.equal(halved(paired(rows, heads), heads), rows)
    assert paired(rows, heads)[:2, 0].tolist() == [0, 16 / heads / 2]


MANY = """
import sys
from harness.measure.workers.hf.__main__ import main
sys.exit(max(main([f"{folder}/job.json", f"{folder}/events.jsonl"]) for folder in sys.argv[1:]))
"""


def test_the_torch_scorer_takes_a_release_as_it_is(
    compressed: dict[str, Path], released: dict[str, Path], tmp_path: Path
) -> None:
    asked = [{"id": i, "context": [5, 9 + i, 7], "shared": 0, "continuation": [40 + i, 3]} for i in range(12)]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    engine = {"threads": 1, "context": 64, "dtype": "float32", "device": "cpu", "program_sha256": "x"}
    folders = {"ours": compressed["spinquant"], "theirs": released["spinquant"]}
    for name, model in folders.items():
        (tmp_path / name).mkdir()
        job = {"kind": "score", "model": str(model), **engine, "requests": str(tmp_path / "requests.jsonl")}
        (tmp_path / name / "job.json").write_text(json.dumps({**job, "answers": str(tmp_path / name / "answers")}))
    argv = [sys.executable, "-c", MANY, *(str(tmp_path / name) for name in folders)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr[-2000:]
    ours, theirs = ((tmp_path / name / "answers").read_text() for name in folders)
    assert ours == theirs and ours.count("\n") == 12
