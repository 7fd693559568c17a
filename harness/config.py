"""YAML → values: strict, with file, line and path of what is wrong.

Read by ruamel.yaml (YAML 1.2: `1e-4` is a number, `12:30` a string; duplicate keys are refused),
then converted by msgspec, which refuses unknown keys and wrong types.
"""

import difflib
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import UNSET, UnsetType
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from harness.errors import ConfigError, InputError, UnknownNameError, one_line, unknown_name
from harness.values import (
    CheckpointSource,
    DeviceSpec,
    FileSource,
    Model,
    Name,
    Positive,
    Runtime,
    Size,
    Source,
    Stands,
    Suite,
    Task,
    TaskName,
    Text,
    Tokens,
    Value,
    Variant,
    Whole,
    Workload,
    is_task_file,
    only_for,
)
from harness.yaml_text import DEEPEST, load_yaml

PROJECT = Path(__file__).resolve().parent.parent
MOST_NODES = 100_000
"""Values of one file with its aliases followed: nine lines of aliases can stand for a billion values."""
MEASURES = tuple(kind.__struct_config__.tag for kind in get_args(Workload))
_MISSING = re.compile(r"Object missing required field `(.*?)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`")
_PATH = re.compile(r" - at (?:`key` in )?`(?:key in )?(.*?)`$")
_NAME = re.compile(r"text matching regex '\^\[A-Za-z0-9\]\[A-Za-z0-9\._\+-\]\*\$.*'")


class Known(Value, frozen=True):
    """The names that the rooms offer, for checking a suite before anything is done."""

    recipes: dict[str, tuple[str, ...]]
    """Recipe → the settings it knows."""
    runtimes: dict[str, tuple[str, ...]]
    """Runtime → the settings it knows."""
    tasks: tuple[str, ...]
    """Those of the table; there are others, which `wrong_task` knows."""
    texts: tuple[str, ...]
    wrong_task: Callable[[str], str | None]
    """Why no task has that name, or None."""


class ModelFile(Value, frozen=True):
    source: Source
    label: str
    licence: str = ""
    context: Tokens = 2048
    parameters: Positive | UnsetType = UNSET


class VariantFile(Value, frozen=True):
    model: Name
    recipe: Name
    settings: dict[str, str | Whole | float | bool] = {}
    scheme: str = ""


class RuntimeFile(Value, frozen=True):
    threads: Whole | str = "auto"
    threads_batch: Whole | str = "auto"
    load_mode: str = "none"
    repack: bool = True
    kv_type: str = "f16"
    flash_attn: str = "auto"
    batch: Whole = 2048
    ubatch: Whole = 512
    dtype: str = "float32"
    processor: str = "cpu"
    export_context: Whole | UnsetType = UNSET
    full_logits: bool | UnsetType = UNSET


class SuiteFile(Value, frozen=True):
    name: Name
    title: str
    models: dict[Name, ModelFile]
    variants: dict[Name, VariantFile]
    baselines: tuple[Name, ...]
    runtimes: dict[Name, RuntimeFile]
    measures: tuple[Workload, ...]
    devices: tuple[Name, ...] = ("local",)
    seed: Whole = 0
    claims: dict[Name, dict[Name, Stands]] = {}
    extends: str | None = None


class Document:
    """A YAML mapping as plain data, and the line of every path inside it."""

    def __init__(self, path: Path) -> None:
        self.file = path
        self.lines: dict[str, tuple[Path, int]] = {}
        self._nodes = 0
        self.data: dict[str, Any] = self._plain(load_yaml(path), "$", 0)

    def _plain(self, node: Any, path: str, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise ConfigError(f"stands for more than {MOST_NODES:,} values", file=self.file)
        if depth > DEEPEST:  # also an alias inside of what it names
            raise self.error("is nested too deeply", path)
        if isinstance(node, CommentedMap):
            return self._plain_mapping(node, path, depth)
        if isinstance(node, CommentedSeq):
            for index in node.lc.data or ():  # a tagged list has no lines
                self.lines[f"{path}[{index}]"] = (self.file, node.lc.item(index)[0] + 1)
            return [self._plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node)]
        for kind in (bool, int, float, str):
            if isinstance(node, kind):
                if isinstance(node, float) and not math.isfinite(node):
                    raise self.error(f"{float(node)} is no number that can be kept", path)
                return kind(node)
        if node is None:
            return None
        raise self.error(f"expected text or a number, got a {type(node).__name__}", path)

    def _plain_mapping(self, node: CommentedMap, path: str, depth: int) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, value in node.items():
            if not isinstance(key, str | int | float | bool):
                raise self.error("a key must be text", path)
            inner = f"{path}.{key}"
            if key in (node.lc.data or {}):  # merged keys (`<<:`) have no line of their own
                self.lines[inner] = (self.file, node.lc.key(key)[0] + 1)
            plain[str(key)] = self._plain(value, inner, depth + 1)
        return plain

    def error(self, what: str, path: str) -> ConfigError:
        """An error at a path; the line is that of the nearest ancestor that has one."""
        near = path
        while near not in self.lines and near != "$":
            near = near[: max(near.rfind("."), near.rfind("["), 0)] or "$"  # a key may hold either: always shorter
        file, line = self.lines.get(near, (self.file, None))
        inner = path.removeprefix("$").removeprefix(".")
        return ConfigError(one_line(what), file=file, line=line, path=one_line(inner))

    def convert(self, kind: Any, data: Any = None, path: str = "$") -> Any:
        """The data as a value of that kind.

        Raises:
            ConfigError: unknown key (with the nearest known one), missing key, wrong type or range.
        """
        try:
            return msgspec.convert(self.data if data is None else data, kind)
        except msgspec.ValidationError as error:
            raise self._explain(str(error), kind, path) from None

    def _explain(self, message: str, kind: Any, root: str) -> ConfigError:
        found = _PATH.search(message)
        inner = found.group(1).removeprefix("$") if found else ""
        what = _PATH.sub("", message)
        path = root + self._real_path(root, inner)
        if unknown := _UNKNOWN.search(what):
            name = unknown.group(1)
            near = difflib.get_close_matches(name, sorted(_keys(kind)), n=1)
            hint = f" — did you mean {near[0]!r}?" if near else ""
            return self.error(f"unknown key {name!r}{hint}", f"{path}.{name}")
        if missing := _MISSING.search(what):
            return self.error(f"key {missing.group(1)!r} is missing", path)
        if path.endswith(".kind") and (value := re.search(r"Invalid value '(.*)'", what)):
            return self.error(unknown_name("measure", value.group(1), MEASURES), path)
        return self.error(in_words(what), path)

    def _real_path(self, root: str, inner: str) -> str:
        """msgspec writes `[...]` for any key of a mapping: find the one that exists in the lines."""
        if "[...]" not in inner:
            return inner
        pattern = re.escape(root + inner).replace(r"\[\.\.\.\]", r"\.[^.\[\]]+")
        matches = [path for path in self.lines if re.fullmatch(pattern, path)]
        return matches[0].removeprefix(root) if len(matches) == 1 else inner.replace("[...]", ".…")


def find_suite(name: str) -> Path:
    """A suite by name (`./suites`, then the project's own) or by path.

    Raises:
        UnknownNameError: no such file; the known suites are named.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise UnknownNameError("suite file", name, list_suites())
        return path
    for folder in _suite_folders():
        if (path := folder / f"{name}.yaml").is_file():
            return path
    raise UnknownNameError("suite", name, list_suites())


def list_suites() -> list[str]:
    """Names of the suites that `--suite` knows."""
    return sorted({path.stem for folder in _suite_folders() for path in folder.glob("*.yaml")})


def load_suite(name: str, known: Known, devices: dict[str, DeviceSpec]) -> Suite:
    """Read a suite, follow `extends`, resolve and check every name.

    Raises:
        ConfigError: with file, line and path.
        UnknownNameError: no suite of that name.
    """
    document = _extended(find_suite(name), ())
    parts = _convert_parts(document)
    measures = tuple(_located_task(measure, document, index) for index, measure in enumerate(parts.measures))
    parts = msgspec.structs.replace(parts, measures=measures)
    _check_names(document, parts, known, devices)
    models = {
        key: Model(name=key, **msgspec.structs.asdict(_located(model, document, key)))
        for key, model in parts.models.items()
    }
    variants = tuple(
        Variant(
            name=key,
            model=models[v.model],
            recipe=v.recipe,
            settings=_located_settings(v.settings, document, key),
            scheme=v.scheme,
        )
        for key, v in parts.variants.items()
    )
    runtimes = tuple(
        document.convert(Runtime, {"name": key, **msgspec.to_builtins(r)}, f"$.runtimes.{key}")
        for key, r in parts.runtimes.items()
    )
    return Suite(
        name=parts.name,
        title=parts.title,
        variants=variants,
        baselines=parts.baselines,
        runtimes=runtimes,
        devices=tuple(devices[d] for d in parts.devices),
        measures=parts.measures,
        seed=parts.seed,
        claims=parts.claims,
        source=document.file.name,
    )


def _suite_folders() -> list[Path]:
    return [Path("suites"), PROJECT / "suites"]


def _extended(path: Path, seen: tuple[Path, ...]) -> Document:
    document = Document(path)
    parent = document.data.get("extends")
    if parent is None:
        return document
    if not isinstance(parent, str):
        raise document.error("expected the name of a suite", "$.extends")
    try:
        parent_path = find_suite(parent)
    except UnknownNameError as error:
        raise document.error(str(error), "$.extends") from None
    if parent_path.resolve() in {p.resolve() for p in (*seen, path)}:
        raise document.error(f"{parent!r} extends this suite already", "$.extends")
    base = _extended(parent_path, (*seen, path))
    document.data = _merged(*_without_dropped(base.data, document.data))
    document.lines = {**base.lines, **document.lines}
    return document


def _without_dropped(base: dict[str, Any], over: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without the parent's variants that the suite sets to null."""
    known, own = base.get("variants"), over.get("variants")
    if not isinstance(known, dict) or not isinstance(own, dict):
        return base, over
    dropped = {name for name, entry in own.items() if entry is None and name in known}
    kept, more = ({name: v for name, v in one.items() if name not in dropped} for one in (known, own))
    return {**base, "variants": kept}, {**over, "variants": more}


def _merged(base: Any, over: Any) -> Any:
    """Later keys win; mappings are merged, everything else is replaced."""
    if isinstance(base, dict) and isinstance(over, dict) and base.get("from") == over.get("from", base.get("from")):
        return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
    return over


def _convert_parts(document: Document) -> SuiteFile:
    """Convert the entries of each mapping on their own, so that an error knows which one it is in."""
    for table, kind in (("models", ModelFile), ("variants", VariantFile), ("runtimes", RuntimeFile)):
        entries = document.data.get(table)
        if isinstance(entries, dict):
            for name, entry in entries.items():
                document.convert(kind, {} if entry is None else entry, f"$.{table}.{name}")
            document.data[table] = {name: entry or {} for name, entry in entries.items()}
    parts: SuiteFile = document.convert(SuiteFile)
    return parts


def _check_names(document: Document, parts: SuiteFile, known: Known, devices: dict[str, DeviceSpec]) -> None:
    def check(kind: str, name: str, names: Any, path: str) -> None:
        if name not in names:
            raise document.error(unknown_name(kind, name, names), path)

    for name, variant in parts.variants.items():
        check("model", variant.model, parts.models, f"$.variants.{name}.model")
        check("recipe", variant.recipe, known.recipes, f"$.variants.{name}.recipe")
        for setting in variant.settings:
            kind, settings = f"setting of recipe {variant.recipe!r}", known.recipes[variant.recipe]
            check(kind, setting, settings, f"$.variants.{name}.settings.{setting}")
    for name in parts.runtimes:
        check("runtime", name, known.runtimes, f"$.runtimes.{name}")
        for setting in document.data["runtimes"][name]:
            check(f"setting of runtime {name!r}", setting, known.runtimes[name], f"$.runtimes.{name}.{setting}")
    for index, name in enumerate(parts.baselines):
        check("variant", name, parts.variants, f"$.baselines[{index}]")
    for index, name in enumerate(parts.devices):
        check("device", name, devices, f"$.devices[{index}]")
    for index, measure in enumerate(parts.measures):
        for number, name in enumerate(only_for(measure)):
            check("variant", name, parts.variants, f"$.measures[{index}].variants[{number}]")
        if isinstance(measure, Task) and (why := known.wrong_task(measure.task)) is not None:
            raise document.error(why, f"$.measures[{index}].task")
        if isinstance(measure, Text):
            check("text", measure.text, known.texts, f"$.measures[{index}].text")
            if measure.reference is not None:
                check("variant", measure.reference, parts.variants, f"$.measures[{index}].reference")
    for file, rows in parts.claims.items():
        for row, stands in rows.items():
            check("variant", stands.variant, parts.variants, f"$.claims.{file}.{row}.variant")
    if not parts.variants or not parts.measures:
        empty = "variants" if not parts.variants else "measures"
        raise document.error(f"{empty!r} is empty: there is nothing to measure", f"$.{empty}")
    if not parts.runtimes and any(not isinstance(m, Size) for m in parts.measures):
        raise document.error("'runtimes' is empty, but the measures need one", "$.runtimes")
    if not parts.baselines:
        raise document.error("'baselines' is empty: every ratio needs one", "$.baselines")


def _located(model: ModelFile, document: Document, name: str) -> ModelFile:
    """A model file's relative path is relative to the suite that names it."""
    if not isinstance(model.source, FileSource | CheckpointSource):
        return model
    file, _ = document.lines.get(f"$.models.{name}.source.path", (document.file, 0))
    path = (file.parent / Path(model.source.path).expanduser()).resolve()
    return msgspec.structs.replace(model, source=msgspec.structs.replace(model.source, path=str(path)))


def _located_settings(settings: dict[str, Any], document: Document, name: str) -> dict[str, Any]:
    """A text's relative path is relative to the suite that names it."""
    if not isinstance(settings.get("text"), str) or not settings["text"]:
        return settings
    file, _ = document.lines.get(f"$.variants.{name}.settings.text", (document.file, 0))
    return {**settings, "text": str((file.parent / Path(settings["text"]).expanduser()).resolve())}


def _located_task(measure: Workload, document: Document, index: int) -> Workload:
    """A task file's relative path is relative to the suite that names it."""
    if not isinstance(measure, Task):
        return measure
    place = f"$.measures[{index}].task"
    file, _ = document.lines.get(place, (document.file, 0))
    try:
        return msgspec.structs.replace(measure, task=locate_task(measure.task, file.parent))
    except InputError as error:
        raise document.error(str(error), place) from None


def locate_task(name: str, folder: Path) -> str:
    """The absolute path of a task file, so that resuming and grading find it wherever they are started; other names
    as they are.

    Raises:
        InputError: a path that a plan cannot hold.
    """
    if not is_task_file(name):
        return name
    path = str((folder / Path(name).expanduser()).resolve())
    try:
        return msgspec.convert(path, TaskName)
    except msgspec.ValidationError:
        allowed = "letters, digits, blanks and . _ + - ~ : /, at most 256"
        raise InputError(f"the task file {path} has a path of other characters than {allowed}") from None


def _keys(kind: Any) -> set[str]:
    """All keys that a struct and the structs inside it know: enough for a hint."""
    found: set[str] = set()
    todo, seen = [kind], set()
    while todo:
        one = todo.pop()
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            if one in seen:
                continue
            seen.add(one)
            for field in msgspec.structs.fields(one):
                found.add(field.encode_name)
                todo.append(field.type)
        else:
            todo.extend(getattr(one, "__args__", ()))
    return found


def in_words(message: str) -> str:
    """msgspec's sentence without its type syntax."""
    message = message.replace("`", "").replace("Expected ", "expected ").replace("Invalid ", "invalid ")
    for technical, word in (
        ("object", "mapping"),
        ("array", "list"),
        ("str", "text"),
        ("int", "whole number"),
    ):
        message = re.sub(rf"\b{technical}\b", word, message)
    return _NAME.sub("a name of letters, digits and . _ + -, a letter or digit first", message)
