"""The names that lm-eval knows, found by looking at the first words of its task files.

lm-eval's own index reads all of 14,000 files as YAML, which takes 20 s. Which file a name stands in can be told
from a few keys at the beginning of lines; what a file says is read only of those that are asked for.
"""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import msgspec

from harness.build.cache import cache_folder, used
from harness.errors import SetupError
from harness.values import Value, digest

REVISION = 1
KEY = re.compile(r"""^["']?(task|group|tag|include)["']?[ \t]*:(.*(?:\n[ \t]*(?:-.*|#.*)?)*)""", re.MULTILINE)
ITEM = re.compile(r"^[ \t]*-[ \t]*(.*)$", re.MULTILINE)


class Found(Value, frozen=True):
    """Where a name is defined."""

    file: str = ""
    """Below lm-eval's tasks folder; empty for a tag."""
    members: tuple[str, ...] = ()
    """Tasks that carry the tag."""


def tasks_folder() -> Path:
    """lm-eval's tasks, found without importing lm-eval.

    Raises:
        SetupError: lm-eval is not installed.
    """
    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("lm-eval is not installed: `pip install lm-eval`")
    return Path(next(iter(spec.submodule_search_locations))) / "tasks"


@lru_cache(maxsize=1)
def lm_eval_names() -> dict[str, Found]:
    """Every task, group and tag of the installed lm-eval; kept in the cache by its version."""
    folder = tasks_folder()
    key = digest([REVISION, version("lm-eval"), str(folder)])[:16]
    path = cache_folder("task-names") / f"{key}.json"
    if path.is_file():
        used(path)
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, Found])
        except msgspec.MsgspecError:
            path.unlink(missing_ok=True)
    names = look_through(folder)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(msgspec.json.encode(names))
    os.replace(part, path)
    return names


def look_through(folder: Path) -> dict[str, Found]:
    """The names in a folder of task files; the first file in order of paths has a name that two define."""
    found: dict[str, Found] = {}
    tags: dict[str, list[str]] = {}
    own_keys: dict[Path, dict[str, list[str]]] = {}
    for path in sorted(folder.rglob("*.yaml"), key=Path.as_posix):
        keys = _keys(path, own_keys)
        names = keys.get("group") or keys.get("task", [])
        if len(names) != 1 or names[0] in found:
            continue
        found[names[0]] = Found(path.relative_to(folder).as_posix())
        if not keys.get("group"):
            for tag in _tags(path, own_keys):
                tags.setdefault(tag, []).append(names[0])
    return found | {tag: Found("", tuple(sorted(of))) for tag, of in tags.items() if tag not in found}


def _keys(path: Path, seen: dict[Path, dict[str, list[str]]]) -> dict[str, list[str]]:
    if path not in seen:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # an include of what is not there
            text = ""
        seen[path] = {key: list(_values(value)) for key, value in KEY.findall(text)}
    return seen[path]


def _values(text: str) -> Iterator[str]:
    first, _, rest = text.partition("\n")
    inline = _bare(first)
    if inline.startswith("["):
        yield from (bare for part in inline.strip("[]").split(",") if (bare := _bare(part)))
    elif inline:
        yield inline
    else:
        yield from (bare for item in ITEM.findall(rest) if (bare := _bare(item)))


def _bare(text: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", text).strip().strip("'\"")


def _tags(path: Path, seen: dict[Path, dict[str, list[str]]], depth: int = 0) -> list[str]:
    """A file's own tags, or those of what it includes."""
    keys = _keys(path, seen)
    if "tag" in keys or depth > 8:
        return keys.get("tag", [])
    return [tag for include in keys.get("include", []) for tag in _tags(path.parent / include, seen, depth + 1)]
