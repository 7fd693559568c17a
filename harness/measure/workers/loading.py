"""lm-eval's tasks over data files that were read and checked here."""

import functools
import json
from collections.abc import Callable, Container
from functools import cached_property
from pathlib import Path
from typing import Any

import lm_eval
from datasets import Dataset, DatasetDict
from jinja2 import TemplateError
from lm_eval import utils
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml
from pyarrow import ArrowException, ArrowInvalid, ArrowTypeError, parquet

from harness.measure.workers.data_files import DataError, read_rows

TASKS_FOLDER = Path(lm_eval.__file__).parent / "tasks"
SPLITS = ("training_split", "validation_split", "test_split")
NOT_OURS = ("include", "tag", "group", "task_list")
"""Keys that say where a task belongs and not what it is."""
FAULTS = (ValueError, TypeError, LookupError, AttributeError, TemplateError)
"""What a document that does not fit its task makes lm-eval raise."""

# lm-eval compiles a template anew for every text that it renders.
utils.env.from_string = functools.lru_cache(maxsize=4096)(utils.env.from_string)


class LocalTask(ConfigurableTask):
    """A task as lm-eval defines it; each document is looked at before it becomes requests."""

    @cached_property
    def eval_docs(self) -> Any:
        """lm-eval processes all documents anew whenever it is asked for them."""
        return super().eval_docs

    def doc_to_text(self, doc: Any, doc_to_text: Any = None) -> Any:
        return self._once("text", super().doc_to_text, doc, doc_to_text)

    def doc_to_choice(self, doc: Any, doc_to_choice: Any = None) -> Any:
        return self._once("choice", super().doc_to_choice, doc, doc_to_choice)

    def doc_to_target(self, doc: Any, doc_to_target: Any = None) -> Any:
        return self._once("target", super().doc_to_target, doc, doc_to_target)

    @cached_property
    def _examples(self) -> frozenset[int]:
        """Few-shot documents, which the sampler keeps, by their identity."""
        return frozenset(id(doc) for doc in self.sampler.fewshot_docs()) if hasattr(self, "sampler") else frozenset()

    def _once(self, what: str, render: Callable[[Any, Any], Any], doc: Any, template: Any) -> Any:
        """lm-eval renders each few-shot example anew for every document that it stands before.

        Code of a task is called each time all the same: it may draw at random.
        """
        used = getattr(self.config, f"doc_to_{what}") if template is None else template
        if id(doc) not in self._examples or not isinstance(used, str):
            return render(doc, template)
        key = what, id(doc), used
        if key not in self._known:
            self._known[key] = render(doc, template)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[str, int, str], Any]:
        return {}

    def construct_requests(self, doc: Any, ctx: Any, **kwargs: Any) -> Any:
        if (why := self.wrong_with(doc)) is not None:
            raise DataError(f"task {self.config.task}: {why}: {shortened(doc)}")
        return super().construct_requests(doc, ctx, **kwargs)

    def wrong_with(self, doc: Any) -> str | None:
        """Why a document has no right answer or no choices to choose from, or None."""
        if self.OUTPUT_TYPE != "multiple_choice":
            return None
        choices = self.doc_to_choice(doc)
        if not choices or not all(isinstance(choice, str) and choice.strip() for choice in choices):
            return "a choice without text"
        gold = self.doc_to_text(doc) if self.multiple_input else self.doc_to_target(doc)
        for one in gold if isinstance(gold, list) and gold else [gold]:
            known = one in choices if isinstance(one, str) else type(one) is int and 0 <= one < len(choices)
            if not known:
                return f"the right answer {one!r} is none of its {len(choices)} choices"
        return None


class GradedTask(LocalTask):
    """A task whose answers are known: prompts are not rendered, since metrics do not look at them."""

    def fewshot_context(self, doc: Any, *_: Any, **__: Any) -> str | list[str]:
        return [""] * len(self.doc_to_choice(doc)) if self.multiple_input else ""


def load_tasks(
    files: list[dict[str, Any]], fewshot: int | None, kind: type[LocalTask] = LocalTask
) -> dict[str, LocalTask]:
    """lm-eval's tasks by name, with their data replaced by the named files where there are any.

    Raises:
        DataError: a data file is damaged or empty, or its first document does not fit the task.
    """
    return {file["name"]: load_task(file, fewshot, kind) for file in files}


def load_task(file: dict[str, Any], fewshot: int | None, kind: type[LocalTask]) -> LocalTask:
    config = task_config(file, fewshot)
    where = next(iter(file["data_files"].values()), config.get("dataset_path"))
    try:
        return kind(config=config)
    except FAULTS as error:
        if isinstance(error, DataError):
            raise
        what = f"{type(error).__name__}: {error}"
        raise DataError(f"task {file['name']}: {where} does not hold this task's questions: {what}") from error


def task_config(file: dict[str, Any], fewshot: int | None) -> dict[str, Any]:
    definition = Path(file["definition"])
    config = load_yaml(definition if definition.is_absolute() else TASKS_FOLDER / definition)
    config = {key: value for key, value in config.items() if key not in NOT_OURS}
    config |= {"task": file["name"], **file["overrides"]}
    if file["data_files"]:
        for split in SPLITS:
            if config.get(split) is not None and config[split] not in file["data_files"]:
                config[split] = None
        # The data is no data set of that name any more.
        config |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": None}
        config["custom_dataset"] = functools.partial(read_splits, files=file["data_files"])
    if fewshot is not None:
        config["num_fewshot"] = fewshot
    elif config.get("num_fewshot") is None:
        config["num_fewshot"] = 0
    if file["data_files"] and not config["num_fewshot"]:
        drop_shots(config, file["data_files"])
    return config


def drop_shots(config: dict[str, Any], splits: Container[str]) -> None:
    """lm-eval opens the split of the few-shot examples also where none are wished; one that is not there is not
    named then."""
    if config.get("fewshot_split") not in splits:
        config["fewshot_split"] = None
    if (own := config.get("fewshot_config")) and own.get("split") not in splits:
        config["fewshot_config"] = {key: value for key, value in own.items() if key != "split"}


def read_splits(*, files: dict[str, str], **_: Any) -> DatasetDict:
    """Every split of a task, in memory."""
    return DatasetDict({split: read_split(Path(path)) for split, path in files.items()})


def read_split(path: Path) -> Dataset:
    if path.suffix == ".parquet":
        return read_table(path)
    rows = read_rows(path)
    columns = dict.fromkeys(column for row in rows for column in row)
    try:
        return Dataset.from_dict({column: [row.get(column) for row in rows] for column in columns})
    except (ArrowInvalid, ArrowTypeError, OverflowError) as error:  # such as text here and a number there
        raise DataError(f"{path}: its documents are not of one form: {error}") from error


def read_table(path: Path) -> Dataset:
    """Not by datasets' own builder, which says of an empty or damaged file only that it could not be made."""
    try:
        table = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if table.num_rows == 0:
        raise DataError(f"{path} holds no documents")
    return Dataset(table)


def shortened(doc: Any) -> str:
    text = json.dumps(doc, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:200]}…"
