"""A compressed checkpoint's folder: whole under its name, or not there."""

import json
import shutil
from pathlib import Path

import msgspec
import torch

from harness.measure.workers.compress.made import Made
from harness.measure.workers.hf.errors import JobFailedError
from harness.measure.workers.scheme.layout import write

TOKENIZER = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "vocab*", "merges.txt")
SETTINGS = "generation_config.json"


def write_made(made: Made, source: Path, output: Path) -> None:
    """Weights, config and the tokenizer of the checkpoint that they were made from.

    Raises:
        JobFailedError: the folder is there already, or cannot be written.
    """
    if output.exists():
        raise JobFailedError(f"{output} is there already")
    check_numbers(made)
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for pattern in (*TOKENIZER, SETTINGS):
            for path in sorted(source.glob(pattern)):
                if path.is_file():
                    shutil.copyfile(path, partial / path.name)
        config = json.loads(made.decoder.model.config.to_json_string(use_diff=False))
        config |= {"quantization_config": msgspec.to_builtins(made.scheme), "tie_word_embeddings": False}
        config.pop("_name_or_path", None)
        (partial / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        vectors = {name: made.decoder.weight(name).detach() for name in made.decoder.norms()}
        write(partial, made.matrices.items(), vectors, made.adaptors)
        partial.rename(output)
    except OSError as error:
        raise JobFailedError(f"cannot write {output}: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_numbers(made: Made) -> None:
    """Raises JobFailedError: what was made is no numbers, as after a last step that went too far."""
    for name, matrix in made.matrices.items():
        if not bool(torch.isfinite(matrix.scales).all()):
            raise JobFailedError(f"{name} has scales that are no numbers; a lower learning rate may help")
    for name, halves in made.adaptors.items():
        if not all(bool(torch.isfinite(half).all()) for half in halves):
            raise JobFailedError(f"the adaptor of {name} is no numbers; a lower learning rate may help")
    for name in made.decoder.norms():
        if not bool(torch.isfinite(made.decoder.weight(name)).all()):
            raise JobFailedError(f"{name} is no numbers; a lower learning rate may help")
