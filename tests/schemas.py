"""A strict validator of the JSON Schema words that bench's schemas use; an unknown word is an error."""

import math
import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
ANNOTATIONS = {"$schema", "$defs", "title", "description", "default"}
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def errors(value: Any, schema: Schema, root: Schema | None = None, path: str = "$") -> Iterator[str]:
    """Every way in which a value does not fit, each with its path."""
    root = schema if root is None else root
    for word in schema:
        if word not in ANNOTATIONS and word not in WORDS:
            raise AssertionError(f"the validator does not know the word {word!r} (at {path})")
    for check in dict.fromkeys(WORDS[word] for word in schema if word in WORDS):  # several words share one
        yield from check(value, schema, root, path)


def fits(value: Any, schema: Schema, root: Schema) -> bool:
    return next(errors(value, schema, root), None) is None


def _ref(value: Any, schema: Schema, root: Schema, path: str) -> Iterator[str]:
    name = schema["$ref"]
    assert name.startswith("#/$defs/"), name
    yield from errors(value, root["$defs"][name.removeprefix("#/$defs/")], root, path)


def _type(value: Any, schema: Schema, _: Schema, path: str) -> Iterator[str]:
    wanted = schema["type"]
    right = isinstance(value, TYPES[wanted])
    if wanted in ("integer", "number") and isinstance(value, bool):
        right = False
    if wanted == "integer" and isinstance(value, float):
        right = value.is_integer()
    if not right or (isinstance(value, float) and not math.isfinite(value)):
        yield f"{path}: {value!r} is no {wanted}"


def _any_of(value: Any, schema: Schema, root: Schema, path: str) -> Iterator[str]:
    if not any(fits(value, one, root) for one in schema["anyOf"]):
        yield f"{path}: {value!r} fits none of {len(schema['anyOf'])} forms"


def _if(value: Any, schema: Schema, root: Schema, path: str) -> Iterator[str]:
    branch = "then" if fits(value, schema["if"], root) else "else"
    yield from errors(value, schema[branch], root, path)


def _enum(value: Any, schema: Schema, _: Schema, path: str) -> Iterator[str]:
    if value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"


def _object(value: Any, schema: Schema, root: Schema, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    yield from (f"{path}: {name!r} is missing" for name in schema.get("required", ()) if name not in value)
    rest = schema.get("additionalProperties", True)
    for name, inner in value.items():
        if "propertyNames" in schema:
            yield from errors(name, schema["propertyNames"], root, f"{path}.{name} (its name)")
        if name in known:
            yield from errors(inner, known[name], root, f"{path}.{name}")
        elif rest is False:
            yield f"{path}: {name!r} is not known"
        elif rest is not True:
            yield from errors(inner, rest, root, f"{path}.{name}")


def _array(value: Any, schema: Schema, root: Schema, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        return
    first = schema.get("prefixItems", [])
    for index, inner in enumerate(value):
        of = first[index] if index < len(first) else schema.get("items", True)
        if of is False:
            yield f"{path}[{index}]: too many items"
        elif of is not True:
            yield from errors(inner, of, root, f"{path}[{index}]")
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        yield f"{path}: {len(value)} items"


def _number(value: Any, schema: Schema, _: Schema, path: str) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if value < schema.get("minimum", -math.inf) or value <= schema.get("exclusiveMinimum", -math.inf):
        yield f"{path}: {value!r} is too small"
    if value > schema.get("maximum", math.inf) or value >= schema.get("exclusiveMaximum", math.inf):
        yield f"{path}: {value!r} is too large"


def _text(value: Any, schema: Schema, _: Schema, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        return
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        yield f"{path}: {value!r} has {len(value)} characters"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{path}: {value!r} does not match {schema['pattern']}"


WORDS: dict[str, Any] = {
    "$ref": _ref,
    "type": _type,
    "anyOf": _any_of,
    "if": _if,
    "then": _if,
    "else": _if,
    "enum": _enum,
    **dict.fromkeys(("properties", "required", "additionalProperties", "propertyNames"), _object),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems"), _array),
    **dict.fromkeys(("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"), _number),
    **dict.fromkeys(("minLength", "maxLength", "pattern"), _text),
}
