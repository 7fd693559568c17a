"""The report as PDF, by the real Chromium."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.config import PROJECT
from harness.errors import SetupError
from harness.render.pdf import find_browser, pdf

pytestmark = pytest.mark.chromium


def test_only_what_is_asked_is_written(tmp_path: Path) -> None:
    call = ["report", "example", "--results", str(PROJECT / "results"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*call, "--format", "pdf", "--format", "json"])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.json", "report.pdf"]
    assert done.output.splitlines() == [str(tmp_path / "out" / name) for name in ("report.json", "report.pdf")]
    body = (tmp_path / "out" / "report.pdf").read_bytes()
    assert body.startswith(b"%PDF-") and body.count(b"/Type /Page\n") + body.count(b"/Type/Page") > 2


def test_without_a_browser_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="apt-get install chromium"):
        find_browser()
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    browser.chmod(0o755)
    with pytest.raises(SetupError, match=r"no PDF \(exit code 3\): broken"):
        pdf("<p>x", find_browser())
