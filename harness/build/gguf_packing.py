"""A compressed checkpoint's integers as GGUF tensors: Q4_0 and Q8_0 blocks of 32 are written as they are, so that
nothing is quantized a second time. Only scales change: from float32 to float16.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from harness.build.gguf_files import copy_fields, open_gguf
from harness.build.gguf_header import read_header as read_gguf_header
from harness.build.recipes import compression_of
from harness.build.releases import is_release, read_shape
from harness.build.safetensors_files import COMPRESSED, Tensor, read_header, read_json
from harness.errors import BuildError
from harness.progress import Bar
from harness.values import CheckpointSource, Variant

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

ADAPTOR = "adaptor.gguf"
BLOCK = 32
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
ENDS = {"model.embed_tokens": "token_embd", "lm_head": "output", "model.norm": "output_norm"}
INT4, INT8, VECTOR, SCALES = ".weight_int4", ".weight_int8", ".weight", ".weight_scale"
LORA_A, LORA_B = ".lora_a", ".lora_b"
OF_BASE = ("rope_freqs.weight",)
"""Tensors that no checkpoint has as such: llama.cpp's own, taken over."""


class Scheme(msgspec.Struct, frozen=True):
    """What matters here of `quantization_config`; see docs/variants.md."""

    quant_method: str
    group: int
    rotates_down: bool
    lora_rank: int
    lora_scale: float


class Heads(NamedTuple):
    queries: int
    keys: int


class Checkpoint:
    """The tensors of a compressed checkpoint as numpy arrays on the file."""

    def __init__(self, folder: Path) -> None:
        """Raises BuildError: it is none of ours, or damaged."""
        import numpy as np

        config = read_json(folder / "config.json")
        try:
            self.scheme = msgspec.convert(config.get("quantization_config"), Scheme)
            self.heads = msgspec.convert((config.get("num_attention_heads"), config.get("num_key_value_heads")), Heads)
        except msgspec.ValidationError as error:
            raise BuildError(f"{folder} is no compressed checkpoint: {error}") from error
        self.tensors, begin = read_header(folder / COMPRESSED)
        self._bytes = np.memmap(folder / COMPRESSED, np.uint8, "r", begin)

    def array(self, name: str) -> "Array":
        """Raises BuildError: it is not there."""
        import numpy as np

        if name not in self.tensors:
            raise BuildError(f"the compressed checkpoint lacks {name}")
        tensor: Tensor = self.tensors[name]
        start, stop = tensor.data_offsets
        kinds = {"U8": np.uint8, "I8": np.int8, "F32": np.float32, "BF16": np.uint16}
        return self._bytes[start:stop].view(kinds[tensor.dtype]).reshape(tensor.shape)

    def modules(self, ending: str) -> Iterator[str]:
        """Names of the modules that have a tensor of that kind."""
        yield from (name.removesuffix(ending) for name in sorted(self.tensors) if name.endswith(ending))


def has_no_gguf(variant: Variant) -> str | None:
    """Why no GGUF file can say what the variant's numbers are, or None."""
    known = scheme_of_variant(variant)
    if known is None:
        return None
    if known.rotates_down:
        return "llama.cpp has no place for R4, the rotation before down projections"
    return None if known.group % BLOCK == 0 else f"GGUF blocks hold {BLOCK} weights; groups of {known.group} are none"


class Known(NamedTuple):
    """What is known of a compressed variant's numbers before it is made."""

    rotates_down: bool
    group: int


def scheme_of_variant(variant: Variant) -> Known | None:
    """None for a variant of floats, and for one whose checkpoint is not there yet."""
    compression, source = compression_of(variant), variant.model.source
    if compression is not None:
        return Known(bool(compression.settings.get("rotates_down")), int(compression.settings["group"]))
    return scheme_of(Path(source.path)) if isinstance(source, CheckpointSource) else None


def scheme_of(folder: Path) -> Known | None:
    """Whether a compressed checkpoint rotates down projections as they come, and its group; None for any other, and
    where there is none."""
    if is_release(folder):
        shape = read_shape(folder)
        return None if shape.quantization_args is None else Known(shape.rotates_down, shape.group)
    if not (folder / COMPRESSED).is_file():
        return None
    scheme = Checkpoint(folder).scheme
    return Known(scheme.rotates_down, scheme.group)


def pack(base: Path, folder: Path, target: Path, label: str, bar: Bar) -> None:
    """Write `target`, and beside it an adaptor's file where the checkpoint has adaptors.

    Raises:
        BuildError: the two are not of one model, or a scale is none that F16 can hold.
    """
    checkpoint = Checkpoint(folder)
    _write_model(base, checkpoint, target, label, bar)
    if checkpoint.scheme.lora_rank:
        _write_adaptor(base, checkpoint, target.with_name(ADAPTOR), label)


def gguf_name(module: str) -> str:
    """llama.cpp's name of a module of transformers.

    Raises:
        BuildError: it has none.
    """
    if module in ENDS:
        return f"{ENDS[module]}.weight"
    parts = module.split(".", 3)
    if parts[:2] != ["model", "layers"] or len(parts) < 4 or parts[3] not in NAMES:
        raise BuildError(f"llama.cpp has no tensor for {module}")
    return f"blk.{parts[2]}.{NAMES[parts[3]]}.weight"


def _write_model(base: Path, checkpoint: Checkpoint, target: Path, label: str, bar: Bar) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType

    reader = open_gguf(base)
    writer = GGUFWriter(str(target), str(read_gguf_header(base).values["general.architecture"]))
    copy_fields(reader, writer)
    writer.add_file_type(LlamaFileType.MOSTLY_Q4_0)
    writer.add_description(label)
    kept = {gguf_name(name) for kind in (INT4, INT8, VECTOR) for name in checkpoint.modules(kind)}
    for tensor in reader.tensors:
        if tensor.name in OF_BASE:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        elif tensor.name not in kept:
            raise BuildError(f"the compressed checkpoint lacks {tensor.name}, which {base} has")
    vectors, fours, eights = (list(checkpoint.modules(kind)) for kind in (VECTOR, INT4, INT8))
    for name in vectors:
        writer.add_tensor(gguf_name(name), np.ascontiguousarray(checkpoint.array(name + VECTOR)))
    for done, name in enumerate((*eights, *fours)):
        four = name in set(fours)
        blocks = _blocks(checkpoint, name, four=four)
        kind = GGMLQuantizationType.Q4_0 if four else GGMLQuantizationType.Q8_0
        writer.add_tensor(gguf_name(name), blocks, raw_dtype=kind)
        bar.update(done + 1, len(fours) + len(eights))
    _close(writer)


def _blocks(checkpoint: Checkpoint, name: str, *, four: bool) -> "Array":
    """[rows, bytes] of Q4_0 or Q8_0 blocks."""
    import numpy as np

    integers = checkpoint.array(name + (INT4 if four else INT8))
    scales = checkpoint.array(name + SCALES)
    if four:
        integers = np.stack([integers & 15, integers >> 4], -1).reshape(len(integers), -1)
    if heads := _heads(checkpoint, name):
        integers, scales = interleaved(integers, heads), interleaved(scales, heads)
    blocks = integers.reshape(len(integers), -1, BLOCK)
    repeated = np.repeat(scales, blocks.shape[1] // scales.shape[1], axis=1)
    with np.errstate(over="ignore"):
        halves = repeated.astype(np.float16)
    if not np.isfinite(halves).all():
        raise BuildError(f"{name}: a scale is too large for F16")
    if four:
        low, high = blocks[..., : BLOCK // 2], blocks[..., BLOCK // 2 :]
        blocks = low | (high << 4)
    return np.concatenate([halves[..., None].view(np.uint8), blocks.view(np.uint8)], -1).reshape(len(blocks), -1)


def _heads(checkpoint: Checkpoint, name: str) -> int:
    """How many heads' rows are to be interleaved; 0 for a module whose rows stay."""
    if name.endswith("q_proj"):
        return checkpoint.heads.queries
    return checkpoint.heads.keys if name.endswith("k_proj") else 0


def interleaved(rows: "Array", heads: int) -> "Array":
    """llama.cpp turns neighbouring rows of a head together, transformers those half a head apart."""
    import numpy as np

    by_half = rows.reshape(heads, 2, len(rows) // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(by_half.swapaxes(1, 2)).reshape(rows.shape)


def _write_adaptor(base: Path, checkpoint: Checkpoint, target: Path, label: str) -> None:
    """llama.cpp adds alpha / rank times b a x to what a layer puts out."""
    from gguf import GGMLQuantizationType, GGUFWriter

    scheme = checkpoint.scheme
    writer = GGUFWriter(str(target), str(read_gguf_header(base).values["general.architecture"]))
    writer.add_type("adapter")
    writer.add_description(label)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", scheme.lora_scale * scheme.lora_rank)
    for name in checkpoint.modules(LORA_A):
        a, b = checkpoint.array(name + LORA_A), checkpoint.array(name + LORA_B)
        if heads := _heads(checkpoint, name):
            b = interleaved(b, heads)
        for half, array in (("lora_a", a), ("lora_b", b)):
            writer.add_tensor(f"{gguf_name(name)}.{half}", _as_bytes(array), raw_dtype=GGMLQuantizationType.BF16)
    _close(writer)


def _as_bytes(array: "Array") -> "Array":
    import numpy as np

    return np.ascontiguousarray(array).view(np.uint8)


def _close(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
