"""The program that compresses checkpoints, on small random Llamas; see docs/variants.md."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GemmaConfig, GemmaForCausalLM

from harness.config import PROJECT
from harness.data.sources import FOLDER
from harness.measure.workers.compress.cayley import CayleySgd
from harness.measure.workers.compress.decoder import Decoder, open_decoder
from harness.measure.workers.compress.distil import Plan, Teacher, distil
from harness.measure.workers.compress.expected import Expected, cost, damped, pivots
from harness.measure.workers.compress.gptq import gptq
from harness.measure.workers.compress.low_rank import main_directions, moments_without, parts_of
from harness.measure.workers.compress.made import Report
from harness.measure.workers.compress.qlora import TrainedLinear
from harness.measure.workers.compress.rotations import Rotations, fold_norms, random_rotations, rotate, rotate_down
from harness.measure.workers.compress.rounding import nearest
from harness.measure.workers.compress.seen import Seen, look
from harness.measure.workers.compress.spinquant import relative_change
from harness.measure.workers.compress.state import State
from harness.measure.workers.compress.text import token_rows
from harness.measure.workers.hf.errors import JobFailedError, ModelError
from harness.measure.workers.scheme.hadamard import random_hadamard, rotate_last
from harness.measure.workers.scheme.layers import Adaptor, QuantizedLinear
from harness.measure.workers.scheme.layout import read_scheme
from harness.measure.workers.scheme.loading import open_compressed
from harness.measure.workers.scheme.numerics import INT4
from harness.store import read_lines

pytestmark = pytest.mark.torch

SHAPES: dict[str, dict[str, int]] = {
    "small": {"hidden_size": 96, "intermediate_size": 192, "num_attention_heads": 4, "num_key_value_heads": 2},
    "head of 128": {"hidden_size": 256, "intermediate_size": 384, "num_attention_heads": 2, "num_key_value_heads": 1},
    "576 and 1536": {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3},
}
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Writes a random Llama with norms that are not 1, and a tokenizer that takes each byte for a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()

    def one(shape: str = "small", spoil: Callable[[Any], None] = lambda model: None, **more: Any) -> Path:
        folder = tmp_path_factory.mktemp("llama")
        torch.manual_seed(5)
        sizes = {"vocab_size": 256, "num_hidden_layers": 2, "initializer_range": 0.1, "tie_word_embeddings": True}
        model = LlamaForCausalLM(LlamaConfig(**{**sizes, **SHAPES[shape], **more}))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("norm.weight"):
                    parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
            spoil(model)
        model.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=alphabet[0]).save_pretrained(folder)
        return folder

    return one


TOKENS = torch.arange(64)[None] * 3 % 256


def logits(decoder: Decoder, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = decoder.model(tokens, use_cache=False).logits
    return found


def online_r4(decoder: Decoder) -> None:
    """The other half of R4: what each down projection reads is rotated as it comes."""
    for layer in range(decoder.layers):
        decoder.linear(f"model.layers.{layer}.mlp.down_proj").register_forward_pre_hook(lambda _, x: rotate_last(x[0]))


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("which", ["R1", "R2", "R4", "together"])
def test_a_rotated_model_computes_the_same(make: Make, shape: str, which: str) -> None:
    decoder = open_decoder(make(shape), 32)
    before = logits(decoder)
    fold_norms(decoder)
    assert relative_change(before, logits(decoder)) < 1e-5
    rotations = random_rotations(decoder, torch.Generator().manual_seed(1))
    if which == "R1":
        rotations = type(rotations)(rotations.r1, torch.eye(decoder.head).expand(decoder.layers, -1, -1))
    if which == "R2":
        rotations = type(rotations)(torch.eye(decoder.hidden), rotations.r2)
    if which != "R4":
        rotate(decoder, rotations)
    if which in ("R4", "together"):
        rotate_down(decoder)
        assert relative_change(before, logits(decoder)) > 1e-3  # half of it changes everything
        online_r4(decoder)
    assert relative_change(before, logits(decoder)) < 1e-5


def test_steps_stay_on_the_manifold_and_go_downhill() -> None:
    """The matrix nearest to a target: the loss falls to 0 and every step is orthogonal."""
    generator = torch.Generator().manual_seed(2)
    target = torch.stack([random_hadamard(12, generator) for _ in range(2)])
    start = torch.linalg.qr(target + 0.3 * torch.randn(2, 12, 12, generator=generator, dtype=torch.float64))[0]
    start = start * torch.sign((start * target).sum(-2, keepdim=True))
    sgd = CayleySgd(start)
    losses = []
    for _ in range(200):
        losses.append(float((sgd.matrices - target).square().sum()))
        sgd.step(2 * (sgd.matrices - target), 0.05)
        assert torch.allclose(sgd.matrices @ sgd.matrices.mT, torch.eye(12, dtype=torch.float64), atol=1e-10)
    assert losses[-1] < 0.01 * losses[0]


def test_gptq_loses_less_of_what_a_layer_puts_out_than_rounding() -> None:
    generator = torch.Generator().manual_seed(4)
    mixing = torch.randn(64, 64, generator=generator)
    x = torch.randn(512, 64, generator=generator) @ mixing
    weight = torch.randn(48, 64, generator=generator)
    rounded, better = nearest(weight, 32, INT4), gptq(weight, x.T @ x / len(x), 32, INT4, 0.01).matrix
    errors = [float((x @ (m.weight - weight).T).square().sum()) for m in (rounded, better)]
    assert errors[1] < 0.5 * errors[0]
    assert bool((better.integers >= -8).all()) and bool((better.integers <= 7).all())


def test_gptq_without_correlations_rounds_to_nearest_of_its_scales() -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(4))
    found = gptq(weight, torch.eye(64), 32, INT4, 0.0).matrix
    assert float((found.weight - weight).abs().max()) <= float(found.scales.max()) * 1.6


def read_by_few(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What a layer reads [tokens, 64], mostly in 3 directions, and its weight."""
    x = torch.randn(512, 64, generator=generator) + 9 * torch.randn(512, 3, generator=generator) @ torch.randn(
        3, 64, generator=generator
    )
    return x, torch.randn(48, 64, generator=generator)


def test_the_main_directions_are_those_of_the_largest_moments() -> None:
    x, _ = read_by_few(torch.Generator().manual_seed(4))
    moments = (x.T @ x / len(x)).double()
    found = main_directions(moments, 3, torch.Generator().manual_seed(1))
    wanted = torch.linalg.eigh(moments)[1][:, -3:]
    assert torch.allclose(found.T @ found, torch.eye(3, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(found @ found.T, wanted @ wanted.T, atol=1e-6)
    left = moments_without(moments, found)
    assert float((left @ found).abs().max()) < 1e-6 * float(moments.diagonal().mean())
    some = x - x @ found.float() @ found.T.float()
    assert torch.allclose(left.float(), some.T @ some / len(x), atol=1e-3)


def test_an_adaptor_makes_up_for_what_rounding_loses_where_most_is_read() -> None:
    generator = torch.Generator().manual_seed(4)
    x, weight = read_by_few(generator)
    moments = x.T @ x / len(x)
    (part,) = parts_of([weight], moments, rank=3, group=32, damping=0.01, generator=generator)

    def lost(other: torch.Tensor) -> float:
        return float((x @ (other - weight).T).square().sum())

    integers, plain = part.matrix.weight, gptq(weight, moments, 32, INT4, 0.01).matrix.weight
    assert lost(integers + part.b @ part.a) < 0.7 * lost(plain) < lost(integers)
    assert torch.allclose(part.a.norm(dim=1), part.b.norm(dim=0), rtol=1e-4)
    # Where nothing is read there is nothing to make up for, and nothing that is no number.
    (idle,) = parts_of([weight], torch.zeros(64, 64), rank=3, group=32, damping=0.01, generator=generator)
    assert bool(torch.isfinite(idle.a).all() and torch.isfinite(idle.b).all())
    (exact,) = parts_of([torch.zeros(48, 64)], moments, rank=3, group=32, damping=0.01, generator=generator)
    assert torch.allclose(exact.a.norm(dim=1), torch.ones(3)) and not bool(exact.b.any())


def test_a_trained_layer_rounds_as_the_integers_do_that_are_stored() -> None:
    generator = torch.Generator().manual_seed(4)
    x, weight = read_by_few(generator)
    (part,) = parts_of([weight], x.T @ x / len(x), rank=3, group=32, damping=0.01, generator=generator)
    adaptor = Adaptor(part.a, part.b, 1.0)
    layer = TrainedLinear(part, adaptor)
    assert torch.equal(layer(x), QuantizedLinear(part.matrix.weight, adaptor=adaptor)(x))
    layer(x).square().sum().backward()
    gradient = layer.linear.weight.grad
    assert gradient is not None and bool((gradient != 0).all()), "none is out of reach"
    with torch.no_grad():
        layer.linear.weight += 0.3 * torch.randn(weight.shape, generator=generator)
    again = layer.matrix()
    assert torch.equal(layer(x), QuantizedLinear(again.weight, adaptor=adaptor)(x))
    assert not torch.equal(again.integers, part.matrix.integers)


def test_pivots_are_what_later_columns_do_not_foretell() -> None:
    mixing = torch.randn(40, 12, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    moments = mixing.T @ mixing / 40
    found, order = pivots(moments), moments.diagonal().argsort(descending=True)
    for place, column in enumerate(order.tolist()):
        later = mixing[:, order[place + 1 :]]
        left = mixing[:, column] - (later @ torch.linalg.lstsq(later, mixing[:, column, None]).solution)[:, 0]
        assert found[column] == pytest.approx(float(left.square().mean()))


def test_the_expected_loss_is_near_what_gptq_loses() -> None:
    """Half the Fisher-weighted error of outputs, where columns foretell each other: much less than by rounding."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(512, 16, generator=generator) @ torch.randn(16, 64, generator=generator)
    moments = damped(x.T @ x / len(x))
    weight, fisher = torch.randn(48, 64, generator=generator), torch.rand(48, generator=generator)
    error = gptq(weight, moments, 32, INT4, 0.0).matrix.weight - weight
    lost = 0.5 * float((fisher * ((error @ moments) * error).sum(-1)).sum())
    assert 0.6 * lost < float(cost(weight, fisher, pivots(moments), 32)) < 1.6 * lost
    assert float(cost(weight, fisher, moments.diagonal(), 32)) > 3 * lost


@pytest.mark.parametrize("rotates_down", [False, True])
def test_what_is_expected_of_rotations_is_what_a_turned_model_shows(make: Make, rotates_down: bool) -> None:
    decoder, generator = open_decoder(make(), 32), torch.Generator().manual_seed(3)
    fold_norms(decoder)
    rows = torch.randint(256, (16, 64), generator=generator)
    rotations = random_rotations(decoder, generator)
    before = Expected(decoder, as_if_all_mattered(decoder, rows), 32, rotates_down=rotates_down)
    found = float(before.loss(rotations.floats(), [0, 1], None))
    still = Rotations(torch.eye(decoder.hidden), torch.eye(decoder.head).expand(decoder.layers, -1, -1))
    assert float(before.loss(still, [0, 1], None)) != pytest.approx(found, rel=0.02)
    rotate(decoder, rotations)
    if rotates_down:
        rotate_down(decoder)
        online_r4(decoder)
    after = Expected(decoder, as_if_all_mattered(decoder, rows), 32, rotates_down=False)
    assert float(after.loss(still, [0, 1], None)) == pytest.approx(found, rel=1e-3)


def as_if_all_mattered(decoder: Decoder, rows: torch.Tensor) -> Seen:
    seen = look(decoder, rows, rows[:1], torch.Generator().manual_seed(1))
    return Seen(seen.moments, {name: torch.ones_like(weights) for name, weights in seen.weights.items()})


def test_learning_lowers_what_is_expected(make: Make) -> None:
    decoder, generator = open_decoder(make(), 32), torch.Generator().manual_seed(3)
    fold_norms(decoder)
    rows = torch.randint(256, (16, 64), generator=generator)
    expected = Expected(decoder, look(decoder, rows, rows[:4], generator), 32, rotates_down=False)
    start = random_rotations(decoder, generator)
    r1, first = CayleySgd(start.r1), float(expected.loss(start.floats(), [0, 1], None))
    for _ in range(40):
        now = Rotations(r1.matrices.float().requires_grad_(), start.r2.float())
        (expected.loss(now, [0, 1], generator) / first).backward()
        assert now.r1.grad is not None
        r1.step(now.r1.grad, 1.0)
    assert float(expected.loss(Rotations(r1.matrices, start.r2).floats(), [0, 1], None)) < 0.95 * first


def test_a_text_is_drawn_from_the_model_again_the_same(make: Make, tmp_path: Path) -> None:
    model = make()
    common = {"kind": "draw", "model": str(model), "tokens": 600, "threads": 1, "program_sha256": "abc"}
    wishes = [{**common, "seed": seed, "output": str(tmp_path / str(i))} for i, seed in enumerate((1, 1, 2))]
    (tmp_path / "jobs").mkdir()
    for code, last, events in run(*wishes, folder=tmp_path / "jobs"):
        assert code == 0 and events[-1]["event"] == "done", last
    one, again, other = ((tmp_path / str(i)).read_text(encoding="utf-8") for i in range(3))
    assert one == again and one != other
    assert len(token_rows(tmp_path / "0", model, 18, 32, torch.Generator())) == 18


MANY = """
import sys
from harness.measure.workers.compress.__main__ import main
for folder in sys.argv[1:]:
    with open(f"{folder}/code", "w") as file:
        sys.stderr = open(f"{folder}/errors", "w")
        file.write(str(main([f"{folder}/job.json", f"{folder}/events.jsonl"])))
        sys.stderr.close()
"""


def run(*jobs: dict[str, Any], folder: Path) -> list[tuple[int, str, list[dict[str, Any]]]]:
    """Jobs one after another in one process (torch takes seconds to import): exit code, last line, events of each."""
    places = [folder / f"{len(list(folder.iterdir()))}-{n}" for n in range(len(jobs))]
    for place, job in zip(places, jobs, strict=True):
        place.mkdir()
        (place / "job.json").write_text(json.dumps(job))
    subprocess.run([sys.executable, "-c", MANY, *map(str, places)], capture_output=True, cwd=PROJECT, check=True)
    return [
        (int((p / "code").read_text()), last_line(p / "errors"), list(read_lines(p / "events.jsonl"))) for p in places
    ]


def last_line(path: Path) -> str:
    """The program's own; libraries say things before it."""
    return (path.read_text().strip().splitlines() or [""])[-1]


def wish(kind: str, base: Path, folder: Path, **more: Any) -> dict[str, Any]:
    common = {
        "kind": kind,
        "model": str(base),
        "output": str(folder / "output"),
        "threads": 1,
        "program_sha256": "abc",
        "group": 32,
        "seed": 1,
    }
    text = {"text": str(FOLDER / "text_5000.txt"), "state": str(folder / "state"), "samples": 4, "sample_tokens": 32}
    own: dict[str, dict[str, Any]] = {
        "ptq": {},
        "spinquant": {**text, "steps": 3, "learning_rate": 1.5, "rotates_down": False, "damping": 0.01},
        "qlora": {
            **text,
            "steps": 3,
            "lora_steps": 2,
            "batch": 1,
            "learning_rate": 1e-3,
            "lora_learning_rate": 1e-3,
            "lora_rank": 4,
            "damping": 0.01,
        },
    }
    (folder / "state").mkdir(parents=True, exist_ok=True)
    return {**common, **own[kind], **more}


def test_recipes_make_checkpoints_that_open_and_are_the_same_again(make: Make, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model, losses = make(), {"ptq": 0, "spinquant": 3, "qlora": 5}
    for turn in ("one", "two"):
        folders = {kind: tmp_path / turn / kind for kind in losses}
        done = run(*(wish(kind, model, folder, threads=2) for kind, folder in folders.items()), folder=tmp_path)
        for (code, last, events), count in zip(done, losses.values(), strict=True):
            assert code == 0, last
            assert events[-1]["event"] == "done" and events[-1]["peak_rss_bytes"] > 1 << 20
            assert len(events[-1]["losses"]) == count
    before = logits(open_decoder(model, 32))
    for kind in losses:
        output = tmp_path / "one" / kind / "output"
        again = tmp_path / "two" / kind / "output"
        assert {p.name: p.read_bytes() for p in output.iterdir()} == {p.name: p.read_bytes() for p in again.iterdir()}
        scheme = read_scheme(output)
        assert scheme is not None and (scheme.lora_rank == 4) == (kind == "qlora")
        assert 1e-4 < relative_change(before, opened_logits(output)) < 0.6
        # Nobody else takes it for a plain checkpoint and draws its weights at random.
        with pytest.raises(OSError, match=r"no file named model\.safetensors"):
            AutoModelForCausalLM.from_pretrained(output)


def opened_logits(folder: Path, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    scheme = read_scheme(folder)
    assert scheme is not None
    with torch.no_grad():
        found: torch.Tensor = open_compressed(folder, scheme, torch.float32, "sdpa")(tokens, use_cache=False).logits
    return found


def test_online_rotation_is_part_of_what_is_opened(make: Make, tmp_path: Path) -> None:
    model = make()
    ((code, last, _),) = run(wish("spinquant", model, tmp_path / "r4", steps=0, rotates_down=True), folder=tmp_path)
    assert code == 0, last
    assert relative_change(logits(open_decoder(model, 32)), opened_logits(tmp_path / "r4" / "output")) < 0.6


def _nan(model: Any) -> None:
    model.model.layers[1].mlp.up_proj.weight[3, 3] = float("nan")


def test_wrong_input_ends_with_one_clear_line(make: Make, tmp_path: Path) -> None:
    good = make()
    odd = make("small", hidden_size=188, num_attention_heads=47, num_key_value_heads=47)
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (make("small", attention_bias=True), {}, "q_proj has a bias"),
        (make("small", _nan), {}, "up_proj.weight has values that are no numbers"),
        (good, {"group": 36}, "groups of 36 do not divide the 96 columns"),
        (good, {"text": "/nowhere"}, "cannot read /nowhere"),
        (good, {"samples": 10**6}, "not enough for 1000000 samples"),
        (good, {"learning_rate": 0}, "learning_rate"),
        (good, {"unknown": 0}, "unknown"),
        (Path("/nowhere"), {}, "cannot load /nowhere"),
        (odd, {"group": 4}, "no Hadamard matrix of order 188"),
    ]
    jobs = [wish("spinquant", model, tmp_path / str(i), **more) for i, (model, more, _) in enumerate(cases)]
    for (code, last, _), (_, _, says), job in zip(run(*jobs, folder=tmp_path), cases, jobs, strict=True):
        assert code in (1, 2) and says in last, last
        assert not Path(job["output"]).exists()


def test_a_model_that_the_recipe_refuses_is_refused_before_a_text_is_drawn(make: Make, tmp_path: Path) -> None:
    odd = make("small", hidden_size=188, num_attention_heads=47, num_key_value_heads=47)
    draw = {"kind": "draw", "tokens": 10**6, "threads": 1, "program_sha256": "abc"}
    cases = [
        (odd, {"group": 4, "turned": True}, "no Hadamard matrix of order 188"),
        (make(intermediate_size=188), {"turned": True, "rotates_down": True}, "no Hadamard matrix of order 188"),
        (make(), {"group": 36}, "groups of 36 do not divide the 96 columns"),
    ]
    jobs = [{**draw, "model": str(model), "output": str(tmp_path / "text"), **more} for model, more, _ in cases]
    for (code, last, events), (_, _, says) in zip(run(*jobs, folder=tmp_path), cases, strict=True):
        assert code == 1 and says in last, last
        assert [event["event"] for event in events] == ["hello"]
    assert not (tmp_path / "text").exists()


def test_a_missing_shard_and_another_architecture_are_refused(make: Make, tmp_path: Path) -> None:
    model = make()
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot load"):
        open_decoder(model, 32)
    other = tmp_path / "gemma"
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24}
    config = GemmaConfig(vocab_size=256, hidden_size=96, intermediate_size=192, **sizes)
    GemmaForCausalLM(config).save_pretrained(other)
    with pytest.raises(ModelError, match="is a 'gemma'; Llama-like decoders are compressed: llama, mistral"):
        open_decoder(other, 32)


def test_biases_that_the_config_does_not_know_are_not_dropped(make: Make) -> None:
    model = make()
    weights = load_file(model / "model.safetensors")
    save_file({**weights, "model.layers.0.self_attn.q_proj.bias": torch.ones(96)}, model / "model.safetensors")
    with pytest.raises(ModelError, match=r"knows nothing of model\.layers\.0\.self_attn\.q_proj\.bias"):
        open_decoder(model, 32)


@pytest.mark.parametrize("kind", ["ptq", "spinquant"])
def test_a_full_disk_leaves_nothing_under_a_final_name(make: Make, tmp_path: Path, kind: str) -> None:
    """A limit of file sizes stands for it: the kernel refuses what is too much in the same places."""
    base, folder = make(), tmp_path / "made"
    (tmp_path / "job.json").write_text(json.dumps(wish(kind, base, folder, **({"steps": 0} if kind != "ptq" else {}))))
    code = f"""
import resource, signal, sys
from harness.measure.workers.compress.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
sys.exit(main([{str(tmp_path / "job.json")!r}, {str(tmp_path / "events.jsonl")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert last.startswith("bench-compress: ") and "File too large" in last
    assert not (folder / "output").exists() and not [p for p in folder.rglob("*") if p.suffix == ".safetensors"]


def test_a_loss_that_is_no_number_ends_the_job() -> None:
    report = Report()
    report.loss("training", 0, 1.5)
    with pytest.raises(JobFailedError, match="the loss of step 1 is no number"):
        report.loss("training", 1, float("nan"))


@pytest.mark.parametrize(
    ("kind", "stage", "losses"),
    [("spinquant", "rotation", 12), ("qlora", "quantization-aware training", 24), ("qlora", "adaptors", 24)],
)
def test_killed_it_goes_on_and_ends_with_the_same_bytes(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, stage: str, losses: int
) -> None:
    monkeypatch.setenv("BENCH_KEEP_EVERY_S", "0")
    more = {"steps": 12} | ({"lora_steps": 12} if kind == "qlora" else {})
    model = make()
    whole, cut = (wish(kind, model, tmp_path / name, **more) for name in ("whole", "cut"))
    (tmp_path / "job.json").write_text(json.dumps(cut))
    argv = [sys.executable, "-m", "harness.measure.workers.compress", str(tmp_path / "job.json"), str(tmp_path / "e")]
    process = subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"progress 5 12 {stage}"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path(cut["output"]).exists()
    again = subprocess.run(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    first = next(line for line in again if line.removeprefix("progress ").split(maxsplit=2)[2].startswith(stage))
    assert int(first.split()[1]) > 1, "what was done and kept is not done again"
    assert len(list(read_lines(tmp_path / "e"))[-1]["losses"]) == losses
    ((code, last, events),) = run(whole, folder=tmp_path)
    assert code == 0, last
    assert len(events[-1]["losses"]) == losses
    assert {p.name: p.read_bytes() for p in Path(cut["output"]).iterdir()} == {
        p.name: p.read_bytes() for p in Path(whole["output"]).iterdir()
    }


def test_what_was_kept_of_another_beginning_is_not_gone_on_with(make: Make, tmp_path: Path) -> None:
    model = make()
    jobs = [wish("qlora", model, tmp_path / "one", output=str(tmp_path / f"out{n}"), seed=n) for n in (1, 2)]
    done = run(*jobs, folder=tmp_path)
    assert [code for code, _, _ in done] == [0, 1]
    assert "training.safetensors was begun from other integers" in done[1][1]


def test_each_stage_of_qlora_may_be_left_out(make: Make, tmp_path: Path) -> None:
    """Integers with adaptors are nearer than plain rounding, before anything is trained; text may be less than a step
    takes."""
    model, enough = make(), {"samples": 200, "batch": 300}
    settings: dict[str, dict[str, Any]] = {
        "neither": {"steps": 0, "lora_steps": 0},
        "adaptors": {"steps": 0, "lora_steps": 5},
        "weights": {"steps": 5, "lora_steps": 0},
    }
    jobs = [wish("ptq", model, tmp_path / "ptq")]
    jobs += [wish("qlora", model, tmp_path / name, **enough, **more) for name, more in settings.items()]
    jobs += [wish("qlora", model, tmp_path / "wide", lora_rank=97)]
    (*done, (code, last, _)) = run(*jobs, folder=tmp_path)
    assert [len(events[-1]["losses"]) for _, _, events in done] == [0, 0, 5, 5]
    assert code == 1 and "has 96 columns: too few for adaptors of rank 97" in last
    seen = token_rows(FOLDER / "text_5000.txt", model, 4, 64, torch.Generator().manual_seed(3))
    before = logits(open_decoder(model, 32), seen)
    changes = [relative_change(before, opened_logits(Path(job["output"]), seen)) for job in jobs[:-1]]
    assert all(change < 0.8 * changes[0] for change in changes[1:]), changes


def test_a_gradient_that_is_no_number_ends_the_job(tmp_path: Path) -> None:
    """Its loss is one still; what the step would leave is not."""
    weight = torch.nn.Parameter(torch.zeros(2))

    def student(rows: torch.Tensor, **_: Any) -> Any:
        logits = (weight * torch.tensor([1.0, 0.0])).sqrt()  # 0, with a gradient without end
        return SimpleNamespace(logits=logits.expand(*rows.shape, 2))

    model = SimpleNamespace(
        lm_head=torch.nn.Identity(),
        model=lambda rows, **_: SimpleNamespace(last_hidden_state=torch.ones(*rows.shape, 2)),
    )
    teacher = Teacher(model, torch.zeros(1, 3, dtype=torch.long))
    plan = Plan("training", {"w": weight}, 1, 1, 1e-3)
    with pytest.raises(JobFailedError, match="training: the gradient of step 0 is no number"):
        distil(plan, student, teacher, Report(), State(tmp_path / "state"))
    assert not bool(weight.any()) and not (tmp_path / "state").exists()
