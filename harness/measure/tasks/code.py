"""What the code of lm-eval's own tasks wants to be there: read, never run."""

import ast
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from harness.errors import InputError
from harness.measure.tasks.names import tasks_folder

OWN = "lm_eval.tasks."
SENTENCES = "punkt_tab"
"""NLTK's data for telling where a sentence ends, as code names it."""


def check_modules(task: str, modules: tuple[str, ...]) -> None:
    """Raises InputError: some of these Python modules are not installed; they are named."""
    if lacking := [module for module in modules if find_spec(module) is None]:
        raise InputError(
            f"task {task!r} needs the Python packages {', '.join(lacking)}: `pip install {' '.join(lacking)}`"
        )


def imported(code: list[Path]) -> tuple[str, ...]:
    """The modules that these files of lm-eval, and those of it that they import, cannot do without."""
    trees = (_imports(file) for file in _with_imported(code))
    names = {name.partition(".")[0] for imports in trees for name in imports}
    return tuple(sorted(names - sys.stdlib_module_names - {"lm_eval"}))


def splits_sentences(code: list[Path]) -> bool:
    """Whether these files of lm-eval, or those of it that they import, ask NLTK where a sentence ends."""
    return any(SENTENCES in file.read_text(encoding="utf-8") for file in _with_imported(code))


def _with_imported(code: list[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    waiting = list(code)
    while waiting:
        file = waiting.pop()
        if file not in found and file.is_relative_to(tasks_folder()) and file.is_file():
            found[file] = None
            own = (name.removeprefix(OWN) for name in _imports(file) if name.startswith(OWN))
            waiting += [tasks_folder() / f"{name.replace('.', '/')}.py" for name in own]
    return list(found)


@lru_cache(maxsize=1024)
def _imports(file: Path) -> tuple[str, ...]:
    """Modules, and what is taken from them, as a file imports them whatever happens: not within `try` or a function."""
    return tuple(_names(ast.parse(file.read_text(encoding="utf-8"))))


def _names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
