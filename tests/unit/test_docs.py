"""The documentation is complete and true: every name is on its page, every link and file it names exists."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.analyse.audit import RULES
from harness.analyse.audit.findings import VERDICTS, Audit, AuditedSource, Finding, ScoreChange
from harness.analyse.findings import PairedItems, Report, Row
from harness.analyse.history.found import Confirmed, Message, NightFound, NotMeasured, Told
from harness.analyse.history.values import Confirmation
from harness.build.recipes import RECIPES
from harness.cli import main
from harness.config import MEASURES, PROJECT, list_suites, load_suite
from harness.data.sources import TEXTS
from harness.device_files import load_devices
from harness.health import Check, Difference, Health, Part, SelfTest
from harness.measure.devices import DEVICES
from harness.measure.runtimes import RUNTIMES
from harness.measure.tasks import TASKS
from harness.metrics import METRICS
from harness.pipeline import known_names
from harness.published import (
    CONDITIONS,
    UNITS,
    Claim,
    ClaimFile,
    Column,
    Original,
    Printed,
    PublishedCondition,
    PublishedDevice,
    PublishedModel,
    PublishedRow,
    PublishedTask,
    Scheme,
    Source,
)
from harness.values import (
    Answers,
    BandwidthSeen,
    CrossChecked,
    Environment,
    Files,
    Hello,
    Loaded,
    MemorySeen,
    Opened,
    Plan,
    ProcessSeen,
    Status,
    Timing,
    TrialRecord,
)

DOCS = PROJECT / "docs"
MADE = frozenset({"results", "reports"})
"""Folders of which only `example/` and a README are committed."""
RENDERED = Path("tests/golden")
"""Pages made by bench, without the plots that belong to them."""
CODE_SPAN = re.compile(r"`([^`\n]+)`")
HARNESS_PATH = re.compile(r"\bharness/[\w./-]*\w/?")


def pages() -> list[Path]:
    """Every Markdown page of the project, generated ones left out."""
    found = []
    for path in sorted(PROJECT.rglob("*.md")):
        parts = path.relative_to(PROJECT).parts
        hidden = any(part.startswith(".") for part in parts)
        foreign = parts[0] in MADE and len(parts) > 2 and parts[1] != "example"
        if not hidden and not foreign and not path.is_relative_to(PROJECT / RENDERED):
            found.append(path)
    return found


PAGES = pages()
page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def names_in(text: str) -> set[str]:
    """Whatever stands in a code span, whole and word by word."""
    spans = CODE_SPAN.findall(text)
    return {*spans, *(word for span in spans for word in re.split(r"[\s,]+", span))}


def section(text: str, heading: str) -> str:
    """The text below a heading, up to the next one of the same level or above."""
    level = heading.split(" ")[0]
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    return found.group(1)


def fields(kind: Any) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def missing(names: Iterable[str], text: str) -> list[str]:
    known = names_in(text)
    return [name for name in names if name not in known]


# ---------------------------------------------------------------- commands


def commands() -> list[tuple[str, click.Command]]:
    assert isinstance(main, click.Group)
    return list(_commands(main, ""))


def _commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_option_is_documented(name: str, command: click.Command) -> None:
    text = section(read("commands.md"), f"## bench {name}")
    options = [opt for param in command.params if isinstance(param, click.Option) for opt in param.opts]
    assert not missing(options, text), f"docs/commands.md, bench {name}"
    for param in command.params:
        if isinstance(param.type, click.Choice):
            assert not missing(map(str, param.type.choices), text), f"docs/commands.md, bench {name}"


def test_no_option_is_documented_that_does_not_exist() -> None:
    for name, command in commands():
        known = {opt for param in command.params for opt in param.opts} | {"--help"}
        spans = CODE_SPAN.findall(section(read("commands.md"), f"## bench {name}"))
        said = {span.split(" ")[0] for span in spans if span.startswith("--")}
        assert said <= known, f"docs/commands.md, bench {name}"


def test_no_command_is_documented_that_does_not_exist() -> None:
    said = set(re.findall(r"^## bench (.+)$", read("commands.md"), re.MULTILINE))
    assert said == {name for name, _ in commands()}


# ---------------------------------------------------------------- names


NAMES: list[tuple[str, Iterable[str], str]] = [
    ("recipe", RECIPES, "adding-a-part.md"),
    ("runtime", RUNTIMES, "adding-a-part.md"),
    ("kind of device", DEVICES, "adding-a-part.md"),
    ("task", TASKS, "method/accuracy.md"),
    ("text", TEXTS, "method/perplexity-and-distance.md"),
    ("status", get_args(Status), "results-format.md"),
    ("kind of measure", MEASURES, "method/README.md"),
    ("kind of measure", MEASURES, "commands.md"),
    ("metric", METRICS, "glossary.md"),
    ("metric", METRICS, "method/README.md"),
]


@pytest.mark.parametrize(("kind", "names", "where"), NAMES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_name_is_documented(kind: str, names: Iterable[str], where: str) -> None:
    assert not missing(names, read(where)), f"each {kind} stands in docs/{where}"


def test_every_suite_is_named_somewhere() -> None:
    everything = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    own = {path.stem for path in (PROJECT / "suites").glob("*.yaml")}
    assert not missing(own & set(list_suites()), everything)


def test_the_glossary_says_of_each_metric_what_the_table_says() -> None:
    text = read("glossary.md")
    for one in METRICS.values():
        row = f"| `{one.name}` | {one.title} | {one.unit or '–'} | {one.better} | {one.kind} |"
        assert row in text, "docs/glossary.md"


def test_each_method_page_is_listed_and_has_all_sections() -> None:
    overview = read("method/README.md")
    for path in sorted((DOCS / "method").glob("*.md")):
        if path.name == "README.md":
            continue
        assert f"({path.name})" in overview, "docs/method/README.md"
        headings = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        wanted = ["Concept", "Biases", "Controls", "Protocol", "Implementation"]
        assert [heading for heading in headings if heading in wanted] == wanted, path.name


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("kind", [Hello, Opened, Loaded, Timing, MemorySeen, BandwidthSeen])
def test_the_protocol_has_every_key_of_an_event(kind: Any) -> None:
    event = kind.__struct_config__.tag
    rows = re.findall(rf"^\| `{event}` \| (.*)$", section(read("runner-protocol.md"), "## Events"), re.MULTILINE)
    assert len(rows) == 1, f"docs/runner-protocol.md has no row of the event {event!r}"
    assert not missing(fields(kind), rows[0]), f"docs/runner-protocol.md, event {event!r}"


@pytest.mark.parametrize(
    "kind", [Plan, TrialRecord, Environment, Files, ProcessSeen, Answers, CrossChecked, Report, Row]
)
def test_the_results_format_has_every_key(kind: Any) -> None:
    assert not missing(fields(kind), read("results-format.md")), f"docs/results-format.md, {kind.__name__}"


@pytest.mark.parametrize("kind", [NightFound, Told, Confirmed, Confirmation, NotMeasured, Message])
def test_the_results_format_has_every_key_of_a_night(kind: Any) -> None:
    assert not missing(fields(kind), section(read("results-format.md"), "## Nights")), kind.__name__


def test_the_results_format_has_every_key_of_a_pair() -> None:
    assert not missing(fields(PairedItems), section(read("results-format.md"), "### Paired items"))


CLAIMED = [
    ClaimFile, Source, PublishedModel, Scheme, PublishedDevice, PublishedCondition, Column, PublishedRow,
    PublishedTask, Claim, Original,
]  # fmt: skip


@pytest.mark.parametrize("kind", CLAIMED)
def test_the_claim_file_has_every_key(kind: Any) -> None:
    keys = [name for name in fields(kind) if (kind, name) != (ClaimFile, "file")]
    assert not missing(keys, section(read("adding-a-part.md"), "## A claim file")), kind.__name__


def test_the_claim_file_has_every_condition_and_unit() -> None:
    assert not missing((*CONDITIONS, *UNITS), section(read("adding-a-part.md"), "## A claim file"))


@pytest.mark.parametrize("kind", [Audit, Finding, ScoreChange, AuditedSource, Printed])
def test_the_audit_has_every_key(kind: Any) -> None:
    assert not missing(fields(kind), section(read("method/claims-audit.md"), "## audit.json")), kind.__name__


@pytest.mark.parametrize("kind", [Health, Part, Check, SelfTest, Difference])
def test_the_examination_has_every_key(kind: Any) -> None:
    assert not missing(fields(kind), section(read("method/doctor.md"), "## JSON")), kind.__name__


def test_every_rule_of_the_audit_is_explained() -> None:
    titles = re.findall(r"^### (.+)$", read("method/claims-audit.md"), re.MULTILINE)
    assert titles == [rule.title for rule in RULES.values()]
    assert not missing((*RULES, *VERDICTS), read("method/claims-audit.md"))


def test_every_claim_file_is_named_somewhere() -> None:
    everything = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert not missing({path.stem for path in (PROJECT / "suites" / "claims").glob("*.yaml")}, everything)


# ---------------------------------------------------------------- links and files


def tokens(path: Path) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def anchors(path: Path) -> set[str]:
    """The anchors that a code host gives to the headings of a page."""
    found, heading = set(), False
    for token in tokens(path):
        if token.type == "inline" and heading:
            words = "".join(child.content for child in token.children or () if child.type in ("text", "code_inline"))
            found.add(re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-"))
        heading = token.type == "heading_open"
    return found


@page
def test_relative_links_lead_somewhere(path: Path) -> None:
    for token in tokens(path):
        link = token.attrs.get("href") or token.attrs.get("src")
        if link is None or re.match(r"[a-z][a-z0-9+.-]*:", str(link)):
            continue
        name, _, anchor = str(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.relative_to(PROJECT)}: no {link}"
        if anchor:
            assert anchor in anchors(target), f"{path.relative_to(PROJECT)}: no {link}"


@page
def test_files_that_pages_name_exist(path: Path) -> None:
    for name in HARNESS_PATH.findall(path.read_text(encoding="utf-8")):
        assert (PROJECT / name).exists(), f"{path.relative_to(PROJECT)} names {name}"


def test_the_tutorials_suite_is_one(tmp_path: Path) -> None:
    text = (PROJECT / "docs" / "tutorial.md").read_text()
    block = re.search(r"^   ```yaml\n(.*?)^   ```$", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    suite = tmp_path / "my-model.yaml"
    suite.write_text("".join(line.removeprefix("   ") for line in block[1].splitlines(keepends=True)))
    found = load_suite(str(suite), known_names(), load_devices())
    assert found.baselines == ("bf16", "f16") and "stand-in" not in found.variants[0].model.label
