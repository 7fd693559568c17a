"""A release as a model of transformers that computes what the release says."""

from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import AutoModelForCausalLM, GenerationConfig

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.hf.weights import UNREADABLE
from harness.measure.workers.released.params import config_of
from harness.measure.workers.released.reading import Released
from harness.measure.workers.scheme.layers import put
from harness.measure.workers.scheme.loading import fill

GENERATION = "generation_config.json"


def open_released(folder: Path, dtype: torch.dtype, attention: str) -> Any:
    """The model, its weights widened to `dtype`.

    Raises:
        ModelError: the files hold no such model, or contradict each other.
    """
    weights = Released(folder)
    with init_empty_weights(include_buffers=False):
        model: Any = AutoModelForCausalLM.from_config(
            config_of(weights.params), dtype=dtype, attn_implementation=attention, trust_remote_code=False
        )
    if weights.scheme is not None:
        fill(model, weights, weights.scheme, dtype)
    else:
        for name, _ in list(model.named_parameters()):
            put(model, name, nn.Parameter(weights.tensor(name).to(dtype), requires_grad=False))
    if (folder / GENERATION).is_file():
        try:
            model.generation_config = GenerationConfig.from_pretrained(folder)
        except UNREADABLE as error:
            raise ModelError(f"cannot load {folder / GENERATION}: {error}") from error
    return model.eval()
