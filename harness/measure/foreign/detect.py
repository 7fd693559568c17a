"""Which tool wrote a file: by what is in it, never by its name alone."""

import json
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.measure.foreign import executorch, llama_bench, lm_eval_results, optimum
from harness.measure.foreign.told import Told

MOST_BYTES = 256 << 20
KNOWN = (
    "the result of a bundle (`bench build --bundle`), `llama-bench -o jsonl` or `-o json`, lm-eval's results_….json"
    " with its samples beside, optimum-benchmark's benchmark.json, or a log with ExecuTorch's PyTorchObserver lines"
)
REPORT, CONFIG, BOTH = "benchmark_report.json", "benchmark_config.json", "benchmark.json"


def read_told(path: Path) -> Told:
    """The results in a file, or in a folder that lm-eval or optimum-benchmark wrote.

    Raises:
        InputError: no such file, or nothing in it that is known.
        StoreError: a file of samples is damaged.
    """
    file = _chosen(path)
    text = _text(file)
    whole = _parsed(text)
    if lm_eval_results.is_results(whole):
        return lm_eval_results.read(whole, file)
    if optimum.is_report(whole):
        return optimum.read(whole, file.name)
    if file.name == REPORT and isinstance(whole, dict):
        config = _parsed(_text(file.with_name(CONFIG)))
        return optimum.read({"config": config if isinstance(config, dict) else {}, "report": whole}, file.name)
    entries = _entries(whole, text)
    if entries and all(isinstance(one, dict) and llama_bench.is_entry(one) for one in entries):
        return llama_bench.read(entries, file.name)
    if executorch.holds_lines(text):
        return executorch.read(text, file.name)
    raise InputError(f"{file} holds no results that bench can read; known are {KNOWN}")


def is_archive(path: Path) -> bool:
    """Whether a file is, or calls itself, an archive: a damaged one is no result of another tool."""
    if path.is_dir() or path.suffix in (".tar", ".tgz", ".gz"):
        return not path.is_dir()
    try:
        with open(path, "rb") as file:
            head = file.read(262)
    except OSError:
        return False
    return head[257:] == b"ustar" or head[:2] == b"\x1f\x8b"


def _chosen(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"there is no file {path}")
    for name in (BOTH, REPORT):
        if (path / name).is_file():
            return path / name
    results = sorted(path.rglob("results_*.json"))
    if not results:
        raise InputError(f"{path} holds no results that bench can read; known are {KNOWN}")
    if len(results) > 1:
        names = ", ".join(str(one.relative_to(path)) for one in results[:10])
        raise InputError(f"{path} holds {len(results)} results of lm-eval: say which ({names})")
    return results[0]


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has more than {MOST_BYTES >> 20} MiB: no result is so large")
    try:
        return path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _parsed(text: str) -> Any:
    """None: it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError of its own
        return None


def _entries(whole: Any, text: str) -> list[Any]:
    if isinstance(whole, list):
        return whole
    if isinstance(whole, dict):
        return [whole]
    lines = [line for line in text.splitlines() if line.strip()]
    return [_parsed(line) for line in lines] if lines and lines[0].lstrip().startswith("{") else []
