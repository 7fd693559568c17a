"""Parameters and bytes of a Llama-like model, computed from its shape and the scheme of its weights."""

from collections.abc import Iterator

from harness.published import PublishedModel, Scheme


def block_linears(model: PublishedModel) -> tuple[tuple[int, int], ...]:
    """(out, in) of each linear layer of one block: query, key, value, output, gate, up, down."""
    queries, keys = model.heads * model.head, model.kv_heads * model.head
    return (
        (queries, model.hidden),
        (keys, model.hidden),
        (keys, model.hidden),
        (model.hidden, queries),
        (model.intermediate, model.hidden),
        (model.intermediate, model.hidden),
        (model.hidden, model.intermediate),
    )


def parameters(model: PublishedModel) -> int:
    """All weights of the 16-bit model; a tied output layer counts once."""
    linears = model.layers * sum(out * into for out, into in block_linears(model))
    tables = model.vocabulary * model.hidden * (1 if model.tied else 2)
    return linears + tables + vectors(model)


def vectors(model: PublishedModel) -> int:
    """Weights that are no matrix: norms, and biases where there are some."""
    queries, keys = model.heads * model.head, model.kv_heads * model.head
    biases = queries + 2 * keys if model.biases else 0
    return model.layers * (2 * model.hidden + biases) + model.hidden


def parts(model: PublishedModel, scheme: Scheme) -> dict[str, float]:
    """Bytes of each part of the weights; a part that is not stored on its own is missing."""
    linears = block_linears(model)
    found = {
        "linears": model.layers * sum(_linear_bytes(out, into, scheme) for out, into in linears),
        "embedding": _table_bytes(model, scheme.embedding_bits, scheme.row_scale_bits),
        "vectors": vectors(model) * scheme.norm_bits / 8,
    }
    if scheme.output_bits is not None:
        found["output"] = _table_bytes(model, scheme.output_bits, scheme.row_scale_bits)
    if scheme.lora_rank:
        weights = model.layers * sum(scheme.lora_rank * (out + into) for out, into in linears)
        found["lora"] = weights * scheme.lora_bits / 8
    return found


def stored_bytes(model: PublishedModel, scheme: Scheme) -> float:
    """Bytes of all weights, without header, tokenizer and padding."""
    return sum(parts(model, scheme).values())


def read_bytes(model: PublishedModel, scheme: Scheme) -> float:
    """Bytes of weights that one decoded token must read.

    An embedding table beside an output layer of its own is only looked up: one row of it a token.
    """
    return sum(_read(model, scheme))


def _read(model: PublishedModel, scheme: Scheme) -> Iterator[float]:
    stored = parts(model, scheme)
    for name, size in stored.items():
        yield size / model.vocabulary if name == "embedding" and "output" in stored else size


def _linear_bytes(out: int, into: int, scheme: Scheme) -> float:
    scales = out * (into / scheme.group if scheme.group else 1)
    return (out * into * scheme.linear_bits + scales * scheme.scale_bits) / 8


def _table_bytes(model: PublishedModel, bits: int, row_scale_bits: int) -> float:
    return model.vocabulary * (model.hidden * bits + row_scale_bits) / 8
