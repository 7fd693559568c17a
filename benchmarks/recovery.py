"""What recipes win back of what rounding loses: `BENCH_DATA=FOLDER python benchmarks/recovery.py --suite FILE`.

Variants of the suite are made, or taken from the store, as checkpoints and as GGUF files. Each is asked for its
distributions over the beginnings of WikiText-2's test pages, which no recipe has seen, and their KL divergence to the
16-bit weights is taken, page by page. Recovery is the share of the control's divergence that a variant has not,
with an interval over pages (paired bootstrap, 10,000 draws).
"""

import argparse
import gzip
import json
import os
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import numpy as np

from harness.build.artifacts import Workshop
from harness.build.compressed import read_manifest
from harness.build.recipes import compression_of
from harness.config import load_suite
from harness.device_files import load_devices
from harness.errors import BuildError
from harness.measure.devices import open_device
from harness.measure.events import parse_events
from harness.measure.inputs import Preparation
from harness.measure.jobs import Inputs
from harness.measure.overlap import shared_words
from harness.measure.runtimes import load_runtime
from harness.pipeline import known_names
from harness.store import read_lines
from harness.terminal import TerminalProgress
from harness.values import Artifact, Cell, Runtime, Suite, Text, Variant

PAGES = "wikitext2_raw/test_pages.jsonl.gz"
Distances = dict[str, "np.ndarray[Any, Any]"]


class Asker:
    """One runtime that is asked for distances to a reference."""

    def __init__(self, runtime: str, suite: Suite, workshop: Workshop, size: int) -> None:
        self.suite, self.workshop, self.size = suite, workshop, size
        self.runtime, self.device = load_runtime(runtime), open_device(suite.devices[0])
        self.runner = self.runtime.program(workshop.progress)
        self.facts = self.device.facts()
        self.settings = self.runtime.resolved(Runtime(name=runtime), self.facts)
        self.preparation = Preparation(self.device, self.runner, workshop, suite, workshop.progress, runtime)

    def requests(self, pages: list[str], artifact: Artifact) -> list[dict[str, Any]]:
        tokens = self.preparation.tokenize(artifact, pages)
        heads = [one[: self.size] for one in tokens if len(one) > self.size]
        places = list(range(self.size - 1))
        rows = iter(range(len(heads) * len(places)))
        return [
            {"id": i, "tokens": head, "positions": places, "rows": [next(rows) for _ in places]}
            for i, head in enumerate(heads)
        ]

    def reference(self, variant: Variant, lines: list[dict[str, Any]], target: Path) -> None:
        artifact = self.workshop.ensure(variant, self.runtime.FORMAT)
        with tempfile.TemporaryDirectory() as folder:
            inputs = Inputs(program=self.runner.path, model=artifact.path, requests=self._written(lines, folder))
            job = self.runtime.reference_job(self._cell(variant), inputs, str(target), self.size, self.facts)
            self.preparation.run(job, Path(folder, "work"), "reference")

    def distances(self, variant: Variant, lines: list[dict[str, Any]], reference: Path) -> Distances:
        """Means of each page: KL in nats, agreement of the first token, log-probability of the next token."""
        artifact = self.workshop.ensure(variant, self.runtime.FORMAT)
        with tempfile.TemporaryDirectory() as folder:
            answers = Path(folder, "answers.jsonl")
            inputs = Inputs(
                program=self.runner.path,
                model=artifact.path,
                adaptor=artifact.adaptor,
                requests=self._written(lines, folder),
                answers=str(answers),
                reference=str(reference),
                timeout_s=6 * 3600,
            )
            outcome = self.device.run(self.runtime.job(self._cell(variant), inputs, self.facts), Path(folder, "work"))
            parsed = parse_events(outcome.events)
            assert parsed.done, parsed.error or outcome.stderr_tail
            found = sorted(read_lines(answers), key=lambda line: line["id"])
        return {key: np.array([fmean(line[key]) for line in found]) for key in ("kl", "top1", "logprob")}

    def _written(self, lines: list[dict[str, Any]], folder: str) -> str:
        Path(folder, "work").mkdir(exist_ok=True)
        path = Path(folder, "requests.jsonl")
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        return str(path)

    def _cell(self, variant: Variant) -> Cell:
        load = Text(text="text_5000", window=self.size)
        return Cell(key="0" * 16, variant=variant.name, runtime=self.settings, device="local", workload=load)


def recovery(control: Distances, other: Distances) -> tuple[float, float, float]:
    """1 − KL / KL of the control, with a 95 % interval over pages."""
    draws = np.random.default_rng(1).integers(0, len(control["kl"]), (10_000, len(control["kl"])))
    shares = 1 - other["kl"][draws].mean(1) / control["kl"][draws].mean(1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return 1 - other["kl"].mean() / control["kl"].mean(), float(low), float(high)


def show(asker: Asker, variants: list[Variant], base: Variant, control: str, pages: list[str], folder: Path) -> None:
    lines = asker.requests(pages, asker.workshop.ensure(base, asker.runtime.FORMAT))
    reference = folder / f"{asker.settings.name}.reference"
    asker.reference(base, lines, reference)
    print(f"\n{asker.settings.name}: {len(lines)} pages of {asker.size} tokens")
    print("| variant | KL | top-1 agreement | perplexity | recovery of KL |\n| --- | --: | --: | --: | --: |")
    found: dict[str, Distances] = {}
    for variant in sorted(variants, key=lambda v: v.name != control):
        try:
            one = found[variant.name] = asker.distances(variant, lines, reference)
        except BuildError as error:
            print(f"| {variant.name} | {error} |")
            continue
        share, low, high = recovery(found[control], one)
        print(
            f"| {variant.name} | {one['kl'].mean():.4f} | {one['top1'].mean():.3f} |"
            f" {np.exp(-one['logprob'].mean()):.2f} | {share:.1%} ({low:.1%} to {high:.1%}) |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--variants", nargs="*")
    parser.add_argument("--control", default="ptq")
    parser.add_argument("--pages", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--runtimes", nargs="*", default=["hf", "llama.cpp"])
    options = parser.parse_args()
    suite = load_suite(options.suite, known_names(), load_devices())
    by_name = {variant.name: variant for variant in suite.variants}
    base = by_name[suite.baselines[0]]
    names = options.variants or [name for name, v in by_name.items() if compression_of(v) is not None]
    chosen = [by_name[name] for name in dict.fromkeys((options.control, *names))]
    with gzip.open(Path(os.environ["BENCH_DATA"], PAGES), "rt", encoding="utf-8") as file:
        pages = [next(iter(json.loads(line).values())) for line in file][: 2 * options.pages]
    workshop = Workshop(None, TerminalProgress())
    for variant in chosen:
        manifest = read_manifest(workshop.checkpoint(variant))
        peak = (manifest.peak_rss_bytes or 0) / 1e6
        if (text := workshop.learned_text(variant)) and (shared := shared_words(text, pages)):
            raise SystemExit(f"{variant.name} learned from {text}, which holds parts of the pages: “{shared[0]}”")
        print(f"{variant.name}: made in {manifest.wall_s:,.0f} s, peak {peak:,.0f} MB, {manifest.settings}")
    with tempfile.TemporaryDirectory() as folder:
        for runtime in options.runtimes:
            asker = Asker(runtime, suite, workshop, options.tokens)
            show(asker, chosen, base, options.control, pages[: options.pages], Path(folder))


if __name__ == "__main__":
    main()
