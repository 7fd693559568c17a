"""tokenizer.model of Llama 3 (byte pairs by rank, one base64 line each) as tokenizer.json: its layout, no code of it.

What a tokenizer.json says beside the pairs (how text is split, which tokens are special) no such file holds: it is
that of Llama 3, so only a file of as many pairs is taken.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import BuildError

PAIRS, SPECIAL = 128_000, 256
LARGEST_FILE = 64 << 20
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 splits a text before pairs are merged."""
NAMED = {
    0: "<|begin_of_text|>",
    1: "<|end_of_text|>",
    4: "<|finetune_right_pad_id|>",
    5: "<|step_id|>",
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    8: "<|eom_id|>",
    9: "<|eot_id|>",
    10: "<|python_tag|>",
}
"""Special tokens by their place behind the pairs; the others are reserved and numbered."""
BOS, EOS = NAMED[0], NAMED[9]
ENDS = (1, 8, 9)
"""Places of the tokens that end a generation."""
TEMPLATE = (
    "{{- bos_token }}{%- if messages[0]['role'] == 'system' %}{%- set told = messages[0]['content'] | trim %}"
    "{%- set turns = messages[1:] %}{%- else %}{%- set told = '' %}{%- set turns = messages %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\nToday Date: ' }}"
    "{{- date_string | default('26 Jul 2024') }}{{- '\\n\\n' + told + '<|eot_id|>' }}"
    "{%- for turn in turns %}{{- '<|start_header_id|>' + turn['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{- turn['content'] | trim }}{{- '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
"""The turns of Llama 3.2 Instruct without tools."""


def write_tokenizer(source: Path, folder: Path, *, pairs: int = PAIRS) -> None:
    """Write tokenizer.json, tokenizer_config.json, generation_config.json and chat_template.jinja.

    Raises:
        BuildError: a damaged file, or one of another model.
    """
    ranks = read_ranks(source)
    if len(ranks) != pairs:
        raise BuildError(f"{source} has {len(ranks):,} tokens; one of Llama 3 has {pairs:,}")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "clean_up_tokenization_spaces": False,
    }
    files = {
        "tokenizer.json": tokenizer_json(ranks),
        "tokenizer_config.json": config,
        "generation_config.json": {"bos_token_id": pairs, "eos_token_id": [pairs + place for place in ENDS]},
    }
    for name, value in files.items():
        (folder / name).write_bytes(msgspec.json.encode(value))
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


def read_ranks(path: Path) -> dict[bytes, int]:
    """Bytes of a token → its rank, which is its id.

    Raises:
        BuildError: a damaged file.
    """
    ranks: dict[bytes, int] = {}
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BuildError(f"{path} is damaged: larger than any such file")
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if not line.strip():
                continue
            token, rank = line.split()
            if int(rank) != len(ranks):
                raise BuildError(f"{path}:{number}: rank {int(rank)} instead of {len(ranks)}")
            ranks[base64.b64decode(token, validate=True)] = int(rank)
    except (OSError, ValueError, binascii.Error) as error:
        raise BuildError(f"{path} cannot be read: {error}") from error
    if not {bytes([byte]) for byte in range(256)} <= set(ranks):
        raise BuildError(f"{path} lacks single bytes: no tokenizer of byte pairs")
    return ranks


def tokenizer_json(ranks: Mapping[bytes, int]) -> dict[str, Any]:
    """The whole file, as the tokenizers library reads it."""
    letters = byte_letters()
    names = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = [[names[left], names[right]] for left, right in merges_of(ranks)]
    begin = {"SpecialToken": {"id": BOS, "type_id": 0}}
    spelled = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(place, len(ranks)) for place in range(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, spelled]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [begin, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {BOS: {"id": BOS, "ids": [len(ranks)], "tokens": [BOS]}},
        },
        "decoder": spelled | {"add_prefix_space": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {names[token]: rank for token, rank in ranks.items()},
            "merges": merges,
        },
    }


def merges_of(ranks: Mapping[bytes, int]) -> Iterable[tuple[bytes, bytes]]:
    """The two parts that each token is merged from, in the order of ranks."""
    for token, rank in sorted(ranks.items(), key=lambda pair: pair[1]):
        if len(token) > 1 and len(parts := _parts(token, ranks, rank)) == 2:
            yield parts[0], parts[1]


def byte_letters() -> list[str]:
    """The letter that stands for each byte: printable ones for themselves, the others shifted beyond them."""
    plain = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)}
    others = [byte for byte in range(256) if byte not in plain]
    shifted = {byte: chr(256 + place) for place, byte in enumerate(others)}
    return [chr(byte) if byte in plain else shifted[byte] for byte in range(256)]


def _parts(token: bytes, ranks: Mapping[bytes, int], below: int) -> list[bytes]:
    """The token's bytes after all merges of lower ranks."""
    parts = [token[at : at + 1] for at in range(len(token))]
    while len(parts) > 2:
        found = [(ranks.get(parts[at] + parts[at + 1], below), at) for at in range(len(parts) - 1)]
        rank, at = min(found)
        if rank >= below:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _special(place: int, pairs: int) -> dict[str, Any]:
    reserved = place - sum(1 for named in NAMED if named < place)
    name = NAMED.get(place, f"<|reserved_special_token_{reserved}|>")
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": pairs + place, "content": name, **plain}
