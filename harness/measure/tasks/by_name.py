"""Tasks that are not in the table: lm-eval's other names, and task files of the user's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from harness.errors import InputError
from harness.measure.tasks.code import check_modules, imported, splits_sentences
from harness.measure.tasks.definitions import (
    FUNCTION,
    Definition,
    code_files,
    converted,
    definition_of,
    has_functions,
    read_definition,
)
from harness.measure.tasks.names import lm_eval_names, tasks_folder
from harness.measure.tasks.places import ENDINGS, check_hub, known_file, nltk_folder, split_file
from harness.measure.tasks.table import DATASETS, TaskFile
from harness.values import is_task_file

LOADERS = ("json", "csv", "parquet", "text", "arrow")
"""Names that stand for a format and not for a data set."""
MOST_TASKS = 2000


class Leaf(NamedTuple):
    name: str
    path: Path
    """Of its definition."""
    overrides: dict[str, Any]
    """What a group puts over it."""


class _Read(NamedTuple):
    leaf: Leaf
    definition: Definition
    code: list[Path]
    """Where its functions stand."""


class _Group(msgspec.Struct, frozen=True):
    """A group, and a member that is more than a name."""

    task: str | list[str | dict[str, Any]] | None = None
    group: str | None = None


def named_files(name: str, data: Path | None, fewshot: int | None) -> list[TaskFile]:
    """The tasks of a known name, with the files of each.

    Raises:
        InputError: a file is missing, the hub does not answer, a task cannot be measured here, or some of a group
            generate and others do not.
    """
    leaves = _of_file(Path(name).expanduser().resolve()) if is_task_file(name) else _of_name(name, {})
    read: dict[str, _Read] = {}
    for leaf in leaves:
        read.setdefault(leaf.name, _read(leaf))
        if len(read) > MOST_TASKS:
            raise InputError(f"{name!r} stands for more than {MOST_TASKS} tasks")
    if not read:
        raise InputError(f"{name!r} is a group of no tasks")
    _check_kinds(name, [one.definition for one in read.values()])
    return [_task_file(one, data, fewshot) for one in read.values()]


def _read(leaf: Leaf) -> _Read:
    config = read_definition(leaf.path) | leaf.overrides | {"task": leaf.name}
    definition = definition_of(config, leaf.path)
    return _Read(leaf, definition, code_files(leaf.path) if has_functions(config) else [])


def _check_kinds(name: str, definitions: list[Definition]) -> None:
    """One program answers all requests of a cell, and it either generates or scores."""
    generating = [one.name for one in definitions if one.generates]
    scored = [one.name for one in definitions if not one.generates]
    if generating and scored:
        raise InputError(
            f"{name!r} has tasks that generate ({_some(generating)}) and tasks that score given texts"
            f" ({_some(scored)}), which are two kinds of work: name its tasks, or groups of one kind, one by one"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _of_name(name: str, overrides: dict[str, Any], depth: int = 0) -> Iterator[Leaf]:
    found = lm_eval_names().get(name)
    if found is None or depth > 16:
        raise InputError(f"lm-eval has no task {name!r}, which one of its groups names")
    if not found.file:
        for member in found.members:
            yield from _of_name(member, overrides, depth + 1)
        return
    path = tasks_folder() / found.file
    config = read_definition(path)
    if "group" not in config and isinstance(config.get("task"), str):
        yield Leaf(name, path, overrides)
        return
    yield from _members(config.get("task"), path, overrides, depth)


def _members(members: Any, path: Path, overrides: dict[str, Any], depth: int) -> Iterator[Leaf]:
    """A group's tasks: names, names with changed keys, or groups that are written out."""
    given = converted({"task": members}, _Group, path).task or []
    for member in [given] if isinstance(given, str) else given:
        if isinstance(member, str):
            yield from _of_name(member, overrides, depth + 1)
            continue
        named = converted(member, _Group, path)
        if isinstance(named.task, list):
            yield from _members(named.task, path, overrides, depth + 1)
        elif (inner := named.task or named.group) in lm_eval_names():
            assert inner is not None
            changed = {key: value for key, value in member.items() if key not in ("task", "group")}
            if any(isinstance(value, str) and value.startswith(FUNCTION) for value in changed.values()):
                raise InputError(f"{path} changes {inner!r} by a function, which is not supported")
            yield from _of_name(inner, overrides | changed, depth + 1)
        else:
            raise InputError(f"{path} defines {inner!r} inside of a group, which is not supported")


def _of_file(path: Path) -> Iterator[Leaf]:
    config = read_definition(path)
    if "group" in config or not isinstance(config.get("task"), str):
        yield from _members(config.get("task"), path, {}, 0)
    else:
        yield Leaf(config["task"], path, {})


def _task_file(read: _Read, data: Path | None, fewshot: int | None) -> TaskFile:
    (name, path, overrides), definition, code = read
    check_modules(name, imported(code))
    files = _files(definition, path, data, definition.fewshot if fewshot is None else fewshot)
    own = not path.is_relative_to(tasks_folder())
    return TaskFile(
        name=name,
        definition=str(path) if own else path.relative_to(tasks_folder()).as_posix(),
        data_files={split: str(file) for split, file in files.items()},
        overrides=overrides,
        nltk_data=nltk_folder(data, name) if splits_sentences(code) else "",
    )


def _files(definition: Definition, path: Path, data: Path | None, fewshot: int) -> dict[str, Path]:
    """The files of all splits that are needed and of the others that are there; empty: the hub has them."""
    if definition.files:
        return _of_definition(definition, path)
    known = _known_files(definition)
    found: dict[str, Path] = {}
    for split in definition.splits:
        own = split_file(data / definition.name, split) if data else None
        other = known_file(data, known[split]) if data and split in known else None
        if (file := own or other) is not None:
            found[split] = file
    needed = [definition.asked, *([definition.shots] if definition.shots and fewshot else [])]
    lacking = [split for split in needed if split not in found]
    if not lacking:
        return found
    folder = data or Path("BENCH_DATA")
    wanted = str(folder / definition.name / f"{lacking[0]}{ENDINGS[0]}")
    if lacking[0] in known:
        wanted = f"{folder / known[lacking[0]]} (or {wanted})"
    if found:
        raise InputError(f"task {definition.name!r} needs {wanted}, which does not exist")
    if definition.dataset in LOADERS or not definition.dataset:
        raise InputError(f"task {definition.name!r} needs {wanted}: its definition names no data set")
    check_hub(definition.dataset, f"task {definition.name!r} needs {wanted}, which does not exist")
    return {}


def _of_definition(definition: Definition, path: Path) -> dict[str, Path]:
    """Files that the definition itself names; a relative one stands beside it."""
    files = {split: path.parent / Path(str(file)).expanduser() for split, file in definition.files.items()}
    for file in files.values():
        if not file.is_file():
            raise InputError(f"task {definition.name!r} needs {file}, which does not exist")
        if not file.name.endswith(ENDINGS):
            raise InputError(f"task {definition.name!r}: {file} is none of {', '.join(ENDINGS)}")
    return files


def _known_files(definition: Definition) -> dict[str, str]:
    of_set = DATASETS.get((definition.dataset, definition.subset))
    if of_set is None and definition.subset is not None:
        of_set = DATASETS.get((definition.dataset, "*"))
    return {split: path.replace("{subset}", definition.subset or "") for split, path in (of_set or {}).items()}
