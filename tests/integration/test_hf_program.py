"""The torch program on small random checkpoints, against lm-eval's own `hf` model; see docs/runner-protocol.md."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.config import PROJECT
from harness.measure.token_requests import Tokenizer, assemble
from harness.request_lines import whole_requests
from harness.store import read_lines
from harness.values import Artifact
from tests.integration.conftest import Ask

pytestmark = pytest.mark.torch

MODULE = "harness.measure.workers.hf"
PROCESSOR = os.environ.get("BENCH_TEST_PROCESSOR", "cpu")
"""`cuda`: the same tests on a GPU."""
TEXT = "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs! 1234567890 äöü\n"
SPECIAL = "<|end|>"
BEGIN = "<|begin|>"
MANY = """
import sys
from harness.measure.workers.hf.__main__ import main
for folder in sys.argv[1:]:
    with open(f"{folder}/code", "w") as file:
        file.write(str(main([f"{folder}/job.json", f"{folder}/events.jsonl"])))
"""


def run_program(*jobs: dict[str, Any], folder: Path) -> list[tuple[int, list[dict[str, Any]]]]:
    """Several jobs one after another in one child process (torch takes seconds to import): codes and events."""
    places = [folder / f"{len(list(folder.iterdir()))}-{n}" for n in range(len(jobs))]
    for place, job in zip(places, jobs, strict=True):
        place.mkdir()
        (place / "job.json").write_text(json.dumps(job))
    done = subprocess.run([sys.executable, "-c", MANY, *map(str, places)], capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr[-2000:]
    return [(int((p / "code").read_text()), list(read_lines(p / "events.jsonl"))) for p in places]


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=[SPECIAL], initial_alphabet=alphabet)
    tokenizer.train_from_iterator([TEXT] * 5, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL).save_pretrained(folder)
    return folder


Make = Callable[..., str]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Make:
    """Writes a random checkpoint; `spoil` changes its weights before they are written."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, DeepseekV3Config, LlamaConfig, MistralConfig

    sizes = {
        "vocab_size": 320,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.3,
        "eos_token_id": 0,
        "bos_token_id": None,
    }

    def one(kind: str, spoil: Callable[[Any], None] = lambda model: None, **more: Any) -> str:
        folder = tmp_path_factory.mktemp(kind)
        torch.manual_seed(5)
        kinds = {"llama": LlamaConfig, "mistral": MistralConfig, "deepseek": DeepseekV3Config}
        config = kinds[kind](**{**sizes, **more})
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            spoil(model)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(folder)
        return str(folder)

    return one


@pytest.fixture(scope="module")
def llama(make: Make) -> str:
    return make("llama")


@pytest.fixture(scope="module")
def mistral(make: Make) -> str:
    return make("mistral", sliding_window=8)


def job_of(kind: str, model: str, requests: list[dict[str, Any]], folder: Path, **more: Any) -> dict[str, Any]:
    name = f"{kind}-{len(list(folder.iterdir()))}"
    asked = folder / f"{name}-requests.jsonl"
    asked.write_text("".join(json.dumps(line) + "\n" for line in requests))
    engine = {"threads": 1, "context": 1024, "dtype": "float32", "device": PROCESSOR} if kind != "tokenize" else {}
    files = {"requests": str(asked), "answers": str(folder / f"{name}-answers.jsonl")}
    return {"kind": kind, "model": model, **engine, "program_sha256": "abc", **files, **more}


def answers(job: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    lines = list(read_lines(Path(job["answers"])))
    found = {(a["id"], a["batch_size"]) if "batch_size" in a else a["id"]: a for a in lines}
    assert len(found) == len(lines), "no answer stands twice"
    return found


def words(count: int, seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(TEXT.split()) for _ in range(count))


def pairs() -> list[dict[str, Any]]:
    """Two subjects whose examples are longer than a pass, questions with four endings each, and long texts."""
    texts = []
    for subject in range(2):
        head = words(220, subject)
        for question in range(12):
            ask = f"{head}\n\n{words(8, 100 * subject + question)}"
            texts += [(ask, ending) for ending in (" A", " B", " fox jumps", " lazy dog. Pack")]
    texts += [
        ("The", " " + words(220, 50)),
        ("", words(5, 1)),
        ("Pack", " my"),
        ("Pack", " my box"),
        ("Pack my", " box"),
    ]
    return [{"id": n, "context": a, "continuation": b} for n, (a, b) in enumerate(texts)]


@pytest.fixture(scope="module")
def encoded(tokenizer_folder: Path) -> list[dict[str, Any]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    lines = []
    for pair in pairs():
        head, whole = (tokenizer(text).input_ids for text in (pair["context"], pair["context"] + pair["continuation"]))
        prefix = head or [tokenizer.eos_token_id]  # as lm-eval begins a text without context
        lines.append({"id": pair["id"], "context": prefix, "shared": 0, "continuation": whole[len(head) :]})
    assert max(len(line["context"]) for line in lines) > 512 and max(len(line["continuation"]) for line in lines) > 512
    return lines


def check_scores(found: dict[Any, Any], plain: dict[Any, Any], size: int) -> None:
    for key, answer in found.items():
        assert answer["logprob"] == pytest.approx(plain[key, size]["logprob"], rel=1e-6, abs=1e-5)
        assert answer["greedy"] == plain[key, size]["greedy"]


def test_scores_are_those_of_lm_eval_whatever_the_order(
    llama: str, encoded: list[dict[str, Any]], tmp_path: Path
) -> None:
    shuffled = random.Random(1).sample(encoded, len(encoded))
    one, other = (job_of("score", llama, lines, tmp_path) for lines in (encoded, shuffled))
    resumed = job_of("score", llama, shuffled, tmp_path)
    rough = [job_of("score", llama, encoded[:40], tmp_path, dtype=dtype) for dtype in ("bfloat16", "float16")]
    plain = job_of("cross_check", llama, pairs(), tmp_path, batch_sizes=[1, 4])
    (code, events), *rest = run_program(one, other, plain, *rough, folder=tmp_path)
    assert [code, *(c for c, _ in rest)] == [0] * 5
    found = answers(one)
    assert sorted(found) == sorted(line["id"] for line in encoded)
    assert found == answers(other), "bit for bit"
    check_scores(found, answers(plain), 1)
    check_scores(found, answers(plain), 4)

    for (_, seen), job, dtype in zip(rest[2:], rough, ("bfloat16", "float16"), strict=True):
        assert (seen[1]["dtype"], seen[1]["prefix_sharing"]) == (dtype, True)
        for key, answer in answers(job).items():
            assert answer["logprob"] == pytest.approx(found[key]["logprob"], rel=0.05, abs=0.5)

    hello, opened, scored, done = events
    assert (hello["program"], hello["kind"], hello["runner_sha256"]) == ("bench-hf", "score", "abc")
    assert set(hello["versions"]) == {"torch", "transformers", "tokenizers"}
    assert opened["prefix_sharing"] is True and opened["vocabulary"] == 320 and opened["layers"] == 2
    assert scored["request_tokens"] == sum(len(x["context"]) + len(x["continuation"]) for x in encoded)
    assert scored["tokens"] == sum(len(x["continuation"]) for x in encoded)
    assert scored["run_tokens"] < scored["request_tokens"] / 5 and done["event"] == "done"

    # a program that died in the middle of its 31st line
    lines = Path(one["answers"]).read_bytes().splitlines(keepends=True)
    Path(resumed["answers"]).write_bytes(b"".join(lines[:30]) + lines[30][:17])
    half = Path(plain["answers"]).read_bytes().splitlines(keepends=True)
    before = answers(plain)
    Path(plain["answers"]).write_bytes(b"".join(half[:70]) + half[70][:9])
    (code, events), (again, _) = run_program(resumed, plain, folder=tmp_path)
    assert (code, again) == (0, 0)
    assert answers(resumed) == found, "bit for bit"
    assert answers(plain) == before
    assert events[-2]["skipped"] == 30 and events[-2]["answered"] == len(encoded) - 30


def test_cut_requests_have_the_tokens_that_lm_eval_scores(llama: str, tokenizer_folder: Path, tmp_path: Path) -> None:
    """Prompts around the context's length: lm-eval lets as many tokens through the model, and predicts one more."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)

    def encode(texts: Sequence[str], add_special: Sequence[bool], parse_special: bool) -> list[list[int]]:
        return [tokenizer(text, add_special_tokens=False).input_ids for text in texts]

    texts = [(words(count, seed), ending) for count in range(4, 16) for seed in range(2) for ending in (" A", " lazy")]
    whole = [{"id": n, "context": a, "continuation": b} for n, (a, b) in enumerate(texts)]
    about = {"kind": "loglikelihood", "task": "t", "index": 0, "doc_hash": ""}
    asked = [{**about, "doc": n, "args": list(pair)} for n, pair in enumerate(texts)]
    context = 40
    lines = list(whole_requests(assemble(asked, Tokenizer(encode=encode, identity="", prefix_token=0), context)))
    sizes = [len(line["context"]) + len(line["continuation"]) for line in lines]
    cut = [bool(line.get("truncated")) for line in lines]
    assert max(sizes) == context + 1 and min(sizes) < context and set(cut) == {True, False}
    keys = ("id", "context", "shared", "continuation")
    score = job_of("score", llama, [{key: line[key] for key in keys} for line in lines], tmp_path, context=context)
    plain = job_of("cross_check", llama, whole, tmp_path, batch_sizes=[1], context=context)
    assert [code for code, _ in run_program(score, plain, folder=tmp_path)] == [0, 0]
    check_scores(answers(score), answers(plain), 1)


def test_a_chat_prompt_has_the_tokens_that_lm_eval_scores(llama: str, tmp_path: Path) -> None:
    """Whether its template names the token that begins a text or not."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    model = tmp_path / "model"
    shutil.copytree(llama, model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"bos_token": BEGIN})
    begin = tokenizer.bos_token_id
    template = TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)])
    tokenizer.backend_tokenizer.post_processor = template
    tokenizer.save_pretrained(model)

    def encode(texts: Sequence[str], add_special: Sequence[bool], parse_special: bool) -> list[list[int]]:
        assert parse_special
        return [
            tokenizer(text, add_special_tokens=special).input_ids
            for text, special in zip(texts, add_special, strict=True)
        ]

    texts = [(f"{words(9, seed)}{SPECIAL}\n{words(3, 50 + seed)}", words(2, seed)) for seed in range(4)]
    texts += [(BEGIN + context, continuation) for context, continuation in texts]
    about = {"kind": "loglikelihood", "task": "t", "index": 0, "doc_hash": ""}
    asked = [{**about, "doc": n, "args": list(pair)} for n, pair in enumerate(texts)]
    own = Tokenizer(encode=encode, identity="", prefix_token=begin, bos=BEGIN)
    lines = list(whole_requests(assemble(asked, own, 200, chat=True)))
    assert all(line["context"].count(begin) == 1 and line["context"][0] == begin for line in lines)
    keys = ("id", "context", "shared", "continuation")
    score = job_of("score", str(model), [{key: line[key] for key in keys} for line in lines], tmp_path)
    whole = [{"id": n, "context": a, "continuation": b} for n, (a, b) in enumerate(texts)]
    plain = job_of("cross_check", str(model), whole, tmp_path, batch_sizes=[1, 4])
    assert [code for code, _ in run_program(score, plain, folder=tmp_path)] == [0, 0]
    check_scores(answers(score), answers(plain), 1)
    check_scores(answers(score), answers(plain), 4)


@pytest.mark.parametrize("seed", range(4))
def test_a_token_attends_to_its_ancestors_alone_by_parts_and_by_a_dense_mask(seed: int) -> None:
    import numpy as np
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    from harness.measure.workers.hf.attention import TreeAttention
    from harness.measure.workers.hf.packing import Limits, plan

    draw = random.Random(seed)
    heads = [[1] * 12, [1] * 12 + [2] * 5, [3]]
    rows = sorted({tuple(draw.choice(heads) + [draw.randrange(2) for _ in range(6)]) for _ in range(16)})
    passes = plan([np.array(row, np.int32) for row in rows], Limits(pass_tokens=24, shortest_stem=1))
    assert any(not group.chain for one in passes for group in one.groups) and any(one.prefix for one in passes)
    torch.manual_seed(seed)
    for one in passes:
        query = torch.randn(1, 6, one.size, 16)
        key, value = torch.randn(2, 1, 2, one.prefix + one.size, 16)
        found = []
        for by_parts in (True, False):
            attention = TreeAttention("cpu", by_parts=by_parts)
            attention.see(one, torch.float32, 3)
            found.append(attention(torch.nn.Identity(), query, key, value, None, scaling=0.3)[0][0])
        assert torch.allclose(*found, atol=1e-5)
        for part in one.parts:
            path = [node for start, stop in part.ranges for node in range(start, stop)]
            for at, node in enumerate(path):
                seen = [*range(one.prefix), *(one.prefix + n for n in path[: at + 1])]
                keys, values = (x[:, :, seen].repeat_interleave(3, 1) for x in (key, value))
                alone = scaled_dot_product_attention(query[:, :, [node]], keys, values, scale=0.3)
                assert torch.allclose(found[0][node], alone[0, :, 0], atol=1e-5)


def test_killed_while_scoring_it_goes_on_with_the_same_answers(llama: str, tmp_path: Path) -> None:
    draw = random.Random(3)
    lines = [
        {"id": n, "context": [draw.randrange(1, 320) for _ in range(120)], "shared": 0, "continuation": [n % 320, 7]}
        for n in range(700)
    ]
    whole, killed = (job_of("score", llama, lines, tmp_path) for _ in range(2))
    (tmp_path / "job.json").write_text(json.dumps(killed))
    command = [sys.executable, "-m", MODULE, str(tmp_path / "job.json"), str(tmp_path / "events.jsonl")]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline().startswith(b"progress ")
        process.kill()
    assert process.returncode == -9
    left = Path(killed["answers"]).read_bytes().count(b"\n")
    assert 0 < left < len(lines)
    (_, events), (code, _) = run_program(killed, whole, folder=tmp_path)
    assert code == 0 and events[-2]["skipped"] == left
    assert answers(killed) == answers(whole), "bit for bit"


def test_a_sliding_window_is_scored_one_request_at_a_time(
    mistral: str, encoded: list[dict[str, Any]], tmp_path: Path
) -> None:
    some, few = encoded[-4:], pairs()[-4:]
    score = job_of("score", mistral, some, tmp_path)
    plain = job_of("cross_check", mistral, few, tmp_path, batch_sizes=[1])
    asked = [{"id": 0, "tokens": some[0]["context"] * 20, "shared": 0, "max_tokens": 4, "stop": []}]
    generate = job_of("generate", mistral, asked, tmp_path)
    (code, events), *others = run_program(score, plain, generate, folder=tmp_path)
    assert [code, *(c for c, _ in others)] == [0, 0, 0]
    assert events[1]["prefix_sharing"] is False and "sliding" in events[1]["description"]
    check_scores(answers(score), answers(plain), 1)
    assert answers(generate)[0]["tokens"] <= 4


LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "factor": 32.0,
    "original_max_position_embeddings": 32,
    "short_factor": [1.0] * 6,
    "long_factor": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
}


def test_frequencies_that_follow_from_the_longest_row_of_a_pass_are_those_of_each_row_alone(
    make: Make, tmp_path: Path
) -> None:
    model = make("llama", rope_parameters=LONGROPE)
    draw = random.Random(2)
    head = [draw.randrange(1, 320) for _ in range(50)]
    lines = [
        {"id": n, "context": head[:size], "shared": 0, "continuation": [5 + n]} for n, size in enumerate((10, 30, 50))
    ]
    apart = [job_of("score", model, [line], tmp_path) for line in lines]
    together, short = job_of("score", model, lines, tmp_path), job_of("score", model, lines[:2], tmp_path, context=32)
    runs = run_program(together, short, *apart, folder=tmp_path)
    assert [code for code, _ in runs] == [0] * 5
    opened, below = runs[0][1][1], runs[1][1][1]
    assert opened["prefix_sharing"] is False and "RoPE of type longrope beyond 32 tokens" in opened["description"]
    assert below["prefix_sharing"] is True
    for job, line in zip(apart, lines, strict=True):
        assert answers(job)[line["id"]] == answers(together)[line["id"]]
    for number, answer in answers(short).items():
        assert answer["logprob"] == pytest.approx(answers(together)[number]["logprob"], abs=1e-5)


@pytest.mark.parametrize(
    ("rope", "longest", "context", "moves"),
    [
        ({"rope_type": "default", "rope_theta": 1e4}, 64, 128, False),
        ({"rope_type": "llama3", "original_max_position_embeddings": 32}, 64, 64, False),
        ({"rope_type": "dynamic", "factor": 2.0}, 64, 64, False),
        ({"rope_type": "dynamic", "factor": 2.0}, 64, 65, True),
        ({"rope_type": "longrope", "original_max_position_embeddings": 32}, 64, 32, False),
        ({"rope_type": "longrope", "original_max_position_embeddings": 32}, 64, 33, True),
        ({"full_attention": {"rope_type": "longrope", "original_max_position_embeddings": 32}}, 64, 33, True),
        (None, 64, 128, False),
    ],
)
def test_which_rope_follows_from_the_length_of_a_pass(rope: Any, longest: int, context: int, moves: bool) -> None:
    from types import SimpleNamespace

    from harness.measure.workers.hf.network import moving_rope

    config = SimpleNamespace(rope_parameters=rope, max_position_embeddings=longest)
    assert (moving_rope(config, context) is not None) is moves


def test_values_of_another_size_than_queries_are_scored_one_request_at_a_time(
    make: Make, encoded: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Multi-head latent attention: the kernel for CPUs takes one size only."""
    model = make(
        "deepseek",
        first_k_dense_replace=2,
        q_lora_rank=None,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=12,
        num_key_value_heads=4,
    )
    score = job_of("score", model, encoded[-4:], tmp_path)
    plain = job_of("cross_check", model, pairs()[-4:], tmp_path, batch_sizes=[1])
    (code, events), (other, _) = run_program(score, plain, folder=tmp_path)
    assert (code, other) == (0, 0)
    assert events[1]["prefix_sharing"] is False
    assert "values of 12 numbers, queries of 16" in events[1]["description"]
    check_scores(answers(score), answers(plain), 1)


def test_weights_that_are_no_numbers_end_the_job_by_the_requests_name(make: Make, tmp_path: Path) -> None:
    def spoil(model: Any) -> None:
        model.model.embed_tokens.weight[7] = float("nan")

    model = make("llama", spoil)
    lines = [{"id": n, "context": [5, 6 + n], "shared": 0, "continuation": [9]} for n in range(2)]
    score = job_of("score", model, lines, tmp_path)
    asked = [{"id": 3, "tokens": [5, 7], "shared": 0, "max_tokens": 4, "stop": []}]
    generate = job_of("generate", model, asked, tmp_path)
    (code, events), (other, more) = run_program(score, generate, folder=tmp_path)
    assert (code, other) == (1, 1)
    assert events[-1]["event"] == "error" and "request 1: the model's logits are not numbers" in events[-1]["message"]
    assert "request 3: " in more[-1]["message"]
    assert 1 not in answers(score)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("model.layers.1.mlp.up_proj.weight", None, "its files lack weights: model.layers.1.mlp.up_proj.weight"),
        ("lm_head.weight", None, "its files lack weights: lm_head.weight"),
        ("model.norm.weight", 47, "weights of another shape: model.norm.weight [47] instead of [48]"),
    ],
)
def test_a_weight_that_the_files_lack_is_named_and_never_drawn_at_random(
    make: Make, tmp_path: Path, name: str, shape: int | None, said: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    model = make("llama", tie_word_embeddings=False)
    tensors = load_file(Path(model, "model.safetensors"))
    assert tensors.pop(name) is not None
    if shape is not None:
        tensors[name] = torch.ones(shape)
    save_file(tensors, Path(model, "model.safetensors"), metadata={"format": "pt"})
    job = job_of("score", model, [{"id": 0, "context": [1], "shared": 0, "continuation": [3]}], tmp_path)
    ((code, events),) = run_program(job, folder=tmp_path)
    assert code == 1 and said in events[-1]["message"] and answers(job) == {}


def test_tied_weights_lack_nothing(make: Make, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = make("llama", tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(Path(model, "model.safetensors"))
    job = job_of("score", model, [{"id": 0, "context": [1], "shared": 0, "continuation": [3]}], tmp_path)
    ((code, _),) = run_program(job, folder=tmp_path)
    assert code == 0 and set(answers(job)) == {0}


def test_generation_is_transformers_own_and_ends_at_stop_strings(
    llama: str, encoded: list[dict[str, Any]], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prompts = [line["context"] for line in encoded[0:96:16]]
    tokenizer, model = AutoTokenizer.from_pretrained(llama), AutoModelForCausalLM.from_pretrained(llama)
    expected = []
    for prompt in prompts:
        out = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False, pad_token_id=0)
        expected.append(tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=True))
    asked = [{"id": n, "tokens": p, "shared": 0, "max_tokens": 24, "stop": []} for n, p in enumerate(prompts)]
    stop = expected[0][9:13]
    stopping = [{**asked[0], "stop": ["never", stop]}]
    whole, shared = (job_of("generate", llama, [{**a, "shared": n} for a in asked], tmp_path) for n in (0, 300))
    stopped = job_of("generate", llama, stopping, tmp_path)
    tight = job_of("generate", llama, [asked[0]], tmp_path, context=len(prompts[0]) + 3)
    runs = run_program(whole, shared, stopped, tight, folder=tmp_path)
    assert [code for code, _ in runs] == [0, 0, 0, 0]
    found = answers(whole)
    assert [found[n]["text"] for n in range(len(prompts))] == expected
    assert {a["stopped"] for a in found.values()} <= {"length", "eog"}
    assert [a["text"] for a in answers(shared).values()] == expected
    end = answers(stopped)[0]
    assert end["stopped"] == "stop" and end["text"] == expected[0][: expected[0].find(stop)]
    assert answers(tight)[0]["stopped"] == "context" and answers(tight)[0]["tokens"] == 4


def test_texts_are_encoded_as_asked(llama: str, tokenizer_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    texts = [f"fox {SPECIAL} dog", "äöü", ""]
    lines = [
        {"id": 2 * n + parse, "text": text, "add_special": False, "parse_special": bool(parse)}
        for n, text in enumerate(texts)
        for parse in (0, 1)
    ]
    job = job_of("tokenize", llama, lines, tmp_path)
    ((code, events),) = run_program(job, folder=tmp_path)
    found = answers(job)
    assert code == 0 and events[-2]["answered"] == 6
    for number, text in enumerate(texts):
        assert found[2 * number + 1]["tokens"] == tokenizer(text, add_special_tokens=False).input_ids
        assert 0 not in found[2 * number]["tokens"]
        assert tokenizer.decode(found[2 * number]["tokens"]) == text
    assert 0 in found[1]["tokens"]


def test_wrong_input_ends_with_one_clear_line(llama: str, tmp_path: Path) -> None:
    good = {"id": 0, "context": [1, 2], "shared": 0, "continuation": [3]}
    job = job_of("score", llama, [good], tmp_path)
    wrong_jobs = {
        "unknown": {**job, "batch": 8},
        "Invalid value": {**job, "kind": "sing"},
        "dtype": {**job, "dtype": "int8"},
        "threads": {**job, "threads": 0},
        "missing required field `answers`": {k: v for k, v in job.items() if k != "answers"},
    }
    wrong_requests = {
        "1026 tokens; in the job's context fit 1024 and a last one": {**good, "continuation": [3] * 1024},
        "the last one cannot be shared": {**good, "shared": 2},
        "token 320 is none of the model's 320": {**good, "context": [320]},
        "continuation": {**good, "continuation": []},
        "unknown": {**good, "extra": 1},
    }
    bad = [job_of("score", llama, [line], tmp_path) for line in wrong_requests.values()]
    twice = job_of("score", llama, [good, good], tmp_path)
    nowhere = {**job, "model": str(tmp_path / "none")}
    runs = run_program(*wrong_jobs.values(), *bad, twice, nowhere, folder=tmp_path)
    messages = [*wrong_jobs, *wrong_requests, "stands twice", "no config.json"]
    codes = [2] * len(wrong_jobs) + [1] * (len(runs) - len(wrong_jobs))
    for (code, events), message, expected in zip(runs, messages, codes, strict=True):
        assert (code, events[-1]["event"]) == (expected, "error")
        assert message in events[-1]["message"]


@pytest.mark.runner
def test_a_gguf_file_becomes_a_checkpoint_with_the_same_scores(
    artifacts: dict[str, Artifact], ask: Ask, tmp_path: Path
) -> None:
    output = tmp_path / "checkpoint"
    source = artifacts["f16"].path
    job = {"kind": "checkpoint", "model": source, "output": str(output), "dtype": "float16", "program_sha256": "abc"}
    lines = [{"id": n, "context": [100, 2000, 300 + n], "shared": 0, "continuation": [7, 77]} for n in range(3)]
    score = job_of("score", str(output), lines, tmp_path)
    texts = [{"id": 0, "text": "a<|im_end|>", "add_special": False, "parse_special": False}]
    tokenize = job_of("tokenize", str(output), texts, tmp_path)
    runs = run_program(job, score, job, tokenize, folder=tmp_path)
    assert [code for code, _ in runs] == [0, 0, 1, 0]
    assert "is there already" in runs[2][1][-1]["message"]
    assert "quantization_config" not in json.loads((output / "config.json").read_text())
    assert not output.with_name("checkpoint.partial").exists()

    engine = {"threads": 1, "threads_batch": 1, "context": 256, "batch": 64, "ubatch": 32, "kv_type": "f32"}
    more = {"load_mode": "none", "repack": False, "flash_attn": "off", "reference": None}
    theirs = {**engine, **more, "kind": "score", "model": source, "answers": str(tmp_path / "theirs.jsonl")}
    code, _, errors = ask({**theirs, "requests": score["requests"]})
    assert code == 0, errors
    for answer in read_lines(tmp_path / "theirs.jsonl"):
        assert answers(score)[answer["id"]]["logprob"] == pytest.approx(answer["logprob"], abs=2e-2)
    code, _, errors = ask(
        {"kind": "tokenize", "model": source, "requests": tokenize["requests"], "answers": str(tmp_path / "t.jsonl")}
    )
    assert code == 0, errors
    assert [answers(tokenize)[0]] == list(read_lines(tmp_path / "t.jsonl"))


def test_it_dies_with_its_parent(llama: str, tmp_path: Path) -> None:
    """The program blocks on a request file that nobody writes; its parent is killed."""
    pipe = tmp_path / "requests"
    os.mkfifo(pipe)
    job = {**job_of("score", llama, [], tmp_path), "requests": str(pipe)}
    (tmp_path / "job.json").write_text(json.dumps(job))
    starter = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); sys.stdin.readline(); "
        "import os; os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-m", MODULE, str(tmp_path / "job.json"), str(tmp_path / "events.jsonl")]
    with subprocess.Popen(
        [sys.executable, "-c", starter, *command],
        cwd=PROJECT,
        env={**os.environ, "BENCH_DIE_WITH_PARENT": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None and parent.stdin is not None
        pid = int(parent.stdout.readline())
        child = os.pidfd_open(pid)
        write_end = os.open(pipe, os.O_WRONLY)  # opens when the program reads
        parent.stdin.write("\n")
        parent.stdin.flush()
    with open(child, "rb") as ended:  # readable when the program has ended
        import select

        assert select.select([ended], [], [], 60)[0]
    os.close(write_end)


def test_rows_of_logits_are_summed_in_parts() -> None:
    import torch

    from harness.measure.workers.hf.score import ROWS_AT_ONCE, _of_rows

    rows = 2 * ROWS_AT_ONCE["cpu"] + 1
    logits = torch.randn(rows, 50, generator=torch.Generator().manual_seed(1)) * 20
    logits[3, 7] = logits[3, 40] = 200.0  # the first of equal ones counts
    logits[rows - 1, 9] = torch.nan
    logits[5] = -torch.inf
    best, sums = _of_rows(logits)
    assert best[: rows - 1] == logits[: rows - 1].argmax(-1).tolist() and best[3] == 7
    expected = torch.logsumexp(logits.double(), -1)
    right = torch.isfinite(expected)
    torch.testing.assert_close(sums[right].double(), expected[right], atol=2e-5, rtol=1e-6)
    assert not torch.isfinite(sums[~right]).any() and right.sum() == rows - 2
