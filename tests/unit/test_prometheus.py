"""Rows as Prometheus' text: every line is one of its format, and every value that of the rows."""

import re

from click.testing import CliRunner

from harness import pipeline
from harness.cli import main
from harness.columns import frame_of
from harness.config import PROJECT
from harness.prometheus_text import as_prometheus

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)')


def samples(text: str) -> dict[tuple[str, str], float]:
    """(name, labels) → value; anything else than a sample or a comment ends the test."""
    found: dict[tuple[str, str], float] = {}
    for line in text.splitlines():
        if not re.match(r"# (HELP|TYPE) [a-z_]", line):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            assert (match[1], match[2]) not in found, line
            found[match[1], match[2]] = float(match[3])
    return found


def test_every_value_and_ratio_of_a_run_once() -> None:
    done = CliRunner().invoke(
        main, ["rows", "example", "--results", str(PROJECT / "results"), "--format", "prometheus"]
    )
    assert done.exit_code == 0
    found = samples(done.output)
    rows = pipeline.analyse(["example"], PROJECT / "results").rows
    values = {(r.variant, r.runtime, r.device, r.workload, r.metric) for r in rows if r.value is not None}
    ratios = [r for r in rows if r.ratio is not None]
    assert len(found) == len(values) + len(ratios)
    place = 'run="example",variant="int8",device="local",metric="size_bytes"'
    size = next(v for (name, labels), v in found.items() if name == "bench_size_bytes" and labels == place)
    assert size == 144811168


def test_hostile_names_stay_in_their_quotes() -> None:
    name = 'a"} 1\nb{c="\\'
    metrics = ["exact_match,strict-match", "exact_match strict\nmatch"]
    columns = {
        "run": [name] * 2,
        "variant": [None] * 2,
        "runtime": ["x"] * 2,
        "device": ["d"] * 2,
        "workload": [""] * 2,
    }
    frame = frame_of({**columns, "metric": metrics, "baseline": [None] * 2, "value": [0.5, 0.6], "ratio": [None] * 2})
    found = samples(as_prometheus(frame).decode())
    (((family, labels), value), ((other, _), second)) = found.items()
    assert family == other == "bench_exact_match_strict_match" and (value, second) == (0.5, 0.6)
    assert 'run="a\\"} 1\\nb{c=\\"\\\\"' in labels and "variant" not in labels


def test_single_trials_are_refused() -> None:
    done = CliRunner().invoke(main, ["rows", "example", "--trials", "--format", "prometheus"])
    assert done.exit_code == 2 and "--trials" in done.output
