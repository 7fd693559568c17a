"""The accuracy tasks: their definitions, and the files each needs.

lm-eval's own definition is used and only its data source is replaced, so prompt, metric and version stay
lm-eval's. `BENCH_DATA` names the folder of data files; nothing of it is copied. A task of the table is known with
its files; any other name of lm-eval works with files of its own name, or from the hub.
"""

import difflib
from pathlib import Path

from harness.errors import InputError
from harness.measure.tasks.by_name import named_files
from harness.measure.tasks.code import check_modules
from harness.measure.tasks.names import lm_eval_names
from harness.measure.tasks.places import found, nltk_folder
from harness.measure.tasks.table import NOT_OFFERED, TASKS, TaskFile, TaskSpec
from harness.values import is_task_file

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
    if "{part}" not in spec.definition:
        return [_task_file(name, spec, "", data, fewshot)]
    first = next(iter(spec.files.values()))
    folder = found(first.split("{part}")[0].rstrip("/"), data, name)
    parts = sorted(path.name.removesuffix(".jsonl.gz") for path in folder.glob("*.jsonl.gz"))
    if not parts:
        raise InputError(f"task {name!r}: no .jsonl.gz file in {folder}")
    return [_task_file(f"{name}_{part}", spec, part, data, fewshot) for part in parts]


def _task_file(name: str, spec: TaskSpec, part: str, data: Path | None, fewshot: int | None) -> TaskFile:
    wanted = spec.files | (spec.shots if fewshot else {})
    files = {split: str(found(path.replace("{part}", part), data, name)) for split, path in wanted.items()}
    return TaskFile(
        name=name,
        definition=spec.definition.replace("{part}", part),
        data_files=files,
        overrides=spec.overrides,
        label=spec.label,
        chat=spec.chat,
        nltk_data=nltk_folder(data, name) if "nltk" in spec.needs else "",
    )
