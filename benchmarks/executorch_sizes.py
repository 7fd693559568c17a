"""Sizes of exported `.pte` files against what shape and scheme predict: `python benchmarks/executorch_sizes.py FILE …`.

FILE is a `model.pte` with the exporter's manifest beside it. The prediction is that of the claims' audit, for weights
of the widths that this ExecuTorch writes: XNNPACK keeps a group's scale in 16 bits, everything else as the checkpoint
has it; adaptors are widened to 32 bits. To it come the tables of RoPE, which ExecuTorch keeps for every position.
Beside it stands the prediction with 32-bit group scales, which the published sizes agree with.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from harness.analyse.audit.shapes import stored_bytes
from harness.build.exported import TOKENIZER, read_manifest
from harness.published import PublishedModel, Scheme

GROUP_SCALE_BITS, PUBLISHED_SCALE_BITS = 16, 32
BITS = {"float32": 32, "float16": 16, "bfloat16": 16}


def shape_of(config: dict[str, Any]) -> PublishedModel:
    """The checkpoint's shape as a published one."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    return PublishedModel(
        title="exported",
        parameters=1,
        hidden=hidden,
        intermediate=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config["num_key_value_heads"],
        head=config.get("head_dim") or hidden // heads,
        vocabulary=config["vocab_size"],
        tied=config["tie_word_embeddings"],
    )


def scheme_of(config: dict[str, Any], dtype: str, scale_bits: int) -> Scheme:
    told = config.get("quantization_config")
    if told is None:
        bits = BITS[dtype]
        output = None if config["tie_word_embeddings"] else bits
        return Scheme(title="floats", linear_bits=bits, embedding_bits=bits, output_bits=output, norm_bits=bits)
    return Scheme(
        title="published",
        linear_bits=4,
        group=told["group"],
        scale_bits=scale_bits,
        embedding_bits=8,
        output_bits=8,
        row_scale_bits=32,
        lora_rank=told["lora_rank"],
        lora_bits=32,
        norm_bits=32,
    )


def report(path: Path) -> None:
    manifest = read_manifest(path.parent)
    config = json.loads((path.parent / TOKENIZER / "config.json").read_text())
    model, dtype = shape_of(config), manifest.numbers.dtype
    size = path.stat().st_size
    tables = 2 * manifest.wish.context * (model.head // 2) * BITS[dtype] // 8
    wanted, wide = (
        tables + stored_bytes(model, scheme_of(config, dtype, bits))
        for bits in (GROUP_SCALE_BITS, PUBLISHED_SCALE_BITS)
    )
    print(
        f"{path.parent.name} {manifest.recipe}: {size:,} bytes, {wanted:,.0f} predicted "
        f"({100 * (size / wanted - 1):+.2f} %); with 32-bit group scales {wide:,.0f} ({100 * (size / wide - 1):+.2f} %)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    for path in parser.parse_args().files:
        report(path)


if __name__ == "__main__":
    main()
