"""The accuracy tasks that work here, and the files each needs.

lm-eval's own definition is included and only its data source is replaced, so prompt, metric and
version stay lm-eval's. `BENCH_DATA` names the folder of data files; nothing of it is copied.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.errors import InputError, UnknownNameError
from harness.values import Value

OWN_TASK = Path(__file__).with_name("knowledge_200.yaml")
OWN_DATA = Path(__file__).resolve().parent.parent.parent / "data" / "knowledge_200.jsonl"


class TaskSpec(Value, frozen=True, kw_only=True):
    """How one task gets its definition and its data."""

    definition: str
    """File below lm-eval's tasks folder, or an absolute path for a task of our own."""
    files: dict[str, str]
    """Split → file below the data folder."""
    overrides: dict[str, Any] = {}
    needs: tuple[str, ...] = ()
    """Python modules that lm-eval's own code for the task imports."""
    label: str = ""
    """What must be said beside its scores, such as that the local copy is preprocessed."""


class TaskFile(Value, frozen=True, kw_only=True):
    """One lm-eval task with its files found: what the worker gets."""

    name: str
    definition: str
    data_files: dict[str, str]
    """Split → path; empty: from the hub."""
    overrides: dict[str, Any] = {}
    label: str = ""
    chat: bool = False
    """Whether prompts go through the model's chat template where the suite does not say."""


NOT_OFFERED = {"humaneval": "runs code that a model wrote, and bench has no place yet where that does no harm"}
"""Sets that people look for, and why they are no task here."""
TASKS: dict[str, TaskSpec] = {
    "knowledge_200": TaskSpec(definition=str(OWN_TASK), files={"test": str(OWN_DATA)}),
    "mmlu": TaskSpec(
        definition="mmlu/default/mmlu_{part}.yaml",
        files={"test": "mmlu/test/{part}.jsonl.gz", "dev": "mmlu/dev/{part}.jsonl.gz"},
        overrides={"num_fewshot": 5},
    ),
    "arc_easy": TaskSpec(definition="arc/arc_easy.yaml", files={"test": "arc_easy/test.jsonl.gz"}),
    "arc_challenge": TaskSpec(definition="arc/arc_challenge.yaml", files={"test": "arc_challenge/test.jsonl.gz"}),
    "hellaswag": TaskSpec(
        definition="hellaswag/hellaswag.yaml",
        files={"validation": "hellaswag/validation.jsonl.gz"},
        overrides={"process_docs": None, "doc_to_choice": "endings", "doc_to_target": "{{label|int}}"},
        label="local variant: the copy was preprocessed",
    ),
    "winogrande": TaskSpec(
        definition="winogrande/default.yaml", files={"validation": "winogrande/validation.jsonl.gz"}
    ),
    "openbookqa": TaskSpec(definition="openbookqa/openbookqa.yaml", files={"test": "openbookqa/test.jsonl.gz"}),
    "truthfulqa_mc1": TaskSpec(
        definition="truthfulqa/truthfulqa_mc1.yaml",
        files={"validation": "truthfulqa/multiple_choice.jsonl.gz"},
        label="local variant: choices derived from the generation set",
    ),
    "truthfulqa_mc2": TaskSpec(
        definition="truthfulqa/truthfulqa_mc2.yaml",
        files={"validation": "truthfulqa/multiple_choice.jsonl.gz"},
        label="local variant: choices derived from the generation set",
    ),
    "gsm8k": TaskSpec(
        definition="gsm8k/gsm8k.yaml",
        files={"train": "gsm8k/train.jsonl.gz", "test": "gsm8k/test.jsonl.gz"},
    ),
    "ifeval": TaskSpec(
        definition="ifeval/ifeval.yaml",
        files={"train": "ifeval/train.jsonl.gz"},
        needs=("langdetect", "immutabledict", "nltk"),
    ),
    "wikitext": TaskSpec(
        definition="wikitext/wikitext.yaml",
        files={"test": "wikitext2_raw/test_pages.jsonl.gz"},
        label="local variant: blank lines lost",
    ),
}


def resolve_task(name: str, data: Path | None) -> list[TaskFile]:
    """The lm-eval tasks behind a name, with every file found.

    Raises:
        UnknownNameError: no such task.
        InputError: `BENCH_DATA` is not set, or a file is missing; the file is named.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    spec = TASKS[name]
    lacking = [module for module in spec.needs if find_spec(module) is None]
    if lacking:
        raise InputError(
            f"task {name!r} needs the Python packages {', '.join(lacking)}: `pip install {' '.join(lacking)}`"
        )
    if "{part}" not in spec.definition:
        return [_task_file(name, spec, "", data)]
    first = next(iter(spec.files.values()))
    folder = _found(first.split("{part}")[0].rstrip("/"), data, name)
    parts = sorted(path.name.removesuffix(".jsonl.gz") for path in folder.glob("*.jsonl.gz"))
    if not parts:
        raise InputError(f"task {name!r}: no .jsonl.gz file in {folder}")
    return [_task_file(f"{name}_{part}", spec, part, data) for part in parts]


def _task_file(name: str, spec: TaskSpec, part: str, data: Path | None) -> TaskFile:
    files = {split: str(_found(path.replace("{part}", part), data, name)) for split, path in spec.files.items()}
    return TaskFile(
        name=name,
        definition=spec.definition.replace("{part}", part),
        data_files=files,
        overrides=spec.overrides,
        label=spec.label,
    )


def _found(path: str, data: Path | None, task: str) -> Path:
    if Path(path).is_absolute():
        return Path(path)
    if data is None:
        raise InputError(
            f"task {task!r} needs the file {path} in the folder that BENCH_DATA (or --data) names; it is not set"
        )
    found = data / path
    if not found.exists():
        raise InputError(f"task {task!r} needs {found}, which does not exist")
    return found
