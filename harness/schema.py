"""JSON Schema (2020-12) of the files that people write and of those that bench writes, for editors and checks.

The structs are the schema. Where a file says less than its struct, the difference is made here: a suite may
extend another one, a claim file's name is not written in it, and names that bench knows are listed.
"""

import copy
from collections.abc import Callable
from typing import Any

import msgspec

from harness.config import Known, SuiteFile
from harness.device_files import LocalFile, PhoneFile
from harness.errors import UnknownNameError
from harness.published import ClaimFile
from harness.values import Name, Plan, Runtime, TrialRecord

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(kind: str, known: Known) -> Schema:
    """The schema of a kind of file.

    Raises:
        UnknownNameError: with the nearest known kind.
    """
    if kind not in KINDS:
        raise UnknownNameError("schema", kind, KINDS)
    schema: Schema = _without_discriminators(KINDS[kind](known))
    return {"$schema": DIALECT, "title": f"bench {kind}", **schema}


def _suite(known: Known) -> Schema:
    found = msgspec.json.schema(SuiteFile)
    parts = found["$defs"]
    _without_name(found, "RuntimeFile", Runtime)
    suite = parts["SuiteFile"]["properties"]
    suite["runtimes"]["propertyNames"] = {"enum": list(known.runtimes)}
    suite["runtimes"]["additionalProperties"] = {"anyOf": [{"$ref": "#/$defs/RuntimeFile"}, {"type": "null"}]}
    parts["VariantFile"]["properties"]["recipe"] = {"enum": list(known.recipes)}
    parts["Text"]["properties"]["text"] = {"enum": list(known.texts)}
    parts["FullSuite"] = parts.pop("SuiteFile")
    for name, part in _partial(parts, "FullSuite").items():
        parts[name] = part
    # null: without this variant of the extended suite
    variants = parts[_part_name("FullSuite")]["properties"]["variants"]
    variants["additionalProperties"] = {"anyOf": [variants["additionalProperties"], {"type": "null"}]}
    extends = {"required": ["extends"], "properties": {"extends": {"type": "string"}}}
    return {
        "if": extends,
        "then": {"$ref": f"#/$defs/{_part_name('FullSuite')}"},
        "else": {"$ref": "#/$defs/FullSuite"},
        "$defs": parts,
    }


def _partial(parts: Schema, root: str) -> Schema:
    """Forms of a struct and of the mappings in it that lack keys, which the extended suite has.

    Lists are replaced as a whole, so what is in them must be complete.
    """
    found: Schema = {}

    def relax(node: Any) -> Any:
        if isinstance(node, list):
            return [relax(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            return {**node, "$ref": f"#/$defs/{part(name)}"}
        return {key: value if key in ("items", "default") else relax(value) for key, value in node.items()}

    def part(name: str) -> str:
        if _part_name(name) not in found:
            found[_part_name(name)] = {}
            whole = copy.deepcopy(parts[name])
            whole.pop("required", None)
            found[_part_name(name)] = relax(whole)
        return _part_name(name)

    part(root)
    return found


def _part_name(name: str) -> str:
    return f"PartOf{name}"


def _devices(_: Known) -> Schema:
    (local, phone), parts = msgspec.json.schema_components((LocalFile, PhoneFile), ref_template="#/$defs/{name}")
    names = msgspec.json.schema(dict[Name, int])["propertyNames"]
    return {"type": "object", "propertyNames": names, "additionalProperties": {"anyOf": [local, phone]}, "$defs": parts}


def _claims(_: Known) -> Schema:
    found = msgspec.json.schema(ClaimFile)
    found["$defs"]["ClaimFile"]["properties"].pop("file")
    return found


def _report(_: Known) -> Schema:
    from harness.analyse.findings import Report

    return msgspec.json.schema(Report)


def _night(_: Known) -> Schema:
    from harness.analyse.history.found import NightFound

    return msgspec.json.schema(NightFound)


def _without_discriminators(node: Any) -> Any:
    """A word of OpenAPI that JSON Schema does not have; `anyOf` beside it says the same."""
    if isinstance(node, list):
        return [_without_discriminators(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_discriminators(value) for key, value in node.items() if key != "discriminator"}


def _without_name(schema: Schema, target: str, kind: Any) -> None:
    """Put a struct in another one's place, without the name that is its key in the file."""
    form = msgspec.json.schema(kind)
    parts = form.pop("$defs")
    struct = parts.pop(kind.__name__)
    struct["properties"].pop("name")
    struct["required"] = [key for key in struct["required"] if key != "name"]
    struct["title"] = target
    schema["$defs"] |= {**parts, target: struct}


KINDS: dict[str, Callable[[Known], Schema]] = {
    "suite": _suite,
    "devices": _devices,
    "claims": _claims,
    "record": lambda _: msgspec.json.schema(TrialRecord),
    "plan": lambda _: msgspec.json.schema(Plan),
    "report": _report,
    "night": _night,
}
