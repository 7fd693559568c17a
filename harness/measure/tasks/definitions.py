"""What a task file says, as far as a plan must know it; functions stay names here and are not run."""

from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar

from harness.errors import InputError
from harness.values import Value
from harness.yaml_text import load_yaml

KINDS = ("loglikelihood", "multiple_choice", "loglikelihood_rolling", "generate_until")
DEEPEST = 8


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


def read_definition(path: Path) -> dict[str, Any]:
    """A task or group file with what it includes.

    Raises:
        ConfigError: it is no YAML mapping.
        InputError: includes that go in circles.
    """
    return _read(path, ())


def _read(path: Path, before: tuple[Path, ...]) -> dict[str, Any]:
    if path in before or len(before) > DEEPEST:
        raise InputError(f"{path} includes itself")
    own = _plain(load_yaml(path))
    assert isinstance(own, dict)
    merged: dict[str, Any] = {}
    includes = own.pop("include", None) or []
    for include in [includes] if isinstance(includes, str) else includes:
        merged |= _read((path.parent / include).resolve(), (*before, path))
    return merged | own


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(item) for item in node]
    if isinstance(node, TaggedScalar):
        return f"{node.tag} {node.value}"
    return node


def definition_of(config: dict[str, Any]) -> Definition:
    """A task's definition from its merged keys.

    Raises:
        InputError: the task is of a kind that is not measured here.
    """
    name = str(config.get("task"))
    if (why := _refused(config)) is not None:
        raise InputError(f"task {name!r} is not offered: it {why}")
    splits = {key: config[key] for key in ("test_split", "validation_split", "training_split") if config.get(key)}
    if not splits:
        raise InputError(f"task {name!r} names no split of its data")
    asked = splits.get("test_split") or splits.get("validation_split") or splits["training_split"]
    shots = _shots(config, splits)
    given = (config.get("dataset_kwargs") or {}).get("data_files")
    return Definition(
        name=name,
        dataset=str(config.get("dataset_path") or ""),
        subset=config.get("dataset_name"),
        files=given if isinstance(given, dict) else {asked: given} if isinstance(given, str) else {},
        splits=tuple(dict.fromkeys([*splits.values(), *([shots] if shots else [])])),
        asked=asked,
        shots=shots,
        fewshot=int(config.get("num_fewshot") or 0),
    )


def _refused(config: dict[str, Any]) -> str | None:
    if config.get("unsafe_code"):
        return "runs code that a model wrote, and bench has no place yet where that does no harm"
    if "class" in config:
        return "is a program of its own and no definition"
    if config.get("doc_to_image") or config.get("doc_to_audio"):
        return "asks about images or sounds"
    if config.get("custom_dataset"):
        return "makes its data by a program"
    if (kind := config.get("output_type", "generate_until")) not in KINDS:
        return f"asks for {kind!r}, which is none of {', '.join(KINDS)}"
    return None


def _shots(config: dict[str, Any], splits: dict[str, str]) -> str | None:
    own = config.get("fewshot_config") or {}
    if config.get("fewshot_split") or own.get("split"):
        return str(config.get("fewshot_split") or own.get("split"))
    if own.get("samples"):
        return None
    return splits.get("training_split") or splits.get("validation_split") or splits.get("test_split")
