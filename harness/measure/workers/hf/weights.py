"""A model with the weights of its files, all of them: transformers itself draws at random what the files lack."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from harness.measure.workers.hf.errors import ModelError

MOST_NAMED = 3
UNREADABLE = (OSError, ValueError, KeyError, ImportError, NotImplementedError, RuntimeError, SafetensorError)
"""What transformers, torch and safetensors raise for files that they cannot make a model of."""


def open_model(folder: Path, what: Path, **how: Any) -> Any:
    """`what` is the path for messages, `how` goes to transformers.

    Raises:
        ModelError: the files cannot be read, the model has a weight that they lack or hold in another shape (tied
            weights stand in the files once), or they hold biases that the model would leave out.
    """
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            **how,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # it then names them; they are refused below
            output_loading_info=True,
        )
    except UNREADABLE as error:
        raise ModelError(f"cannot load {what}: {error}") from error
    model, found = opened
    if found["mismatched_keys"]:
        shapes = (f"{name} {list(has)} instead of {list(needs)}" for name, has, needs in found["mismatched_keys"])
        raise ModelError(f"cannot load {what}: weights of another shape: {_listed(shapes)}")
    if found["missing_keys"]:
        raise ModelError(f"cannot load {what}: its files lack weights: {_listed(found['missing_keys'])}")
    if biases := [name for name in found["unexpected_keys"] if name.endswith(".bias")]:
        raise ModelError(f"cannot load {what}: its config knows nothing of {_listed(biases)}")
    return model


def _listed(names: Iterable[str]) -> str:
    all_names = sorted(names)
    more = len(all_names) - MOST_NAMED
    return ", ".join(all_names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
