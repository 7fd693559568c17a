"""The schemas fit every file that is shipped, and refuse what bench refuses."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.analyse.compare import analyse
from harness.config import PROJECT, Document, load_suite
from harness.device_files import load_devices
from harness.errors import ConfigError, UnknownNameError
from harness.pipeline import known_names
from harness.reading_commands import SCHEMAS
from harness.schema import KINDS, schema_of
from harness.store import encode, read_lines, read_run
from tests.schemas import errors

SUITES = sorted((PROJECT / "suites").glob("*.yaml"))
CLAIMS = sorted((PROJECT / "suites" / "claims").glob("*.yaml"))
RUNS = [PROJECT / "results" / name for name in ("example", "llama32-1b-shape")]


def schema(kind: str) -> dict[str, Any]:
    """As it is printed."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(schema_of(kind, known_names())))
    return found


def wrong(kind: str, value: Any) -> list[str]:
    return list(errors(value, schema(kind)))


def test_the_command_knows_every_kind() -> None:
    assert set(SCHEMAS) == set(KINDS)
    with pytest.raises(UnknownNameError, match="did you mean 'suite'"):
        schema_of("suit", known_names())


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_says_its_dialect_and_every_reference_leads_somewhere(kind: str) -> None:
    found = schema(kind)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    text = json.dumps(found)
    assert '"discriminator"' not in text
    for name in {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}:
        assert name in found["$defs"]


@pytest.mark.parametrize("path", SUITES, ids=lambda p: p.stem)
def test_every_suite_fits(path: Path) -> None:
    assert not wrong("suite", Document(path).data)


@pytest.mark.parametrize("path", CLAIMS, ids=lambda p: p.stem)
def test_every_claim_file_fits(path: Path) -> None:
    assert not wrong("claims", Document(path).data)


def test_the_devices_fit() -> None:
    assert not wrong("devices", Document(PROJECT / "devices.yaml").data)


@pytest.mark.parametrize("run", RUNS, ids=lambda p: p.name)
def test_the_committed_runs_fit(run: Path) -> None:
    assert not wrong("plan", json.loads((run / "plan.json").read_bytes()))
    of_record = schema("record")
    for line in read_lines(run / "records.jsonl"):
        assert not list(errors(line, of_record))


@pytest.mark.parametrize("run", RUNS, ids=lambda p: p.name)
def test_their_reports_fit(run: Path) -> None:
    assert not wrong("report", json.loads(encode(analyse([read_run(run)]))))


def test_the_golden_report_fits() -> None:
    assert not wrong("report", json.loads((PROJECT / "tests" / "golden" / "report.json").read_bytes()))


EXTENDING = """\
extends: quick
name: extending
title: One key of a variant, one of a runtime
variants:
  int8: {scheme: said otherwise}
  int4-ptq: null
models:
  smollm2-135m-instruct: {source: {member: other.gguf}}
runtimes:
  llama.cpp: {batch: 512}
"""
WRONG = {
    "unknown key": "extends: quick\nname: s\ntitle: t\nnonsense: 1\n",
    "unknown key of a measure": "extends: quick\nname: s\ntitle: t\nmeasures: [{kind: size, rounds: 3}]\n",
    "incomplete measure": "extends: quick\nname: s\ntitle: t\nmeasures: [{kind: speed, prompt_tokens: 3}]\n",
    "wrong type": "extends: quick\nname: s\ntitle: t\nseed: often\n",
    "wrong choice": "extends: quick\nname: s\ntitle: t\nruntimes: {llama.cpp: {kv_type: f8}}\n",
    "unknown recipe": "extends: quick\nname: s\ntitle: t\nvariants: {int8: {recipe: ptqq}}\n",
    "unknown runtime": "extends: quick\nname: s\ntitle: t\nruntimes: {llama: {}}\n",
    "impossible task": "extends: quick\nname: s\ntitle: t\nmeasures: [{kind: task, task: 'm:%'}]\n",
    "no models": "name: s\ntitle: t\nvariants: {}\nbaselines: []\nruntimes: {}\nmeasures: []\n",
    "too small": "extends: quick\nname: s\ntitle: t\nmeasures: [{kind: bandwidth, rounds: 0}]\n",
}


def test_a_suite_that_extends_another_may_say_parts_only(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(EXTENDING)
    assert not wrong("suite", Document(path).data)
    load_suite(str(path), known_names(), load_devices())


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_bench_refuses_the_schema_refuses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_suite(str(path), known_names(), load_devices())
    assert wrong("suite", Document(path).data)


def test_a_variant_of_a_complete_suite_needs_its_recipe() -> None:
    data = Document(PROJECT / "suites" / "quick.yaml").data
    del data["variants"]["int8"]["recipe"]
    assert wrong("suite", data) == ["$.variants.int8: 'recipe' is missing"]


def test_a_claim_file_does_not_say_its_own_file_name() -> None:
    data = {**Document(CLAIMS[0]).data, "file": "x.yaml"}
    assert wrong("claims", data) == ["$: 'file' is not known"]
