"""Ways to spoil a file: `(bytes, random) → bytes`. Pure, so that a seed makes the same file again."""

import json
import random
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

Mutate = Callable[[bytes, random.Random], bytes]

NUMBERS = (
    "0",
    "-1",
    "1e999",
    "-1e999",
    "1e-999",
    ".inf",
    "-.inf",
    ".nan",
    "NaN",
    "Infinity",
    "9" * 30,
    "9" * 5000,
    "-" + "9" * 400,
    str(2**31),
    str(2**53 + 1),
    str(2**63),
    str(2**64),
    "0x" + "f" * 40,
    "0o777777777777777777777777",
    "1.5",
    "1_0",
    "00",
)
VALUES = (
    "null",
    "~",
    "true",
    "[]",
    "{}",
    '""',
    "[[1]]",
    "{a: {b: c}}",
    '{"a": {"b": 1}}',
    "2001-01-01",
    "2001-01-01T10:00:00Z",
    "!!binary aGk=",
    "!!set {a}",
    "!!omap [a: 1]",
    "!!python/object:os.system x",
    "!x y",
    "!!int x",
    "!!float q",
    "'x\n\n  y'",
    "../../../../etc/passwd",
    "/etc/passwd",
    "items/../../x",
    "x==1\\n--index-url=http://x",
    "? a",
    "| \n  x",
    "*nobody",
    "@x",
    "%x",
)
CONTROLS = ("\0", "\x1b[2J", "\r", "\x85", "\u2028", "\ufeff", "\x7f", "\t", "\x0b", "\u202e", "\\u0000", "\\ud800")
BROKEN = (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82")
WORDS = re.compile(
    rb"(?<=[:\-,\[] )[^\s,{}\[\]:]+|(?<=:)\"[^\"]*\"|(?<=:)-?[0-9.]+|(?<=[:,\[])(?:true|false|null|[0-9]+)"
)
DIGITS = re.compile(rb"-?\d+(?:\.\d+)?")


def flip(body: bytes, draw: random.Random) -> bytes:
    spoiled = bytearray(body)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        if spoiled:
            spoiled[draw.randrange(len(spoiled))] ^= 1 << draw.randrange(8)
    return bytes(spoiled)


def cut(body: bytes, draw: random.Random) -> bytes:
    return body[: draw.randrange(len(body) + 1)]


def delete_line(body: bytes, draw: random.Random) -> bytes:
    lines = body.splitlines(keepends=True)
    del lines[draw.randrange(len(lines))]
    return b"".join(lines)


def double_line(body: bytes, draw: random.Random) -> bytes:
    lines = body.splitlines(keepends=True)
    lines.insert(draw.randrange(len(lines)), draw.choice(lines))
    return b"".join(lines)


def number(body: bytes, draw: random.Random) -> bytes:
    return _replaced(body, DIGITS, draw.choice(NUMBERS).encode(), draw)


def value(body: bytes, draw: random.Random) -> bytes:
    return _replaced(body, WORDS, draw.choice(VALUES).encode(), draw)


def deep(body: bytes, draw: random.Random) -> bytes:
    depth = draw.choice((20, 200, 2000, 50_000))
    opened, closed = draw.choice((("[", "]"), ('{"a":', "}"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("!x [", "]")))
    return _replaced(body, WORDS, (opened * depth + "1" + closed * depth).encode(), draw)


def long(body: bytes, draw: random.Random) -> bytes:
    return _replaced(
        body, WORDS, draw.choice((b"x", b"'x", b"\\", b"9", b"a: ", b"*")) * draw.choice((3000, 300_000)), draw
    )


def control(body: bytes, draw: random.Random) -> bytes:
    return _inserted(body, draw.choice(CONTROLS).encode(), draw)


def not_utf8(body: bytes, draw: random.Random) -> bytes:
    return _inserted(body, draw.choice(BROKEN), draw)


def move(body: bytes, draw: random.Random) -> bytes:
    """A piece of the file again at another place."""
    start = draw.randrange(len(body))
    return _inserted(body, body[start : start + draw.choice((5, 50, 500))], draw)


def swap(body: bytes, draw: random.Random) -> bytes:
    """A word in the place of another, so that names and kinds fit no more."""
    found = WORDS.findall(body)
    return _replaced(body, WORDS, draw.choice(found), draw) if found else body


def aliases(body: bytes, draw: random.Random) -> bytes:
    """Anchors that stand for much, for themselves, or are merged."""
    layers, width = draw.choice(((3, 3), (9, 9), (30, 2), (6, 30)))
    bomb = ["z0: &z0 {k0: 1, k1: 2}"]
    form = draw.choice(("list", "map", "merge", "self"))
    for layer in range(1, layers):
        many = [f"*z{layer - 1}"] * width
        inner = {
            "list": f"[{', '.join(many)}]",
            "map": "{" + ", ".join(f"a{i}: {one} " for i, one in enumerate(many)) + "}",
            "merge": "{" + f"<<: [{', '.join(many)}], k{layer}: 1" + "}",
            "self": f"[*z{layer} ]",
        }[form]
        bomb.append(f"z{layer}: &z{layer} {inner}")
    spoiled = "\n".join(bomb).encode() + b"\n" + body
    return _replaced(spoiled, WORDS, f"*z{layers - 1}".encode(), draw) if draw.random() < 0.5 else spoiled


def leaf(body: bytes, draw: random.Random) -> bytes:
    """Another value of the same kind in well-formed JSON (of one line, or as a whole): mostly still read."""
    lines = body.splitlines(keepends=True)
    whole = body.startswith(b"{\n")
    at = draw.randrange(len(lines))
    tree = json.loads(body if whole else lines[at])
    node, key = draw.choice(list(_leaves(tree)))
    old = node[key]
    if isinstance(old, bool) or old is None:
        node[key] = draw.choice((True, False, None))
    elif isinstance(old, int):
        node[key] = draw.choice((0, 1, -1, old + 1, old * 1000, 2**53, -(2**53)))
    elif isinstance(old, float):
        node[key] = draw.choice((0.0, -1.0, 1e300, -1e300, 1e-300, 5e-324, old * 1e6))
    else:
        node[key] = draw.choice(("", "x", old * 2, *(n[k] for n, k in _leaves(tree) if isinstance(n[k], str))))
    spoiled = json.dumps(tree).encode()
    return spoiled if whole else b"".join((*lines[:at], spoiled + b"\n", *lines[at + 1 :]))


def _leaves(node: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(inner, dict | list):
            yield from _leaves(inner)
        else:
            yield node, key


def _replaced(body: bytes, what: "re.Pattern[bytes]", by: bytes, draw: random.Random) -> bytes:
    places = [m.span() for m in what.finditer(body)]
    if not places:
        return body + by
    start, end = draw.choice(places)
    return body[:start] + by + body[end:]


def _inserted(body: bytes, what: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(body) + 1)
    return body[:at] + what + body[at:]


JSON: dict[str, Mutate] = {
    "flip": flip, "cut": cut, "delete line": delete_line, "double line": double_line, "number": number, "value": value,
    "deep": deep, "long": long, "control": control, "not UTF-8": not_utf8, "move": move, "swap": swap, "leaf": leaf,
}  # fmt: skip
YAML: dict[str, Mutate] = {**{name: one for name, one in JSON.items() if one is not leaf}, "aliases": aliases}


# ---------------------------------------------------------------- GGUF

SIZES = (0, 1, 2, 3, 7, 13, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def gguf_pieces() -> list[bytes]:
    """A small model, piece by piece: each count, length, name, type and value on its own."""

    def text(one: str) -> list[bytes]:
        return [struct.pack("<Q", len(one.encode())), one.encode()]

    def field(name: str, kind: int, *value: bytes) -> list[bytes]:
        return [*text(name), struct.pack("<I", kind), *value]

    def array(kind: int, *items: bytes, count: int) -> list[bytes]:
        return [struct.pack("<I", kind), struct.pack("<Q", count), *items]

    tokens = [piece for one in ("<s>", "a", "ä", "") for piece in text(one)]
    fields = [
        field("general.architecture", 8, *text("llama")),
        field("general.alignment", 4, struct.pack("<I", 32)),
        field("llama.context_length", 4, struct.pack("<I", 128)),
        field("llama.embedding_length", 4, struct.pack("<I", 32)),
        field("llama.block_count", 4, struct.pack("<I", 0)),
        field("llama.feed_forward_length", 4, struct.pack("<I", 32)),
        field("llama.attention.head_count", 4, struct.pack("<I", 1)),
        field("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
        field("llama.rope.freq_base", 6, struct.pack("<f", 1e4)),
        field("tokenizer.ggml.model", 8, *text("gpt2")),
        field("tokenizer.ggml.tokens", 9, *array(8, *tokens, count=4)),
        field("tokenizer.ggml.token_type", 9, *array(5, struct.pack("<4i", 1, 1, 1, 1), count=4)),
        field("tokenizer.ggml.merges", 9, *array(8, *text("a b"), count=1)),
        field("tokenizer.ggml.pre", 8, *text("smollm")),
        field("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 1)),
        field("tokenizer.ggml.add_bos_token", 7, b"\1"),
    ]
    tensors, data = [], b""
    for name, shape, kind, size in (
        ("token_embd.weight", (32, 4), 30, 256),
        ("output_norm.weight", (32,), 0, 128),
        ("output.weight", (32, 4), 8, 136),
    ):
        place = struct.pack("<Q", len(data))
        dims = [struct.pack("<Q", n) for n in shape]
        tensors.append([*text(name), struct.pack("<I", len(shape)), *dims, struct.pack("<I", kind), place])
        data += bytes(size) + bytes(-size % 32)
    head = [b"GGUF", struct.pack("<I", 3), struct.pack("<Q", len(tensors)), struct.pack("<Q", len(fields))]
    pieces = [*head, *(p for one in (*fields, *tensors) for p in one)]
    return [*pieces, bytes(-sum(map(len, pieces)) % 32), data]


def spoiled_gguf(pieces: list[bytes], draw: random.Random) -> tuple[str, bytes]:
    """The model with something wrong in its header, and in which way."""
    kind = draw.choice(("size", "size", "size", "two sizes", "flip", "cut", "drop", "double", "text", "swap"))
    changed = list(pieces)
    at = draw.randrange(len(pieces) - 2)
    match kind:
        case "size" | "two sizes":
            for _ in range(2 if kind == "two sizes" else 1):
                numbers = [i for i, piece in enumerate(pieces[:-2]) if len(piece) in (4, 8)]
                at = draw.choice(numbers)
                width = len(pieces[at])
                changed[at] = (draw.choice(SIZES) % 256**width).to_bytes(width, "little")
        case "flip":
            changed[at] = flip(changed[at], draw)
        case "cut":
            whole = b"".join(pieces)
            return kind, whole[: draw.randrange(len(whole))]
        case "drop":
            del changed[at]
        case "double":
            changed.insert(at, changed[at])
        case "text":
            changed[at] = draw.choice((*BROKEN, b"\n\x1b[2J", b"general.architecture", b"GGUF.version", b"x" * 70_000))
        case "swap":
            changed[at] = draw.choice(pieces[:-2])
    return kind, b"".join(changed)
