"""A GGUF file as a plain Hugging Face checkpoint: weights dequantized, tokenizer and chat template beside them."""

import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer, GgufConfig

from harness.measure.workers.hf.errors import JobFailedError, ModelError
from harness.measure.workers.hf.files import Events
from harness.measure.workers.hf.jobs import CheckpointJob
from harness.measure.workers.hf.weights import open_model


def run(job: CheckpointJob, events: Events) -> None:  # noqa: ARG001 - every kind is called alike
    source, output = Path(job.model), Path(job.output)
    if not source.is_file():
        raise ModelError(f"cannot open {source}: not a file")
    if output.exists():
        raise JobFailedError(f"{output} is there already")
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    convert(source, partial, getattr(torch, job.dtype))
    partial.rename(output)


def convert(source: Path, folder: Path, dtype: torch.dtype) -> None:
    """Raises ModelError: transformers cannot read the file, or it lacks weights."""
    model = open_model(
        source.parent,
        source,
        gguf_file=source.name,
        dtype=dtype,
        quantization_config=GgufConfig(dequantize=True),
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source.parent, gguf_file=source.name, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError, NotImplementedError) as error:
        raise ModelError(f"cannot convert {source}: {error}") from error
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.name_or_path = ""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
