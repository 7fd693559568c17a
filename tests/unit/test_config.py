"""Suites: what is wrong is said with file, line, path and the known choices."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import PROJECT, Document, find_suite, load_suite
from harness.device_files import load_devices
from harness.errors import BuildError, ConfigError, InputError, UnknownNameError
from harness.measure import ready
from harness.measure.ready import Ready
from harness.pipeline import Wish, known_names, plan, run
from harness.progress import Progress, Silent
from harness.values import Plan, Speed, Suite, Task

QUICK = (PROJECT / "suites" / "quick.yaml").read_text(encoding="utf-8")


def load(tmp_path: Path, text: str | bytes) -> Suite:
    path = tmp_path / "s.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_suite(str(path), known_names(), load_devices())


def line_of(text: str, needle: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if needle in line)


def test_the_shipped_suites_load() -> None:
    for name in ("quick",):
        suite = load_suite(name, known_names(), load_devices())
        assert [v.name for v in suite.variants] == ["bf16", "f16", "int8", "int4-ptq", "spinquant", "qlora"]
        assert suite.baselines == ("bf16", "f16")


WRONG = [
    ("kind: size", "kind: sise", "sise", "did you mean 'size'"),
    ("reference: f16", "reference: f17", "f17", "did you mean 'f16'"),
    ("recipe: f16", "recipe: f61", "f61", "known: bf16, f16, ptq, qlora, random, released, spinquant"),
    ("  llama.cpp:", "  llamacpp:", "llamacpp", "did you mean 'llama.cpp'"),
    ("task: knowledge_200", "task: knowlege_200", "knowlege_200", "did you mean 'knowledge_200'"),
    ("text: text_5000", "text: txt", "txt", "known: text_5000"),
    ("devices: [local]", "devices: [lokal]", "lokal", "did you mean 'local'"),
    ("baselines: [bf16, f16]", "baselines: [bf61, f16]", "bf61", "did you mean 'bf16'"),
    ("repack: true", "repack: 3", "repack: 3", "expected bool"),
    ("    repetitions: 2", "    repititions: 2", "repititions", "did you mean 'repetitions'"),
    ("weights: q4_0", "weihgts: q4_0", "weihgts", "did you mean 'weights'"),
    ("recipe: bf16", "recipe: bf16\n    settings: {x: 1}", "settings: {x", "unknown setting of recipe 'bf16' 'x'"),
    ("    context: 8192", "    context: 0", "context: 0", ">= 1"),
    ("generated_tokens: 64", "generated_tokens: many", "many", "expected whole number"),
    ("generated_tokens: 64", "generated_tokens: 0", "generated_tokens: 0", ">= 1"),
]


@pytest.mark.parametrize(("old", "new", "needle", "said"), WRONG)
def test_a_wrong_suite_is_one_line_with_its_place(tmp_path: Path, old: str, new: str, needle: str, said: str) -> None:
    text = QUICK.replace(old, new, 1)
    assert text != QUICK
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert said in message
    assert f"s.yaml:{line_of(text, needle)}:" in message
    assert "\n" not in message


def test_duplicate_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"s\.yaml:\d+: duplicate key .seed"):
        load(tmp_path, QUICK + "\nseed: 3\n")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"\x7fELF\x02\x01\x00\xff\xfe", "is not UTF-8 text"),
        (b"\x00\x01\x02", "is not YAML text"),
        (b"- a\n- b\n", "must hold a mapping"),
        (b"just words\n", "must hold a mapping"),
        (b"a: [1, 2\nb: 3\n", "expected"),
        (b"a: 1\n\tb: 2\n", "cannot start any token"),
    ],
)
def test_what_is_no_suite_is_refused(tmp_path: Path, body: bytes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, body)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'title' is missing"):
        load(tmp_path, re.sub(r"^title:.*\n", "", QUICK, flags=re.MULTILINE))


def test_extends_merges_and_later_keys_win(tmp_path: Path) -> None:
    suite = load(
        tmp_path,
        "extends: quick\nname: mine\nseed: 7\nvariants:\n  extra:\n    model: smollm2-135m-instruct\n    recipe: bf16\n"
        "measures:\n  - {kind: speed, prompt_tokens: 8, generated_tokens: 2}\n",
    )
    assert (suite.name, suite.seed) == ("mine", 7)
    assert "extra" in [v.name for v in suite.variants] and "int8" in [v.name for v in suite.variants]
    assert [type(m) for m in suite.measures] == [Speed]


def test_a_variant_of_the_other_suite_may_be_left_out(tmp_path: Path) -> None:
    text = "extends: quick\nname: mine\nvariants: {int8: null, extra: {model: smollm2-135m-instruct, recipe: f16}}\n"
    names = [v.name for v in load(tmp_path, text).variants]
    assert "int8" not in names and "extra" in names and "int4-ptq" in names
    with pytest.raises(ConfigError, match=r"variants\.int9"):
        load(tmp_path, "extends: quick\nname: mine\nvariants: {int9: null}\n")
    with pytest.raises(ConfigError, match="baselines"):
        load(tmp_path, "extends: quick\nname: mine\nvariants: {bf16: null}\n")


def test_extends_in_a_circle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    with pytest.raises(ConfigError, match="extends this suite already"):
        load(tmp_path, f"extends: {path}\n")


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'quick'"):
        find_suite("quik")


def test_a_relative_model_path_is_relative_to_the_suite(tmp_path: Path) -> None:
    text = re.sub(r"    source:\n(      .*\n)+", "    source: {from: file, path: m.gguf}\n", QUICK)
    suite = load(tmp_path, text)
    assert suite.variants[0].model.source.path == str(tmp_path / "m.gguf")  # type: ignore[union-attr]


def test_merge_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\n")
    assert Document(path).data["b"] == {"x": 1, "y": 2}


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        load(tmp_path, "a: " + "[" * 5000)


def test_another_kind_of_source_replaces_the_parents(tmp_path: Path) -> None:
    text = "extends: quick\nname: m\nmodels:\n  smollm2-135m-instruct:\n    source: {from: file, path: m.gguf}\n"
    assert load(tmp_path, text).variants[0].model.source.path == str(tmp_path / "m.gguf")  # type: ignore[union-attr]


def test_yaml_1_2_numbers_and_strings(tmp_path: Path) -> None:
    path = tmp_path / "n.yaml"
    path.write_text("a: 1e-4\nb: 12:30\nc: yes\n")
    assert Document(path).data == {"a": 1e-4, "b": "12:30", "c": "yes"}


@given(st.text(max_size=200))
def test_any_text_is_a_suite_or_an_error_for_people(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    try:
        load(tmp_path_factory.mktemp("any"), text.encode("utf-8", "surrogatepass"))
    except InputError as error:
        assert "\n" not in str(error)


# ---------------------------------------------------------------- task files


def test_a_task_file_is_found_from_the_suite_and_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.yaml").write_text("task: mine\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    for written in ("tasks/mine.yaml", "~/tasks/mine.yaml", str(tmp_path / "tasks" / "mine.yaml")):
        suite = load(tmp_path, QUICK.replace("task: knowledge_200", f"task: {written}"))
        (task,) = (m for m in suite.measures if isinstance(m, Task))
        assert (task.task, task.label) == (str(tmp_path / "tasks" / "mine.yaml"), "mine.yaml")
    with pytest.raises(ConfigError, match=f"no task file at {tmp_path}/elsewhere.yaml"):
        load(tmp_path, QUICK.replace("task: knowledge_200", "task: elsewhere.yaml"))
    with pytest.raises(ConfigError, match="has a path of other characters than"):
        (tmp_path / "ü").mkdir()
        load(tmp_path / "ü", QUICK.replace("task: knowledge_200", "task: mine.yaml"))


def test_a_task_file_that_only_a_suite_names_runs_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a plan reads of it is data; `--tasks` names what its user knows."""
    (tmp_path / "a.jsonl").write_text('{"q": 1}\n')
    text = "task: mine\ntest_split: test\ndataset_path: json\ndataset_kwargs: {data_files: {test: a.jsonl}}\n"
    (tmp_path / "mine.yaml").write_text(text)
    suite = tmp_path / "s.yaml"
    suite.write_text("extends: quick\nname: s\nmeasures: [{kind: task, task: mine.yaml}]\n")
    wish = Wish(suite=str(suite))

    def prepared(plan: Plan, progress: Progress) -> Ready:
        raise BuildError("nothing is made here")

    monkeypatch.setattr(ready, "prepare", prepared)
    assert plan(wish, ()).suite.name == "s"
    with pytest.raises(InputError, match=rf"suite 's' names the task file {tmp_path}/mine\.yaml.* --allow-task-code"):
        run(wish, (), tmp_path, Silent())
    for allowed in ({"allow_task_code": True}, {"tasks": (str(tmp_path / "mine.yaml"),)}):
        with pytest.raises(BuildError, match="nothing is made here"):
            run(msgspec.structs.replace(wish, **allowed), (), tmp_path, Silent())


def test_a_task_file_of_the_command_line_is_found_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": 1}\n')
    text = "task: mine\ntest_split: test\ndataset_path: json\ndataset_kwargs: {data_files: {test: a.jsonl}}\n"
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    planned = plan(Wish(suite="quick", tasks=("./mine.yaml",)), ())
    assert [m.task for m in planned.suite.measures if isinstance(m, Task)] == [str(tmp_path / "mine.yaml")]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yaml").write_text(text.replace("a.jsonl", "../a.jsonl"))
    with pytest.raises(InputError, match="two task files of one name"):
        plan(Wish(suite="quick", tasks=("mine.yaml", "deep/mine.yaml")), ())
