"""Spoiled files through the real readers: `python benchmarks/mutations.py --count 10000 --gguf 2000 --native 300`.

Each outcome must be a value or one line for people. Anything else (a traceback, more than 10 s, more than
1 GiB, a dead process) is printed with the number that makes it again: `--only NUMBER`.
"""

import argparse
import gzip
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.mutate import JSON, YAML, gguf_pieces, spoiled_gguf  # noqa: E402
from harness.analyse.audit import audit  # noqa: E402
from harness.analyse.compare import analyse  # noqa: E402
from harness.analyse.items import read_graded  # noqa: E402
from harness.build.cache import cache_folder  # noqa: E402
from harness.build.gguf_files import read_facts, write_16bit  # noqa: E402
from harness.build.runners.llama_cpp_build import runner_hash  # noqa: E402
from harness.claim_files import load_claims  # noqa: E402
from harness.config import load_suite  # noqa: E402
from harness.device_files import load_devices  # noqa: E402
from harness.errors import BenchError  # noqa: E402
from harness.measure.plan import make_plan  # noqa: E402
from harness.pipeline import known_names  # noqa: E402
from harness.progress import Silent  # noqa: E402
from harness.store import encode, read_run  # noqa: E402
from harness.values import Answers  # noqa: E402

LONGEST_S, MOST_BYTES = 10, 1 << 30
EXAMPLE = ROOT / "results" / "example"
ANALYSED = 25
"""Every so manieth run that still reads is analysed as for a report."""


class Hang(BaseException):
    """Not one that a reader could take for an error of its file."""


# ---------------------------------------------------------------- what is read


def read_suite(path: Path, _: int) -> None:
    suite = load_suite(str(path), known_names(), load_devices(ROOT / "devices.yaml"))
    encode(make_plan(suite, facts(), ()))


@cache
def facts() -> dict[str, Any]:
    return read_run(EXAMPLE).plan.facts


def read_devices(path: Path, _: int) -> None:
    load_devices(path)


def read_claims(path: Path, _: int) -> None:
    encode(audit(load_claims(str(path))))


def read_example(path: Path, case: int) -> None:
    run = read_run(path.parent)
    for record in run.records:
        for answers in record.observations:
            if isinstance(answers, Answers):
                read_graded(path.parent, answers)
    if case % ANALYSED == 0:
        encode(analyse([run]))


def read_model(path: Path, _: int) -> None:
    read_facts(path)
    with Silent().bar("") as bar:
        write_16bit(path, path.with_name("copy.gguf"), "f16", "copy", bar)


Read = Callable[[Path, int], None]


def sources() -> dict[str, tuple[Read, list[Path]]]:
    return {
        "suite": (read_suite, sorted((ROOT / "suites").glob("*.yaml"))),
        "devices": (read_devices, [ROOT / "devices.yaml"]),
        "claims": (read_claims, sorted((ROOT / "suites" / "claims").glob("*.yaml"))),
        "plan": (read_example, [EXAMPLE / "plan.json"]),
        "records": (read_example, [EXAMPLE / "records.jsonl"]),
        "items": (read_example, sorted((EXAMPLE / "items").iterdir())),
    }


# ---------------------------------------------------------------- one case


def make(case: int, seed: int, count: int, folder: Path) -> tuple[str, str, Path, Read]:
    """The file of a case: what it is, how it was spoiled, where it lies, and who reads it."""
    draw = random.Random(f"{seed}:{case}")
    if case >= count:
        how, body = spoiled_gguf(gguf_pieces(), draw)
        path = folder / "model.gguf"
        path.write_bytes(body)
        return "gguf", how, path, read_model
    table = sources()
    what = draw.choices(list(table), (3, 1, 3, 1, 3, 1))[0]
    read, files = table[what]
    source = draw.choice(files)
    how, mutate = draw.choice(list((YAML if source.suffix == ".yaml" else JSON).items()))
    body = source.read_bytes()
    packed = source.suffix == ".gz" and (draw.random() < 0.8 or how == "leaf")
    body = mutate(gzip.decompress(body) if packed else body, draw)
    body = gzip.compress(body, 1, mtime=0) if packed else body
    if read is not read_example:
        path = folder / source.name
        path.write_bytes(body)
        return what, how, path, read
    path = lay_out(folder / "run", source, body)
    return what, how, path, read


def lay_out(run: Path, source: Path, body: bytes) -> Path:
    """The example run with one file replaced; the others are links into one copy."""
    (run / "items").mkdir(parents=True, exist_ok=True)
    for path in (EXAMPLE / "plan.json", EXAMPLE / "records.jsonl", *(EXAMPLE / "items").iterdir()):
        target = run / path.relative_to(EXAMPLE)
        if path == source:
            target.unlink(missing_ok=True)
            target.write_bytes(body)
        elif not target.exists() or target.stat().st_mtime_ns != path.stat().st_mtime_ns:
            target.write_bytes(path.read_bytes())
            os.utime(target, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    return run / "plan.json"


def outcome(read: Read, path: Path, case: int) -> tuple[str, str]:
    """`read`, `refused`, or what must not be."""
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        read(path, case)
    except BenchError as error:
        message = str(error)
        return ("refused", message) if message.isprintable() and message else ("unprintable", repr(message))
    except Hang:
        return "hang", f"more than {LONGEST_S} s"
    except BaseException as error:  # a traceback is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else ""
        return type(error).__name__, f"{str(error)[:150]!r} at {place}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read", ""


# ---------------------------------------------------------------- all cases


def limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def work(cases: range, seed: int, count: int, now: Any, found: Any) -> None:
    """The cases in a process of its own, so that a crash is seen from outside."""
    signal.signal(signal.SIGALRM, _alarm)
    limit_memory()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for case in cases:
            now.value = case
            what, how, path, read = make(case, seed, count, Path(folder))
            found.put((case, what, how, *outcome(read, path, case)))
    now.value = cases.stop


def _alarm(*_: object) -> None:
    raise Hang


def run_all(cases: range, seed: int, count: int) -> Iterator[tuple[int, str, str, str, str]]:
    """Every case's outcome; a worker that dies is a finding, and another goes on behind it."""
    fork = multiprocessing.get_context("fork")
    begin = cases.start
    while begin < cases.stop:
        now, found = fork.Value("q", begin), fork.SimpleQueue()
        worker = fork.Process(target=work, args=(range(begin, cases.stop), seed, count, now, found))
        worker.start()
        seen, since = begin, time.monotonic()
        while worker.is_alive() or not found.empty():
            while not found.empty():
                yield found.get()
            if now.value != seen:
                seen, since = now.value, time.monotonic()
            if time.monotonic() - since > 3 * LONGEST_S:
                worker.kill()
            worker.join(0.05)
        begin = now.value + 1
        if now.value < cases.stop:
            yield now.value, "?", "?", "dead process", f"exit code {worker.exitcode}"


def native(cases: range, seed: int, count: int) -> Counter[str]:
    """Spoiled models through the native runner itself, which in a real run only gets what `read_facts` took."""
    runner = cache_folder("runners", runner_hash()[:16]) / "bench-llama"
    ends: Counter[str] = Counter()
    if not runner.is_file():
        print("the native runner is not built: left out")
        return ends
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _, how, path, _ = make(case, seed, count, folder)
            accepted = outcome(lambda path, _: void(read_facts(path)), path, case)[0] == "read"
            (folder / "asked.jsonl").write_text('{"id": 0, "text": "a", "add_special": true, "parse_special": false}\n')
            job = {"kind": "tokenize", "model": str(path)}
            job |= {"requests": str(folder / "asked.jsonl"), "answers": str(folder / "answers.jsonl")}
            (folder / "job.json").write_bytes(msgspec.json.encode(job))
            end = run_native(runner, folder)
            ends[f"{'accepted' if accepted else 'refused'} by bench: {end}"] += 1
            if end not in ("done", "error"):
                print(f"native {case} ({how}, {'accepted' if accepted else 'refused'} by bench): {end}")
    return ends


def void(_: object) -> None:
    return


def run_native(runner: Path, folder: Path) -> str:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 * MOST_BYTES, 2 * MOST_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    argv = [runner, folder / "job.json", folder / "events.jsonl"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=LONGEST_S, preexec_fn=limit)
    except subprocess.TimeoutExpired:
        return "hang"
    return signal.Signals(-done.returncode).name if done.returncode < 0 else "error" if done.returncode else "done"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="suite, device, claim, plan, record and item files")
    parser.add_argument("--gguf", type=int, default=2_000, help="models")
    parser.add_argument("--native", type=int, default=300, help="of the models, also through the native runner")
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--only", type=int, help="one case, with its traceback")
    asked = parser.parse_args()
    if asked.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            what, how, path, read = make(asked.only, asked.seed, asked.count, Path(folder))
            print(f"{what}, {how}: {path.stat().st_size} bytes")
            read(path, asked.only)
        return
    table: Counter[tuple[str, str]] = Counter()
    bad = 0
    begun = time.monotonic()
    for case, what, how, end, said in run_all(range(asked.count + asked.gguf), asked.seed, asked.count):
        table[what, end] += 1
        if end not in ("read", "refused"):
            bad += 1
            print(f"case {case} ({what}, {how}): {end}: {said}", flush=True)
    for (what, end), number in sorted(table.items()):
        print(f"{what:<8} {end:<14} {number:>6}")
    print(f"{sum(table.values())} files in {time.monotonic() - begun:.0f} s, {bad} with another end; seed {asked.seed}")
    for end, number in sorted(native(range(asked.count, asked.count + asked.native), asked.seed, asked.count).items()):
        print(f"native: {end:<32} {number:>6}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
