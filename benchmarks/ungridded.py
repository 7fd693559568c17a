"""A stand-in without the grid of its 4-bit origin: `python benchmarks/ungridded.py CHECKPOINT FOLDER`.

Weights that were dequantized from 4 bits lie on a grid that rounding to nearest finds again, which flatters it. Here
every block linear is taken off that grid by changes that leave the function as it is: each norm's gains times random
factors, which the columns that read it are divided by; each value channel and each gated channel times a random
factor, which the columns behind it are divided by. FOLDER becomes a checkpoint with a suite for benchmarks/recovery.py.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch

from harness.measure.workers.compress.decoder import NORMS, Decoder, open_decoder
from harness.measure.workers.compress.spinquant import relative_change
from harness.measure.workers.compress.writing import TOKENIZER

SUITE = """extends: variants
name: ungridded
title: The stand-in off its 4-bit grid, by every recipe

models:
  smollm2-135m-instruct:
    source: {{from: checkpoint, path: {path}}}
    label: stand-in for SmolLM2-135M-Instruct, dequantized from Q4_1 and taken off that grid
    licence: Apache-2.0
    context: 8192

variants:
  bf16: {{model: smollm2-135m-instruct, recipe: released, scheme: float32 weights}}
"""
SPREAD = 1.5
"""Factors lie between 1 / SPREAD and SPREAD, evenly in their logarithm."""


@torch.no_grad()
def take_off_grid(decoder: Decoder, generator: torch.Generator) -> None:
    def factors(count: int) -> torch.Tensor:
        return SPREAD ** (2 * torch.rand(count, generator=generator) - 1)

    for layer in range(decoder.layers):
        place = f"model.layers.{layer}"
        for norm, readers in NORMS.items():
            gains = decoder.weight(f"{place}.{norm}")
            some = factors(len(gains))
            gains.mul_(some)
            for reader in readers:
                decoder.weight(f"{place}.{reader}").div_(some)
        values = factors(decoder.key_heads * decoder.head)
        decoder.weight(f"{place}.self_attn.v_proj").mul_(values[:, None])
        shared = values.view(decoder.key_heads, -1).repeat_interleave(decoder.heads // decoder.key_heads, 0)
        decoder.weight(f"{place}.self_attn.o_proj").div_(shared.flatten())
        gated = factors(decoder.inner)
        decoder.weight(f"{place}.mlp.up_proj").mul_(gated[:, None])
        decoder.weight(f"{place}.mlp.down_proj").div_(gated)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.folder.exists():
        parser.error(f"{options.folder} is there already")
    decoder = open_decoder(options.checkpoint, 32)
    tokens = torch.arange(1000, 1256)[None]
    with torch.no_grad():
        before = decoder.model(tokens, use_cache=False).logits
        take_off_grid(decoder, torch.Generator().manual_seed(1))
        change = relative_change(before, decoder.model(tokens, use_cache=False).logits)
    print(f"logits differ by {change:.1e} of their norm")
    decoder.model.save_pretrained(options.folder)
    for pattern in TOKENIZER:
        for path in options.checkpoint.glob(pattern):
            shutil.copyfile(path, options.folder / path.name)
    suite = options.folder / "suite.yaml"
    suite.write_text(SUITE.format(path=json.dumps(str(options.folder.resolve()))), encoding="utf-8")
    print(f"BENCH_DATA=… python benchmarks/recovery.py --suite {suite}")


if __name__ == "__main__":
    main()
