"""How far a rotated float model's logits are from the original's: `python benchmarks/rotation_error.py CHECKPOINT`.

R1, R2, R4 (with its online half) and all together, in float32, on the checkpoint and on two blocks of random weights
with heads of 128. Printed is the norm of the difference over the norm of the original's logits.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM

from harness.measure.workers.compress.decoder import Decoder, open_decoder
from harness.measure.workers.compress.rotations import (
    Rotations,
    fold_norms,
    random_rotations,
    rotate,
    rotate_down,
)
from harness.measure.workers.compress.spinquant import relative_change
from harness.measure.workers.scheme.hadamard import rotate_last

WANTED = 1e-5
TOKENS = 256


def logits(decoder: Decoder) -> torch.Tensor:
    tokens = torch.randint(0, 1000, (1, TOKENS), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found: torch.Tensor = decoder.model(tokens, use_cache=False).logits
    return found


def error(folder: Path, which: str) -> float:
    decoder = open_decoder(folder, 32)
    before = logits(decoder)
    fold_norms(decoder)
    drawn = random_rotations(decoder, torch.Generator().manual_seed(1), rotates_down=True)
    one_hidden, one_head = torch.eye(decoder.hidden), torch.eye(decoder.head).expand(decoder.layers, -1, -1)
    if which != "R4":
        r1, r2 = drawn.r1 if which != "R2" else one_hidden, drawn.r2 if which != "R1" else one_head
        rotate(decoder, Rotations(r1, r2))
    if which in ("R4", "together"):
        rotate_down(decoder)
        for layer in range(decoder.layers):
            down = decoder.linear(f"model.layers.{layer}.mlp.down_proj")
            down.register_forward_pre_hook(lambda _, x: rotate_last(x[0]))
    return relative_change(before, logits(decoder))


def random_shape(folder: Path) -> None:
    """Two blocks in the widths of Llama 3.2 3B, whose heads are of 128."""
    torch.manual_seed(1)
    sizes = {"hidden_size": 3072, "intermediate_size": 8192, "num_attention_heads": 24, "num_key_value_heads": 8}
    LlamaForCausalLM(LlamaConfig(vocab_size=1024, num_hidden_layers=2, **sizes)).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        random_shape(Path(name))
        for folder, said in ((options.checkpoint, options.checkpoint.name), (Path(name), "random")):
            config = AutoConfig.from_pretrained(folder)
            print(f"{said}: {config.num_hidden_layers} blocks, hidden {config.hidden_size}, {config.intermediate_size}")
            for which in ("R1", "R2", "R4", "together"):
                found = error(folder, which)
                print(f"  {which:<9} {found:.1e} (wanted below {WANTED:.0e})", flush=True)


if __name__ == "__main__":
    main()
