"""The accuracy tasks: their definitions, and the files each needs.

lm-eval's own definition is used and only its data source is replaced, so prompt, metric and version stay
lm-eval's. `BENCH_DATA` names the folder of data files; nothing of it is copied. A task of the table is known with
its files; any other name of lm-eval works with files of its own name. Of what no file lies there, the hub is asked.
"""

import difflib
from pathlib import Path

import msgspec

from harness.errors import InputError
from harness.measure.tasks.by_name import named_files
from harness.measure.tasks.code import check_modules
from harness.measure.tasks.definitions import definition_of, read_definition
from harness.measure.tasks.names import lm_eval_names, tasks_folder
from harness.measure.tasks.places import MissingDataError, check_hub, found, known_file, nltk_folder
from harness.measure.tasks.table import NOT_OFFERED, TASKS, TaskFile, TaskSpec
from harness.values import is_task_file

PART = "{part}"
__all__ = ["NOT_OFFERED", "TASKS", "TaskFile", "TaskSpec", "resolve_task", "wrong_task"]


def wrong_task(name: str) -> str | None:
    """Why no task has this name, or None; the nearest known names are in the reason."""
    if name in TASKS:
        return None
    if name in NOT_OFFERED:
        return f"task {name!r} is not offered: it {NOT_OFFERED[name]}"
    if is_task_file(name):
        return None if Path(name).expanduser().is_file() else f"no task file at {name}"
    names = lm_eval_names()
    if name in names:
        return None
    near = [*difflib.get_close_matches(name, TASKS, n=1), *difflib.get_close_matches(name, names, n=2)]
    first, *others = [*dict.fromkeys(near), None]
    hint = f" — did you mean {first!r}?" if first else ""
    hint += "".join(f" {other!r}?" for other in others if other)
    return f"unknown task {name!r}{hint} (known: {', '.join(sorted(TASKS))}, every name of lm-eval, task files)"


def resolve_task(name: str, data: Path | None, fewshot: int | None = None) -> list[TaskFile]:
    """The lm-eval tasks behind a name, with every file found.

    `fewshot`: the number of examples that is wished; None: the task's own.

    Raises:
        InputError: no such task, `BENCH_DATA` is not set, a file is missing (it is named), or the task cannot be
            measured here.
    """
    if name not in TASKS:
        if (why := wrong_task(name)) is not None:
            raise InputError(why)
        return named_files(name, data, fewshot)
    spec = TASKS[name]
    check_modules(name, spec.needs)
    try:
        return _of_folder(name, spec, data, fewshot)
    except MissingDataError as error:
        if Path(spec.definition).is_absolute():  # a task of our own: its data are the user's
            raise
        return _of_hub(name, spec, data, str(error))


def _of_folder(name: str, spec: TaskSpec, data: Path | None, fewshot: int | None) -> list[TaskFile]:
    """From the user's folder, or what the project brings."""
    if PART not in spec.definition:
        return [_task_file(name, spec, "", data, fewshot)]
    folder = found(next(iter(spec.files.values())).split(PART)[0].rstrip("/"), data, name)
    there = {path.name.removesuffix(".gz").removesuffix(".jsonl") for path in folder.glob("*.jsonl*")}
    every = _parts(spec)
    parts = [part for part in every if part in there]
    if not parts:
        raise MissingDataError(
            f"task {name!r}: none of its {len(every)} files, such as {every[0]}.jsonl.gz, in {folder}"
        )
    files = [_task_file(f"{name}_{part}", spec, part, data, fewshot) for part in parts]
    if len(parts) == len(every):
        return files
    some = f"{len(parts)} of {len(every)} parts: no {next(p for p in every if p not in there)}.jsonl.gz"
    return [msgspec.structs.replace(file, label="; ".join(filter(None, (file.label, some)))) for file in files]


def _of_hub(name: str, spec: TaskSpec, data: Path | None, lacks: str) -> list[TaskFile]:
    """lm-eval's own data set, where the user's folder lacks a file."""
    parts = _parts(spec) if PART in spec.definition else [""]
    path = tasks_folder() / spec.definition.replace(PART, parts[0])
    check_hub(definition_of(read_definition(path) | {"task": name}, path).dataset, lacks)
    return [
        TaskFile(
            name=f"{name}_{part}" if part else name,
            definition=spec.definition.replace(PART, part),
            data_files={},
            overrides=spec.protocol,
            chat=spec.chat,
            nltk_data=nltk_folder(data, name) if "nltk" in spec.needs else "",
        )
        for part in parts
    ]


def _parts(spec: TaskSpec) -> list[str]:
    """Of a task with a definition for each part, by those that lm-eval brings."""
    before, after = (tasks_folder() / spec.definition).name.split(PART)
    folder = (tasks_folder() / spec.definition).parent
    return sorted(path.name.removeprefix(before).removesuffix(after) for path in folder.glob(f"{before}*{after}"))


def _task_file(name: str, spec: TaskSpec, part: str, data: Path | None, fewshot: int | None) -> TaskFile:
    wanted = {s: path.replace(PART, part) for s, path in (spec.files | (spec.shots if fewshot else {})).items()}
    try:
        files = {split: str(found(path, data, name)) for split, path in wanted.items()}
    except MissingDataError as error:
        if data is not None and any(known_file(data, path) for path in wanted.values()):
            raise InputError(str(error)) from error  # some of it is there: the hub's would be another copy, unasked
        raise
    return TaskFile(
        name=name,
        definition=spec.definition.replace(PART, part),
        data_files=files,
        overrides=spec.protocol | spec.overrides,
        label=spec.label,
        chat=spec.chat,
        nltk_data=nltk_folder(data, name) if "nltk" in spec.needs else "",
    )
