"""What a GGUF file holds, and a plain 16-bit copy of it. numpy and gguf are imported late: they are slow."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from harness.build.gguf_header import Header, read_header
from harness.errors import BuildError
from harness.progress import Bar
from harness.values import RandomSource

if TYPE_CHECKING:
    from gguf import GGUFReader

LOOKED_UP = "token_embd.weight"
OUTPUT = "output.weight"
DRAWS = (1 << 22) + 577
"""No divisor of a row's length, so that rows of a large tensor differ."""
VALUES_AT_A_TIME = 1 << 24
LONGEST_ARCHITECTURE = 64
UNUSED_TOKEN = 5
"""llama.cpp's token type of tokens that no text has."""


class GgufFacts(msgspec.Struct, frozen=True):
    """Counts from the header; bytes are those of tensors, without the header."""

    architecture: str
    parameters: int
    tensor_bytes: int
    decode_bytes: int
    tensor_types: dict[str, int]
    context: int | None
    prefix_token: int
    """What stands before a text that has no context: the BOS token, else EOS."""


def read_facts(path: Path) -> GgufFacts:
    """Read the header.

    Raises:
        BuildError: not a GGUF file, cut short, or one that contradicts itself.
    """
    header = read_header(path)
    types: dict[str, int] = {}
    for tensor in header.tensors:
        types[tensor.type] = types.get(tensor.type, 0) + 1
    total = sum(t.bytes for t in header.tensors)
    names = {t.name for t in header.tensors}
    only_looked_up = sum(t.bytes for t in header.tensors if t.name == LOOKED_UP and OUTPUT in names)
    architecture = _architecture(path, header)
    context = header.values.get(f"{architecture}.context_length")
    if context is not None and not _is_count(context):
        raise BuildError(f"{path} is damaged: its context length is {context!r}")
    return GgufFacts(
        architecture=architecture,
        parameters=sum(t.elements for t in header.tensors),
        tensor_bytes=total,
        decode_bytes=total - only_looked_up,
        tensor_types=types,
        context=context,
        prefix_token=_prefix_token(path, header),
    )


def write_16bit(
    source: Path, target: Path, to: Literal["bf16", "f16"], label: str, bar: Bar, *, untied: bool = False
) -> None:
    """Dequantize every tensor and store matrices as BF16, or as F16 of the same BF16 values.

    Vectors (norms) stay F32, as llama.cpp's own converter leaves them. Storing the BF16-rounded values
    as F16 is exact except below F16's range, where it is refused if anything would become infinite.
    `untied` stores a tied embedding table a second time as the output layer.

    Raises:
        BuildError: not a GGUF file, a weight that F16 cannot hold, or nothing to untie.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType

    reader, architecture = open_gguf(source), _architecture(source, read_header(source))
    kind = GGMLQuantizationType.BF16 if to == "bf16" else GGMLQuantizationType.F16
    writer = GGUFWriter(str(target), architecture)
    copy_fields(reader, writer)
    writer.add_file_type(LlamaFileType.MOSTLY_BF16 if to == "bf16" else LlamaFileType.MOSTLY_F16)
    writer.add_description(label)
    tensors = _untied(reader) if untied else [(t.name, t) for t in reader.tensors]
    for name, tensor in tensors:
        matrix = len(tensor.shape) > 1
        shape = [int(n) for n in reversed(tensor.shape)]
        size = int(tensor.n_elements) * (2 if matrix else 4)
        writer.add_tensor_info(
            name, shape, _float_dtype(), size, raw_dtype=kind if matrix else GGMLQuantizationType.F32
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for done, (_, tensor) in enumerate(tensors):
        writer.write_tensor_data(_converted(tensor, kind, matrix=len(tensor.shape) > 1))
        bar.update(done + 1, len(tensors))
    writer.close()


def _untied(reader: "GGUFReader") -> list[tuple[str, Any]]:
    """Every tensor by name, the embedding table a second time as the output layer."""
    by_name = {t.name: t for t in reader.tensors}
    if OUTPUT in by_name or LOOKED_UP not in by_name:
        raise BuildError("nothing to untie: the model has an output layer of its own, or no embedding table")
    return [*by_name.items(), (OUTPUT, by_name[LOOKED_UP])]


def write_random(shape: RandomSource, tokenizer: Path, target: Path, *, label: str, context: int, bar: Bar) -> None:
    """Random BF16 weights of a Llama-like shape with another file's tokenizer (see RandomSource).

    Values are normal with deviation 0.02 as Llama-like models are initialised; norms are 1. Large tensors
    repeat the same few million draws, each from another place: speed, size and memory do not depend on
    values, and a model of billions of weights is made in seconds.
    """
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
    from gguf.quants import quantize

    reader = open_gguf(tokenizer)
    if "tokenizer.ggml.tokens" not in reader.fields:
        raise BuildError(f"{tokenizer} has no tokenizer")
    vocabulary = shape.vocabulary or len(reader.fields["tokenizer.ggml.tokens"].data)
    writer = GGUFWriter(str(target), "llama")
    copy_fields(reader, writer, prefix="tokenizer.", vocabulary=vocabulary)
    _describe(writer, shape, vocabulary, context)
    writer.add_description(label)
    writer.add_file_type(LlamaFileType.MOSTLY_BF16)
    tensors = _llama_tensors(shape, vocabulary)
    for name, rows, columns in tensors:
        of_shape = [rows] if columns is None else [rows, columns]
        kind = GGMLQuantizationType.F32 if columns is None else GGMLQuantizationType.BF16
        size = rows * 4 if columns is None else rows * columns * 2
        writer.add_tensor_info(name, of_shape, _float_dtype(), size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    draw = np.random.default_rng(shape.seed)
    pool = quantize(draw.normal(0.0, 0.02, DRAWS).astype(np.float32).reshape(1, -1), GGMLQuantizationType.BF16)
    pool = pool.reshape(-1).view(np.uint16)
    for done, (_, rows, columns) in enumerate(tensors):
        if columns is None:
            writer.write_tensor_data(np.ones(rows, dtype=np.float32))
        else:
            start = int(draw.integers(DRAWS))
            writer.write_tensor_data(np.resize(np.roll(pool, -start), rows * columns).view(np.uint8))
        bar.update(done + 1, len(tensors))
    writer.close()


def _describe(writer: Any, shape: RandomSource, vocabulary: int, context: int) -> None:
    head = shape.head or shape.embedding // shape.heads
    writer.add_name("random")
    writer.add_vocab_size(vocabulary)
    writer.add_context_length(context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(shape.rope_theta)


def _llama_tensors(shape: RandomSource, vocabulary: int) -> list[tuple[str, int, int | None]]:
    head = shape.head or shape.embedding // shape.heads
    tensors: list[tuple[str, int, int | None]] = [
        (LOOKED_UP, vocabulary, shape.embedding),
        ("output_norm.weight", shape.embedding, None),
    ]
    for layer in range(shape.layers):
        tensors += [
            (f"blk.{layer}.{name}.weight", rows, columns)
            for name, rows, columns in (
                ("attn_norm", shape.embedding, None),
                ("attn_q", shape.heads * head, shape.embedding),
                ("attn_k", shape.kv_heads * head, shape.embedding),
                ("attn_v", shape.kv_heads * head, shape.embedding),
                ("attn_output", shape.embedding, shape.heads * head),
                ("ffn_norm", shape.embedding, None),
                ("ffn_gate", shape.feed_forward, shape.embedding),
                ("ffn_up", shape.feed_forward, shape.embedding),
                ("ffn_down", shape.embedding, shape.feed_forward),
            )
        ]
    return tensors


def _converted(tensor: Any, kind: Any, *, matrix: bool) -> Any:
    """The tensor in the new type, some rows at a time: at once, a large table takes many times its size."""
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    if not matrix:
        return dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
    if tensor.tensor_type is kind is GGMLQuantizationType.BF16:
        return tensor.data
    rows = max(1, VALUES_AT_A_TIME // int(tensor.shape[0]))
    data = tensor.data.reshape(-1, tensor.data.shape[-1])
    parts = [_rows_converted(tensor, data[i : i + rows], kind) for i in range(0, len(data), rows)]
    return np.concatenate(parts)


def _rows_converted(tensor: Any, rows: Any, kind: Any) -> Any:
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    values = dequantize(rows, tensor.tensor_type).astype(np.float32, copy=False)
    rounded = quantize(values, GGMLQuantizationType.BF16)
    if kind is GGMLQuantizationType.BF16:
        return rounded
    widened = dequantize(rounded, GGMLQuantizationType.BF16)
    if not np.abs(widened).max() < np.finfo(np.float16).max:
        raise BuildError(f"{tensor.name}: a weight is too large for F16")
    return widened.astype(np.float16)


def copy_fields(reader: "GGUFReader", writer: Any, prefix: str = "", vocabulary: int | None = None) -> None:
    """Metadata as it is, without what describes the file itself or its quantization.

    `vocabulary`: lists with an entry a token are filled up to so many with tokens that no text has.
    """
    unused: dict[str, Callable[[int], list[Any]]] = {
        "tokenizer.ggml.tokens": lambda n: [f"<unused_{i}>" for i in range(n)],
        "tokenizer.ggml.token_type": lambda n: [UNUSED_TOKEN] * n,
        "tokenizer.ggml.scores": lambda n: [0.0] * n,
    }
    left_out = {
        "general.architecture",
        "general.file_type",
        "general.quantization_version",
        "general.description",
    }
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in left_out or not name.startswith(prefix):
            continue
        element = field.types[1] if len(field.types) > 1 else None
        value = field.contents()
        if vocabulary is not None and name in unused:
            value = [*value, *unused[name](vocabulary - len(value))][:vocabulary]
        writer.add_key_value(name, value, field.types[0], element)


def open_gguf(path: Path) -> "GGUFReader":
    """gguf's own reader, of a file whose header has passed.

    Raises:
        InputError: the file cannot be read.
        BuildError: not a GGUF file, cut short, or one that contradicts itself.
    """
    import struct

    from gguf import GGUFReader

    read_header(path)
    try:
        return GGUFReader(str(path))
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise BuildError(f"{path} is damaged or cut short: its header cannot be read") from error


def _architecture(path: Path, header: Header) -> str:
    name = header.values.get("general.architecture")
    if not isinstance(name, str) or not name.isprintable() or len(name) > LONGEST_ARCHITECTURE:
        raise BuildError(f"{path} does not say which architecture it has")
    return name


def _prefix_token(path: Path, header: Header) -> int:
    for name in ("bos", "eos"):
        value = header.values.get(f"tokenizer.ggml.{name}_token_id")
        if value is not None:
            if not _is_count(value):
                raise BuildError(f"{path} is damaged: its {name} token is {value!r}")
            return int(value)
    return 0


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _float_dtype() -> Any:
    import numpy as np

    return np.dtype(np.float32)
