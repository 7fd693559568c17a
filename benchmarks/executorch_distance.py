"""How far a `.pte` file's next tokens are from torch's, beside how far torch's are from its own in their last bits:
`python benchmarks/executorch_distance.py CHECKPOINT model.pte`.

Activations of compressed variants are rounded to int8 with a scale a token. The last bits of a sum decide which way
some go, and a rounded one moves all that follow: two kernels of torch itself are that far apart, and nothing that
computes the same in another order can be nearer. Printed are the mean divergence in nats and the share of positions
with the same most likely token, over the head of the published text. XNNPACK keeps a group's scale as BF16, which is
one of the rows.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.data.sources import PROMPT_TEXT, read_text
from harness.measure.workers.pte.jobs import MemoryJob
from harness.measure.workers.pte.program import Loaded
from harness.measure.workers.scheme.layers import QuantizedLinear
from harness.measure.workers.scheme.layout import FILE, Scheme, Weights, read_scheme
from harness.measure.workers.scheme.loading import OUTPUT, open_compressed
from harness.measure.workers.scheme.numerics import dequantized

NOISE = 1e-6


def opened(folder: Path, scheme: Scheme | None, attention: str) -> Any:
    if scheme is not None:
        return open_compressed(folder, scheme, torch.float32, attention)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)


def logprobs(model: Any, ids: list[int]) -> torch.Tensor:
    return torch.log_softmax(model(torch.tensor([ids]), use_cache=False).logits[0].double(), -1)


def told(what: str, one: torch.Tensor, other: torch.Tensor) -> None:
    kl = float((one.exp() * (one - other)).sum(-1).mean())
    same = float((one.argmax(-1) == other.argmax(-1)).double().mean())
    print(f"{what}: {kl:.2e} nats, the same first token at {100 * same:.1f} %", flush=True)


def noisy(model: Any) -> None:
    table = model.get_input_embeddings().weight
    table.data = table.data * (1 + NOISE * torch.randn_like(table.data))


def with_short_scales(model: Any, folder: Path) -> None:
    """Block linears with their groups' scales rounded to BF16."""
    weights = Weights(folder / FILE)
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLinear) and name != OUTPUT:
            matrix = weights.matrix(name, *module.weight.shape)
            module.weight.data = dequantized(matrix.integers, matrix.scales.bfloat16().float())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tokens", type=int, default=120)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    folder, scheme = options.checkpoint, read_scheme(options.checkpoint)
    ids = AutoTokenizer.from_pretrained(folder)(read_text(PROMPT_TEXT)).input_ids[: options.tokens]
    model = opened(folder, scheme, "sdpa")
    torchs = logprobs(model, ids)
    job = {"model": str(options.file), "threads": torch.get_num_threads(), "context": options.tokens}
    loaded = Loaded(MemoryJob(**job, load_mode="mmap", program_sha256="", prompt=[0], generated=1))
    rows = [loaded.call([token], at)[0].double() for at, token in enumerate(ids)]
    file = torch.log_softmax(torch.stack(rows), -1)
    told("ExecuTorch against torch", torchs, file)
    told("torch against torch with another attention kernel", torchs, logprobs(opened(folder, scheme, "eager"), ids))
    if scheme is not None:
        with_short_scales(model, folder)
        short = logprobs(model, ids)
        told("torch against torch with BF16 scales", torchs, short)
        told("ExecuTorch against torch with BF16 scales", short, file)
    noisy(model)
    told(
        f"torch against torch with noise of {NOISE:g} in the embedding",
        torchs if scheme is None else short,
        logprobs(model, ids),
    )


if __name__ == "__main__":
    main()
