"""What a task file says, as far as a plan must know it; functions stay names here and are not run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar

from harness.config import in_words
from harness.errors import ConfigError, InputError
from harness.values import Value
from harness.yaml_text import load_yaml

GENERATES = "generate_until"
"""The kind of a task, also of one that names none, whose answers are generated; those of the others are given texts."""
KINDS = ("loglikelihood", "multiple_choice", "loglikelihood_rolling", GENERATES)
DEEPEST = 8
"""Includes of includes."""
LEVELS = 50
FUNCTION = "!function "

T = TypeVar("T")


class Definition(Value, frozen=True, kw_only=True):
    """One task of lm-eval."""

    name: str
    dataset: str
    subset: str | None
    files: dict[str, str]
    """Split → file, where the definition names files of its own."""
    splits: tuple[str, ...]
    """All that it may read."""
    asked: str
    """The split whose documents are the questions."""
    shots: str | None
    """The split that few-shot examples come from; None: from nowhere, or written in the definition."""
    fewshot: int
    generates: bool


def read_definition(path: Path) -> dict[str, Any]:
    """A task or group file with what it includes.

    Raises:
        ConfigError: it is no YAML mapping, or `include` holds something else than names of files.
        InputError: includes that go in circles.
    """
    return _read(path, ())


def definition_parts(path: Path) -> list[Path]:
    """All files that a task file is made of: itself, what it includes, and the Python files that stand beside these
    or that they name.

    Raises:
        ConfigError, InputError: as `read_definition`.
    """
    texts = list(_chain(path, ()))
    folders = {folder for text in texts for folder in (text.parent, *(code.parent for code in _code(text)))}
    return [*texts, *(code for folder in sorted(folders) for code in sorted(folder.glob("*.py")))]


def code_files(path: Path) -> list[Path]:
    """The Python files in which the functions of a task file, and of what it includes, stand; each once.

    Raises:
        ConfigError, InputError: as `read_definition`.
    """
    return [code for code in dict.fromkeys(c for text in _chain(path, ()) for c in _code(text)) if code.is_file()]


def _code(text: Path) -> list[Path]:
    """What the functions in one file are looked for in, beside it."""
    named = _functions(_plain(load_yaml(text, twice=True), text))
    modules = (value.removeprefix(FUNCTION).rpartition(".")[0] for value in named)
    return [text.parent / f"{module.replace('.', '/')}.py" for module in modules]


def _chain(path: Path, before: tuple[Path, ...]) -> Iterator[Path]:
    _, includes = _own_and_includes(path, before)
    yield path
    for include in includes:
        yield from _chain(include, (*before, path))


def _read(path: Path, before: tuple[Path, ...]) -> dict[str, Any]:
    own, includes = _own_and_includes(path, before)
    merged: dict[str, Any] = {}
    for include in includes:
        merged |= _read(include, (*before, path))
    return merged | own


def _own_and_includes(path: Path, before: tuple[Path, ...]) -> tuple[dict[str, Any], list[Path]]:
    if path in before or len(before) > DEEPEST:
        raise InputError(f"{path} includes itself")
    own = _plain(load_yaml(path, twice=True), path)
    assert isinstance(own, dict)
    includes = converted(own, _Includes, path).include or []
    own.pop("include", None)
    return own, [(path.parent / one).resolve() for one in ([includes] if isinstance(includes, str) else includes)]


def has_functions(config: dict[str, Any]) -> bool:
    """Whether lm-eval runs Python code for this task: some key is a function."""
    return any(_functions(config))


def _functions(node: Any) -> Iterator[str]:
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _functions(inner)
    if isinstance(node, str) and node.startswith(FUNCTION):
        yield node


def _plain(node: Any, file: Path, depth: int = 0) -> Any:
    if depth > LEVELS:  # also an alias inside of what it names
        raise ConfigError("is nested too deeply", file=file)
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value, file, depth + 1) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(item, file, depth + 1) for item in node]
    if isinstance(node, TaggedScalar):
        return f"{node.tag} {node.value}"
    plain = next((kind for kind in (bool, int, float, str) if isinstance(node, kind)), None)
    return node if plain is None else plain(node)


def converted(data: Any, kind: type[T], file: Path) -> T:
    """Data of a task file as a value of that kind.

    Raises:
        ConfigError: with what stands in the place of what.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        inner = place.rstrip("`").removeprefix("$").removeprefix(".")
        raise ConfigError(in_words(what), file=file, path=inner) from None


def definition_of(config: dict[str, Any], file: Path) -> Definition:
    """A task's definition from its merged keys, which come from `file`.

    Raises:
        ConfigError: a key holds what it cannot hold.
        InputError: the task is of a kind that is not measured here.
    """
    if (why := _refused(config)) is not None:
        raise InputError(f"task {str(config.get('task'))!r} is not offered: it {why}")
    keys = converted(config, _Keys, file)
    splits = [split for split in (keys.test_split, keys.validation_split, keys.training_split) if split]
    if not splits:
        raise InputError(f"task {keys.task!r} names no split of its data")
    shots = _shots(keys)
    return Definition(
        name=keys.task,
        dataset=keys.dataset_path or "",
        subset=None if keys.dataset_name is None else str(keys.dataset_name),
        files=_files(keys, splits[0], file),
        splits=tuple(dict.fromkeys([*splits, *([shots] if shots else [])])),
        asked=splits[0],
        shots=shots,
        fewshot=keys.num_fewshot or 0,
        generates=config.get("output_type", GENERATES) == GENERATES,
    )


def _files(keys: "_Keys", asked: str, file: Path) -> dict[str, str]:
    given = keys.dataset_kwargs.data_files if keys.dataset_kwargs else None
    if not given:
        return {}
    by_split = given if isinstance(given, dict) else {asked: given}
    for split, files in by_split.items():
        if not isinstance(files, str) and len(files) != 1:
            where = f"dataset_kwargs.data_files.{split}"
            raise ConfigError(f"{len(files)} files for one split are not supported: join them", file=file, path=where)
    return {split: files if isinstance(files, str) else files[0] for split, files in by_split.items()}


def _refused(config: dict[str, Any]) -> str | None:
    if config.get("unsafe_code"):
        return "runs code that a model wrote, and bench has no place yet where that does no harm"
    if "class" in config:
        return "is a program of its own and no definition"
    if config.get("doc_to_image") or config.get("doc_to_audio"):
        return "asks about images or sounds"
    if config.get("custom_dataset"):
        return "makes its data by a program"
    if (kind := config.get("output_type", GENERATES)) not in KINDS:
        return f"asks for {kind!r}, which is none of {', '.join(KINDS)}"
    return None


def _shots(keys: "_Keys") -> str | None:
    own = keys.fewshot_config or _Shots()
    if keys.fewshot_split or own.split:
        return keys.fewshot_split or own.split
    if own.samples:
        return None
    return keys.training_split or keys.validation_split or keys.test_split


class _Includes(msgspec.Struct, frozen=True):
    include: str | list[str] | None = None


class _DataSet(msgspec.Struct, frozen=True):
    data_files: str | list[str] | dict[str, str | list[str]] | None = None


class _Shots(msgspec.Struct, frozen=True):
    split: str | None = None
    samples: Any = None


class _Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that a plan reads; there are many others."""

    task: str
    dataset_path: str | None = None
    dataset_name: str | int | float | None = None
    dataset_kwargs: _DataSet | None = None
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    num_fewshot: int | None = None
    fewshot_split: str | None = None
    fewshot_config: _Shots | None = None
