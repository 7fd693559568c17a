"""Which tasks there are, and where a plan finds their data; nothing of lm-eval is imported."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.errors import ConfigError, InputError
from harness.measure.tasks import NOT_OFFERED, TASKS, code, places, resolve_task, wrong_task
from harness.measure.tasks.code import imported
from harness.measure.tasks.definitions import definition_of, definition_parts, read_definition
from harness.measure.tasks.names import lm_eval_names, look_through, tasks_folder
from harness.measure.tasks.places import SENTENCES
from tests.tasks_data import problem, put, small_data


@pytest.fixture(autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, and nothing kept of it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
    monkeypatch.delenv("NLTK_DATA", raising=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data"))


def test_names_of_lm_eval_are_found_without_its_index() -> None:
    names = lm_eval_names()
    assert {"mmlu", "mmlu_anatomy", "lambada_openai", "gsm8k_cot_zeroshot", "ifeval"} <= set(names)
    assert names["arc_easy"].file == "arc/arc_easy.yaml"
    assert {"arc_easy", "arc_challenge"} <= set(names["ai2_arc"].members) and not names["ai2_arc"].file


def test_every_definition_of_the_table_is_there() -> None:
    for name, spec in TASKS.items():
        assert (tasks_folder() / spec.definition.replace("{part}", "anatomy")).is_file(), name


def test_tags_come_from_the_file_or_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "_base").write_text("tag:\n  - family  # all of them\ntest_split: test\n")
    (tmp_path / "a.yaml").write_text('"include": _base\n"task": "one"\n')
    (tmp_path / "b.yaml").write_text("include: _base\ntask: two\ntag: [own, 'other']\n")
    (tmp_path / "c.yaml").write_text("group: all\ntask:\n  - one\n  - two\n")
    (tmp_path / "d.yaml").write_text("task: one\n")
    found = look_through(tmp_path)
    assert {name: entry.file for name, entry in found.items() if entry.file} == {
        "one": "a.yaml",
        "two": "b.yaml",
        "all": "c.yaml",
    }
    assert {name: entry.members for name, entry in found.items() if entry.members} == {
        "family": ("one",),
        "own": ("two",),
        "other": ("two",),
    }


@pytest.mark.parametrize(
    ("name", "dataset", "count", "more"),
    [
        ("mmlu", "cais/mmlu", 57, {"num_fewshot": 5}),
        ("mmlu_llama", "hails/mmlu_no_train", 57, {}),
        ("hellaswag", "Rowan/hellaswag", 1, {}),
        ("gsm8k_llama", "openai/gsm8k", 1, {}),
    ],
)
def test_what_the_folder_lacks_comes_from_the_hub_as_lm_eval_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dataset: str, count: int, more: dict[str, int]
) -> None:
    with pytest.raises(InputError, match=f"needs .*; the hub was not asked for {dataset}, since HF_HUB_OFFLINE is set"):
        resolve_task(name, tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(places, "_hub_answers", lambda: False)
    with pytest.raises(InputError, match=f"the hub, which has {dataset}, was not reached"):
        resolve_task(name, None)
    monkeypatch.setattr(places, "_hub_answers", lambda: True)
    found = resolve_task(name, None)
    assert len(found) == count and len({one.name for one in found}) == count
    assert all(one.overrides == more and not one.data_files and not one.label for one in found)
    assert all(one.chat == name.endswith("_llama") for one in found)


def test_our_own_tasks_are_never_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(places, "_hub_answers", lambda: True)
    with pytest.raises(InputError, match=r"needs the file tldr9/test.jsonl.gz in the folder that BENCH_DATA"):
        resolve_task("tldr9", None)


def test_a_part_of_mmlu_says_so_and_may_lie_uncompressed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = resolve_task("mmlu", data)
    assert {one.label for one in some} == {f"{len(some)} of 57 parts: no abstract_algebra.jsonl.gz"}
    for split in ("test", "dev"):
        (tmp_path / "mmlu" / split).mkdir(parents=True)
        for part in ("anatomy", "virology"):
            (tmp_path / "mmlu" / split / f"{part}.jsonl").write_text("{}\n")
    assert [one.name for one in resolve_task("mmlu", tmp_path)] == ["mmlu_anatomy", "mmlu_virology"]
    (tmp_path / "mmlu" / "dev" / "virology.jsonl").unlink()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(places, "_hub_answers", lambda: True)  # asked only where nothing of it lies in the folder
    with pytest.raises(InputError, match=r"mmlu/dev/virology.jsonl.gz, which does not exist"):
        resolve_task("mmlu", tmp_path)
    whole = [path.stem.removeprefix("mmlu_") for path in (tasks_folder() / "mmlu" / "default").glob("mmlu_*.yaml")]
    for split in ("test", "dev"):
        for part in whole:
            (tmp_path / "mmlu" / split / f"{part}.jsonl").write_text("{}\n")
    assert [one.label for one in resolve_task("mmlu", tmp_path)] == [""] * 57


def test_an_unknown_name_gets_the_nearest() -> None:
    assert "did you mean 'hellaswag'?" in (wrong_task("helaswag") or "")
    assert "'lambada_openai'" in (wrong_task("lambada_openay") or "")
    with pytest.raises(InputError, match="unknown task 'mmul'"):
        resolve_task("mmul", None)
    assert wrong_task("lambada_openai") is None and wrong_task("mmlu") is None


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_tasks_that_run_what_a_model_wrote_are_refused(name: str) -> None:
    assert "runs code that a model wrote" in (wrong_task(name) or "")


def test_so_are_those_that_only_say_so_in_their_definition(data: Path) -> None:
    with pytest.raises(InputError, match="'humaneval_plus' is not offered: it runs code"):
        resolve_task("humaneval_plus", data)


def test_files_of_the_table_serve_other_tasks_of_the_same_set(data: Path) -> None:
    (task,) = resolve_task("gsm8k_cot_zeroshot", data)
    assert task.data_files["test"] == str(data / "gsm8k/test.jsonl.gz")
    names = [task.name for task in resolve_task("mmlu_llama", data)]
    assert names == ["mmlu_llama_anatomy", "mmlu_llama_virology"]


def test_a_group_is_all_of_its_tasks(tmp_path: Path) -> None:
    for name in ("arc_easy", "arc_challenge"):
        put(tmp_path, f"{name}/test.jsonl", [problem(1)])
    assert {task.name for task in resolve_task("ai2_arc", tmp_path)} == {"arc_easy", "arc_challenge"}


def test_a_group_that_generates_and_scores_is_refused_before_its_data_are_looked_for(tmp_path: Path) -> None:
    said = r"generate \(gsm8k_cot, gsm8k\) and tasks that score .* \(arc_easy, arc_challenge and 1 more\)"
    (tmp_path / "mine.yaml").write_text(
        "group: all\ntask:\n  - task: [arc_easy, arc_challenge, wikitext]\n  - gsm8k_cot\n  - gsm8k\n"
    )
    with pytest.raises(InputError, match=f"{said}.*one by one"):
        resolve_task(str(tmp_path / "mine.yaml"), tmp_path)
    with pytest.raises(InputError, match=r"'leaderboard' has .*score given texts \(leaderboard_mmlu_pro, "):
        resolve_task("leaderboard", tmp_path)


@pytest.mark.parametrize("ending", [".jsonl.gz", ".jsonl", ".json"])
def test_any_task_finds_its_splits_in_a_folder_of_its_name(tmp_path: Path, ending: str) -> None:
    put(tmp_path, f"lambada_openai/test{ending}", [{"text": "a b"}])
    (task,) = resolve_task("lambada_openai", tmp_path)
    assert task.data_files == {"test": str(tmp_path / f"lambada_openai/test{ending}")}


def test_without_data_the_plan_names_the_file_and_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = f"{tmp_path}/lambada_openai/test.jsonl.gz, which does not exist"
    with pytest.raises(InputError, match=f"{wanted}; the hub was not asked for .*, since HF_HUB_OFFLINE is set"):
        resolve_task("lambada_openai", tmp_path)
    kept = tmp_path / "home" / "datasets" / "EleutherAI___lambada_openai"
    kept.mkdir(parents=True)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    (task,) = resolve_task("lambada_openai", tmp_path)
    assert task.data_files == {}


def test_few_shot_examples_need_their_own_split(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"arc_challenge/train\.jsonl\.gz, which does not exist"):
        resolve_task("arc_challenge", data, fewshot=5)
    assert resolve_task("arc_challenge", data)
    put(tmp_path, "gsm8k/test.jsonl.gz", [problem(1)])
    with pytest.raises(InputError, match=r"gsm8k/train\.jsonl\.gz"):
        resolve_task("gsm8k", tmp_path)


def test_a_task_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("task: mine\ndataset_path: json\ntest_split: test\noutput_type: multiple_choice\n")
    with pytest.raises(InputError, match="its definition names no data set"):
        resolve_task(str(path), tmp_path)
    put(tmp_path, "mine/test.jsonl", [{"q": 1}])
    (task,) = resolve_task(str(path), tmp_path)
    assert (task.name, task.definition) == ("mine", str(path))
    assert "no task file" in (wrong_task(str(tmp_path / "other.yaml")) or "")
    path.write_text("task: mine\ndataset_path: json\ntest_split: test\ndataset_kwargs: {data_files: {test: t.csv}}\n")
    with pytest.raises(InputError, match=r"t\.csv, which does not exist"):
        resolve_task(str(path), tmp_path)


SOUND = "task: mine\ndataset_path: json\ntest_split: test\n"
WRONG = [
    ("include: 3", "include: expected"),
    ("include: [3]", "include[0]: expected text, got whole number"),
    ("dataset_kwargs: x", "dataset_kwargs: expected"),
    ("dataset_kwargs: {data_files: 3}", "dataset_kwargs.data_files: expected"),
    ("dataset_kwargs: {data_files: {test: [a.json, b.json]}}", "data_files.test: 2 files for one split"),
    ("dataset_kwargs: {data_files: []}\noutput_type: loglikelihood", "needs"),
    ("num_fewshot: five", "num_fewshot: expected"),
    ("fewshot_config: [1]", "fewshot_config: expected"),
    ("validation_split: [a]", "validation_split: expected"),
    ("output_type: [a]", "is none of loglikelihood"),
]


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line for line, _ in WRONG])
def test_a_wrong_task_file_is_said_with_its_name(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{SOUND}{line}\n")
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        resolve_task(str(path), tmp_path)
    assert "mine" in str(caught.value)


def test_aliases_of_aliases_are_nested_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    chain = "".join(f"x{n}: &x{n} [*x{n - 1}]\n" for n in range(1, 2000))
    path.write_text(f"{SOUND}x0: &x0 [1]\n{chain}")
    with pytest.raises(ConfigError, match=r"mine\.yaml: is nested too deeply"):
        resolve_task(str(path), tmp_path)


@pytest.mark.parametrize("member", ["3", "[3]", "[{task: 3}]", "[{task: {a: b}}]", "{a: b}", "[[arc_easy]]"])
def test_a_wrong_member_of_a_group_is_said_with_its_file(tmp_path: Path, member: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"group: all\ntask: {member}\n")
    with pytest.raises(InputError, match=f"{path}: .*expected"):
        resolve_task(str(path), tmp_path)


def test_one_file_of_a_list_is_that_file(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", [{"q": 1}])
    (tmp_path / "mine.yaml").write_text(f"{SOUND}dataset_kwargs: {{data_files: {{test: [a.jsonl]}}}}\n")
    (task,) = resolve_task(str(tmp_path / "mine.yaml"), None)
    assert task.data_files == {"test": str(tmp_path / "a.jsonl")}


def test_a_task_file_is_made_of_what_it_includes_and_of_the_code_beside(tmp_path: Path) -> None:
    for place, text in {
        "own/mine.yaml": "include: ../base/base.yaml\ntask: mine\ndoc_to_text: !function deep.inner.text\n",
        "own/code.py": "",
        "own/deep/inner.py": "",
        "base/base.yaml": "test_split: test\nprocess_docs: !function utils.docs\n",
        "base/utils.py": "",
        "other/not.py": "",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    found = [path.relative_to(tmp_path).as_posix() for path in definition_parts(tmp_path / "own" / "mine.yaml")]
    assert found[:2] == ["own/mine.yaml", "base/base.yaml"]
    assert sorted(found[2:]) == ["base/utils.py", "own/code.py", "own/deep/inner.py"]


def test_one_in_56_definitions_of_lm_eval_can_be_read() -> None:
    """None has a key of another form than a plan expects; to read all of them takes minutes."""
    names = lm_eval_names()
    refused = []
    for name in list(names)[::56]:
        if not names[name].file:
            continue
        path = tasks_folder() / names[name].file
        config = read_definition(path)
        if "group" in config or not isinstance(config.get("task"), str):
            continue
        try:
            definition_of(config, path)
        except ConfigError as error:
            refused.append(str(error))
        except InputError:  # not offered
            pass
    assert not refused


@pytest.mark.parametrize("name", ["ifeval", "leaderboard_ifeval"])
def test_ifeval_names_the_folder_it_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for split in ("train", "test"):
        put(tmp_path, f"{name}/{split}.jsonl.gz", [{"prompt": "p"}])
    with pytest.raises(InputError, match=f"{tmp_path}/nltk_data/{SENTENCES}"):
        resolve_task(name, tmp_path)
    (tmp_path / "nltk_data" / SENTENCES).mkdir(parents=True)
    assert resolve_task(name, tmp_path)[0].nltk_data == str(tmp_path / "nltk_data")


@pytest.mark.parametrize("name", ["ifeval", "leaderboard_ifeval"])
def test_a_module_that_a_tasks_code_imports_is_missed_by_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(code, "find_spec", lambda module: None if module == "langdetect" else find_spec(module))
    put(tmp_path, f"{name}/train.jsonl.gz", [{"prompt": "p"}])
    with pytest.raises(InputError, match=f"task '{name}' needs the Python packages langdetect"):
        resolve_task(name, tmp_path)


def test_what_code_may_do_without_is_not_asked_for() -> None:
    folder = tasks_folder()
    assert imported([folder / "leaderboard/ifeval/utils.py"]) == ("immutabledict", "langdetect", "nltk", "packaging")
    assert "evaluate" not in imported([folder / "meqsum/utils.py"])
    assert imported([Path(__file__)]) == ()  # a user's own code may find its modules elsewhere
