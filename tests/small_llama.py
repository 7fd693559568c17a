"""Small Llamas of random weights, plain and compressed, for tests that need torch."""

from pathlib import Path
from typing import Any

import msgspec
import torch

from harness.measure.workers.compress.jobs import PtqJob
from harness.measure.workers.compress.made import Made, Report
from harness.measure.workers.compress.ptq import ptq
from harness.measure.workers.compress.writing import write_made

SIZES = {
    "vocab_size": 256,
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "initializer_range": 0.1,
    "tie_word_embeddings": True,
    "max_position_embeddings": 1024,
    "eos_token_id": 0,
    "bos_token_id": None,
}
SCALED = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
SCHEMES: dict[str, dict[str, Any]] = {
    "ptq": {},
    "spinquant": {"rotates_down": True},
    "qlora": {"lora_rank": 8, "lora_scale": 2.0},
}
EVERYTHING = {"rotates_down": True, "lora_rank": 8, "lora_scale": 0.5}
"""Of one model for all parts of an export."""
"""What the scheme of each variant has beside integers."""


def write_plain(folder: Path, dtype: torch.dtype = torch.float32, **more: Any) -> Path:
    """Random weights with norms that are not 1, and a tokenizer that takes each byte for a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(5)
    model = LlamaForCausalLM(LlamaConfig(**{**SIZES, **more}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
    model.to(dtype).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=alphabet[0]).save_pretrained(folder)
    return folder


def write_compressed(plain: Path, folder: Path, has: dict[str, Any]) -> Path:
    """The same model rounded to nearest, with what its scheme `has` beside: adaptors are random and large."""
    job = PtqJob(model=str(plain), output=str(folder), threads=1, program_sha256="x")
    made = ptq(job, Report())
    scheme = msgspec.structs.replace(made.scheme, **has)
    adaptors = {}
    generator = torch.Generator().manual_seed(7)
    for name in made.decoder.block_linears() if scheme.lora_rank else ():
        rows, columns = made.decoder.weight(name).shape
        a = torch.randn(scheme.lora_rank, columns, generator=generator) / columns**0.5
        b = torch.randn(rows, scheme.lora_rank, generator=generator) / 20
        adaptors[name] = a, b
    write_made(Made(made.decoder, scheme, made.matrices, adaptors), plain, folder)
    return folder
