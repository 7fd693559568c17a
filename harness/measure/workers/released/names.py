"""Meta's names and transformers' names of the same parts, and the order of rows that RoPE asks for."""

import torch

ENDS = {"norm": "model.norm", "tok_embeddings": "model.embed_tokens", "output": "lm_head"}
"""ExecuTorch takes the type of the first tensor in a file for the checkpoint's: it must be a float."""
PARTS = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
"""Part of a block by Meta → by transformers."""
EMBEDDING, OUTPUT = "tok_embeddings", "output"
TURNED = ("attention.wq", "attention.wk")
"""Parts whose rows RoPE turns in pairs."""


def modules(layers: int) -> dict[str, str]:
    """Every module with weights: Meta's name → transformers' name."""
    blocks = {f"layers.{i}.{meta}": f"model.layers.{i}.{hf}" for i in range(layers) for meta, hf in PARTS.items()}
    return {**ENDS, **blocks}


def is_norm(meta: str) -> bool:
    return meta.endswith("norm")


def is_turned(meta: str) -> bool:
    return meta.endswith(TURNED)


def paired(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """transformers' order of rows → Meta's, in which the two that turn together stand side by side."""
    return rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(rows.shape).contiguous()


def halved(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """The inverse of `paired`: the two that turn together stand half a head apart."""
    return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(rows.shape).contiguous()
