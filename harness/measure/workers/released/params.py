"""params.json: a model's shape and scheme, in Meta's words.

`hidden_dim`, `head_dim`, `rope_scale_factor` and `max_position_embeddings` are ExecuTorch's additions; the releases
themselves leave them out.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from transformers import LlamaConfig

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.scheme.layout import Scheme

FILE = "params.json"
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Number = Annotated[float, msgspec.Meta(gt=0)]
SCALED_CONTEXT, PLAIN_CONTEXT = 131_072, 8_192
"""Tokens that models with a scaled RoPE were trained for, and those without, where the file does not say."""
SCALE_FACTOR = 32
"""Of a scaled RoPE in Llama 3.2, where the file does not say."""
ROPE = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""The other numbers of a scaled RoPE, which no params.json has."""


class QuantizationArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    group_size: Positive
    scheme: str | None = None
    spinquant: bool | None = None
    """Whether a Hadamard matrix comes before w2 (R4). Not said: exactly without `lora_args`, as in the releases."""


class LoraArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rank: Positive
    scale: Number = 2.0


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What params.json may say. Another key may change what the model computes: it is refused."""

    dim: Positive
    n_layers: Positive
    n_heads: Positive
    n_kv_heads: Positive
    vocab_size: Positive
    norm_eps: Number
    rope_theta: Number
    use_scaled_rope: bool = False
    multiple_of: Positive | None = None
    ffn_dim_multiplier: Number | None = None
    hidden_dim: Positive | None = None
    head_dim: Positive | None = None
    rope_scale_factor: Positive | None = None
    max_position_embeddings: Positive | None = None
    quantization_args: QuantizationArgs | None = None
    lora_args: LoraArgs | None = None

    @property
    def head(self) -> int:
        return self.head_dim or self.dim // self.n_heads

    @property
    def inner(self) -> int:
        """Width of the feed-forward layer."""
        return self.hidden_dim or widened(self.dim, self.multiple_of or 1, self.ffn_dim_multiplier or 1.0)

    @property
    def scheme(self) -> Scheme | None:
        """None: plain floats."""
        if self.quantization_args is None:
            return None
        told, lora = self.quantization_args.spinquant, self.lora_args
        return Scheme(
            group=self.quantization_args.group_size,
            rotates_down=lora is None if told is None else told,
            lora_rank=lora.rank if lora else 0,
            lora_scale=lora.scale if lora else 0.0,
        )


def widened(dim: int, multiple_of: int, multiplier: float) -> int:
    """Meta's formula for the width of the feed-forward layer."""
    width = int(multiplier * int(2 * (4 * dim) / 3))
    return -(-width // multiple_of) * multiple_of


def read_params(folder: Path) -> Params:
    """Raises ModelError: no such file, a key that is not known here, or numbers that contradict each other."""
    path = folder / FILE
    try:
        params = msgspec.json.decode(path.read_bytes(), type=Params)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: {error}") from error
    if (wrong := contradiction(params)) is not None:
        raise ModelError(f"{path}: {wrong}")
    return params


def contradiction(params: Params) -> str | None:
    """Which of its numbers contradict each other, or None."""
    if params.n_heads % params.n_kv_heads:
        return f"{params.n_kv_heads} key heads do not divide {params.n_heads} heads"
    if params.head_dim is None and params.dim % params.n_heads:
        return f"{params.n_heads} heads do not divide a width of {params.dim}"
    if params.hidden_dim is not None and params.ffn_dim_multiplier is not None:
        told = widened(params.dim, params.multiple_of or 1, params.ffn_dim_multiplier)
        if told != params.hidden_dim:
            return f"hidden_dim is {params.hidden_dim}, but ffn_dim_multiplier and multiple_of make {told}"
    if params.quantization_args is None and params.lora_args is not None:
        return "it has lora_args, but no quantization_args"
    if params.quantization_args is not None and params.inner % params.quantization_args.group_size:
        return f"groups of {params.quantization_args.group_size} do not divide the {params.inner} columns of w2"
    return None


def config_of(params: Params) -> LlamaConfig:
    """The same model as transformers' config, untied: the files hold the output layer by itself."""
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": params.rope_theta}
    if params.use_scaled_rope:
        rope |= {"rope_type": "llama3", "factor": float(params.rope_scale_factor or SCALE_FACTOR), **ROPE}
    trained = SCALED_CONTEXT if params.use_scaled_rope else PLAIN_CONTEXT
    return LlamaConfig(
        vocab_size=params.vocab_size,
        hidden_size=params.dim,
        intermediate_size=params.inner,
        num_hidden_layers=params.n_layers,
        num_attention_heads=params.n_heads,
        num_key_value_heads=params.n_kv_heads,
        head_dim=params.head,
        rms_norm_eps=params.norm_eps,
        max_position_embeddings=params.max_position_embeddings or trained,
        rope_parameters=rope,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )


def params_of(config: Any, scheme: Scheme | None) -> Params:
    """A Llama-like config of transformers in Meta's words.

    Raises:
        ModelError: it has what no params.json can say.
    """
    rope = dict(getattr(config, "rope_parameters", None) or {})
    kind = rope.get("rope_type", "default")
    if kind not in ("default", "llama3") or any(rope.get(k) != v for k, v in ROPE.items() if kind == "llama3"):
        raise ModelError(f"params.json has no word for a RoPE of type {kind!r} with {rope}")
    if config.hidden_act != "silu":
        raise ModelError(f"params.json has no word for the activation {config.hidden_act!r}")
    hidden, inner, heads = int(config.hidden_size), int(config.intermediate_size), int(config.num_attention_heads)
    multiple = next(m for m in (256, 128, 64, 32, 16, 8, 4, 2, 1) if inner % m == 0)
    scaled = kind == "llama3"
    if scaled and rope["factor"] != int(rope["factor"]):
        raise ModelError(f"params.json has no word for a RoPE scaled by {rope['factor']}")
    return Params(
        dim=hidden,
        n_layers=int(config.num_hidden_layers),
        n_heads=heads,
        n_kv_heads=int(config.num_key_value_heads),
        vocab_size=int(config.vocab_size),
        norm_eps=float(config.rms_norm_eps),
        rope_theta=float(rope.get("rope_theta", 10_000.0)),
        use_scaled_rope=scaled,
        multiple_of=multiple,
        # In the midst of what the formula rounds up to `inner`, so that no float decides.
        ffn_dim_multiplier=(inner - multiple // 2 + 0.5) / int(8 * hidden / 3),
        hidden_dim=inner,
        head_dim=int(getattr(config, "head_dim", None) or hidden // heads),
        rope_scale_factor=int(rope["factor"]) if scaled else None,
        max_position_embeddings=int(config.max_position_embeddings),
        quantization_args=None if scheme is None else QuantizationArgs(scheme.group, spinquant=scheme.rotates_down),
        lora_args=LoraArgs(scheme.lora_rank, scheme.lora_scale) if scheme is not None and scheme.lora_rank else None,
    )
