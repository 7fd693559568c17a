"""A checkpoint of transformers' layout, compressed or plain, in Meta's layout: the same integers, scales and floats."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from transformers import AutoConfig

from harness.measure.workers.hf.errors import JobFailedError, ModelError
from harness.measure.workers.hf.weights import UNREADABLE, open_model
from harness.measure.workers.released.names import EMBEDDING, OUTPUT, is_norm, is_turned, modules, paired
from harness.measure.workers.released.params import FILE as PARAMS
from harness.measure.workers.released.params import Params, params_of
from harness.measure.workers.released.reading import FILE, LORA
from harness.measure.workers.scheme.layout import FILE as COMPRESSED
from harness.measure.workers.scheme.layout import Scheme, Weights, read_scheme

KNOWN = ("llama", "mistral")
TOKENIZER = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "vocab*", "merges.txt")
BESIDE = (*TOKENIZER, "generation_config.json")
"""What goes along, so that texts can be encoded."""
State = dict[str, torch.Tensor]


def write_released(source: Path, output: Path) -> None:
    """Write the folder; whole under its name, or not there.

    Raises:
        ModelError: the source is of another kind, or has what the layout cannot say.
        JobFailedError: the folder is there already, or cannot be written.
    """
    if output.exists():
        raise JobFailedError(f"{output} is there already")
    params, state = released_state(source)
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        write_state(partial, params, state)
        for path in sorted({path for pattern in BESIDE for path in source.glob(pattern) if path.is_file()}):
            shutil.copyfile(path, partial / path.name)
        partial.rename(output)
    except OSError as error:
        raise JobFailedError(f"cannot write {output}: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_state(folder: Path, params: Params, state: State) -> None:
    """The two files of a release.

    Raises:
        JobFailedError: no space.
    """
    try:
        torch.save(state, folder / FILE)
        (folder / PARAMS).write_bytes(msgspec.json.format(msgspec.json.encode(params), indent=2) + b"\n")
    except (OSError, RuntimeError) as error:
        raise JobFailedError(f"cannot write {folder}: {error}") from error


def released_state(source: Path) -> tuple[Params, State]:
    """Shape and tensors of a checkpoint of transformers' layout, in Meta's names.

    Raises:
        ModelError: it cannot be read, is of another kind, or has what the layout cannot say.
    """
    scheme = read_scheme(source)
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except UNREADABLE as error:
        raise ModelError(f"cannot load {source}: {error}") from error
    if config.model_type not in KNOWN or getattr(config, "sliding_window", None):
        raise ModelError(f"{source} is a {config.model_type!r}; Meta's layout is for Llama-like decoders")
    params = params_of(config, scheme)
    if scheme is not None:
        return params, _compressed(source, params, scheme)
    return params, _plain(source, params)


def _compressed(source: Path, params: Params, scheme: Scheme) -> State:
    weights, found = Weights(source / COMPRESSED), State()
    for meta, hf in modules(params.n_layers).items():
        turn = _turn(meta, params)
        if is_norm(meta):
            found[f"{meta}.weight"] = weights.tensor(f"{hf}.weight")
            continue
        matrix = weights.matrix(hf, *_stored_shape(weights, hf))
        found[f"{meta}.weight"] = turn(matrix.integers)
        found[f"{meta}.scales"] = turn(matrix.scales)
        if scheme.lora_rank and meta not in (EMBEDDING, OUTPUT):
            found[f"{meta}.{LORA['lora_a']}"] = weights.tensor(f"{hf}.lora_a")
            found[f"{meta}.{LORA['lora_b']}"] = turn(weights.tensor(f"{hf}.lora_b"))
    return found


def _stored_shape(weights: Weights, name: str) -> tuple[int, int]:
    halves = f"{name}.weight_int4"
    shape = weights.tensor(halves if halves in weights.names else f"{name}.weight_int8").shape
    return int(shape[0]), int(shape[1]) * (2 if halves in weights.names else 1)


def _plain(source: Path, params: Params) -> State:
    """Floats as they are stored."""
    model = open_model(source, source, dtype="auto", use_safetensors=True, attn_implementation="sdpa")
    found = State()
    for name, _ in model.named_parameters():
        if name.endswith(".bias"):
            raise ModelError(f"{source}: {name} has no place in Meta's layout")
    for meta, hf in modules(params.n_layers).items():
        found[f"{meta}.weight"] = _turn(meta, params)(model.get_submodule(hf).weight.detach())
    return found


def _turn(meta: str, params: Params) -> Callable[[torch.Tensor], torch.Tensor]:
    if not is_turned(meta):
        return lambda rows: rows.contiguous()
    return lambda rows: paired(rows, params.n_heads if meta.endswith("wq") else params.n_kv_heads)
