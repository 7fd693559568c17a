"""What the commands of nights refuse, and what a night ends with."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.analyse.history.found import NightFound, NotMeasured, Told
from harness.cli import main
from harness.nightly.night import exit_code
from harness.nightly.publishing import summary_of_the_job

TOLD = Told(series="s", since="r", good_run=None, ratio=None, rule="")
FAILED = NotMeasured(cell="c", what="w", device="d", status="failed", reason="r")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nightly --wait 5 --no-wait", "exclude each other"),
        ("nightly --suite nightli", "did you mean 'nightly'?"),
        ("nightly --device lokal", "did you mean 'local'?"),
        ("nightly --webhook NO_SUCH_VARIABLE", "the environment has no variable NO_SUCH_VARIABLE"),
        ("nightly --webhook ftp://example.org", "begins with http:// or https://"),
        ("nightly --history nonsense://bucket", "nonsense://"),
        ("nightly --pairs 2", "--pairs"),
        ("bisect --between a,b", "give both"),
        ("bisect --build make", "give both"),
        ("bisect --runners a,b --between c,d --build make", "exclude each other"),
        ("bisect GOOD BAD --runners a,b", "exclude each other"),
        ("bisect", "no series has got worse"),
        ("bisect --series abc", "0 series begin with 'abc'"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_measured(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words.split(" "))
    assert done.exit_code == 2 and said in done.output.replace("\n", " "), done.output
    assert not [path for path in tmp_path.rglob("*") if path.name == "plan.json"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"watches": (TOLD,)}, 0),
        ({"troubles": ("the webhook is out of reach",)}, 0),
        ({"failures": (FAILED,)}, 1),
        ({"alerts": (TOLD,), "failures": (FAILED,)}, 3),
        ({"missing": ("s",)}, 3),
    ],
)
def test_what_a_night_ends_with(changes: dict[str, object], code: int) -> None:
    assert exit_code(NightFound(run="r", suite="s", devices=("d",), ended="", **changes)) == code  # type: ignore[arg-type]


def test_the_summary_goes_where_the_job_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/tmp/summary.md")
    assert summary_of_the_job() == Path("/tmp/summary.md")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert summary_of_the_job() is None
