"""`.pte` files: exported by `bench-export` from checkpoints, kept by what went into them, with a manifest beside."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from harness.build.cache import Stamp, cache_folder, only_one, sha256_file, stamp_of, used
from harness.build.checkpoints import OF_TOKENIZER, holds_integers
from harness.build.compressed import LEARNED
from harness.build.programs import lines_of, running
from harness.build.runners.executorch import EXPORT_ARGV, find_export
from harness.errors import BuildError, one_line
from harness.progress import Progress
from harness.store import write_durably
from harness.values import Artifact, ArtifactFile, Sha256, Suite, Value, Variant, digest

FILE, MANIFEST, TOKENIZER = "model.pte", "manifest.json", "tokenizer"
REVISION = 1
"""Raised when the same inputs give another file and the program's hash does not say so."""
RUNTIME = "executorch"
CONTEXT = 2048
"""Tokens that Meta's recipes export for."""
BESIDE = ("generation_config.json", "config.json")
SAID = "bench-export: "
JOB, EVENTS = "job.json", "events.jsonl"


class Wish(Value, frozen=True):
    """How a suite wants its files exported."""

    context: int = CONTEXT
    full_logits: bool = False


def wish_of(suite: Suite) -> Wish:
    """How the suite's runtime wants its files."""
    runtime = next((r for r in suite.runtimes if r.name == RUNTIME), None)
    if runtime is None:
        return Wish()
    context = CONTEXT if runtime.export_context is UNSET else runtime.export_context
    return Wish(context=context, full_logits=runtime.full_logits is True)


class Numbers(Value, frozen=True):
    """What a program computes in, and where."""

    dtype: str
    delegate: str


class Manifest(Value, frozen=True, kw_only=True):
    """How a file was exported; lies beside it."""

    key: str
    recipe: str
    settings: dict[str, str | int | float | bool]
    base_sha256: Sha256
    """Of the checkpoint."""
    base_bytes: int
    parameters: int | None
    program_sha256: Sha256
    wish: Wish
    numbers: Numbers
    threads: int
    versions: dict[str, str]
    wall_s: float
    peak_rss_bytes: int | None
    delegates: dict[str, int]
    """Backend → calls of it."""
    delegated_nodes: int
    other_nodes: int
    operators: dict[str, int]
    """Operator of ExecuTorch's own kernels → calls of it."""
    planned_bytes: tuple[int, ...]
    """Allocated when the program is loaded: activations and KV cache."""
    kv_bytes: int
    shape: dict[str, int]
    file: ArtifactFile


class Done(msgspec.Struct):
    """The program's last event."""

    versions: dict[str, str] | None = None
    peak_rss_bytes: int | None = None
    delegates: dict[str, int] = {}
    delegated_nodes: int = 0
    other_nodes: int = 0
    operators: dict[str, int] = {}
    planned_bytes: tuple[int, ...] = ()
    kv_bytes: int = 0
    shape: dict[str, int] = {}


def numbers_of(variant: Variant, checkpoint: Artifact) -> Numbers:
    """Integers compute as the published scheme does. BF16 is exported as Meta's recipe does, without a delegate; other
    floats are delegated, so that F16 is the 16-bit baseline that is fast."""
    if holds_integers(variant):
        return Numbers("float32", "xnnpack")
    kinds = set(checkpoint.tensor_types) - {"F32"} or set(checkpoint.tensor_types)
    if kinds == {"F16"}:
        return Numbers("float16", "xnnpack")
    return Numbers("float32", "xnnpack") if kinds == {"F32"} else Numbers("bfloat16", "none")


def pte_folder(numbers: Numbers, base_sha256: str, wish: Wish) -> Path:
    """Where the file is kept, made or not.

    Raises:
        BuildError: ExecuTorch is not installed.
    """
    return cache_folder("exported") / digest([base_sha256, numbers, wish, find_export(), REVISION])[:16]


def exported(
    variant: Variant, checkpoint: Artifact, numbers: Numbers, wish: Wish, progress: Progress
) -> tuple[Artifact, dict[str, Stamp | None]]:
    """The variant's `.pte` file, from the cache or made now, and the stamp of it by path.

    Raises:
        BuildError: ExecuTorch is not installed, the export failed, or the stored file has changed.
    """
    folder = pte_folder(numbers, checkpoint.sha256, wish)
    with only_one(f"exported-{folder.name}"):
        if not (folder / MANIFEST).is_file():
            _make(variant, checkpoint, numbers, wish, folder, progress)
        used(folder)
    manifest, path = read_manifest(folder), folder / FILE
    stamp = stamp_of(path)
    if stamp is None or stamp.bytes != manifest.file.bytes or sha256_file(path) != manifest.file.sha256:
        raise BuildError(f"the stored .pte file of {variant.name!r} has changed on disk: remove {folder}")
    artifact = Artifact(
        variant=variant.name,
        format="pte",
        sha256=manifest.file.sha256,
        files=(manifest.file,),
        parameters=checkpoint.parameters,
        tensor_bytes=None,
        decode_bytes=None,
        tensor_types=checkpoint.tensor_types,
        path=str(path),
    )
    return artifact, {str(path): stamp}


def read_manifest(folder: Path) -> Manifest:
    """Raises BuildError: it is damaged."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BuildError(f"the manifest in {folder} is damaged: remove the folder ({error})") from error


def _make(
    variant: Variant, checkpoint: Artifact, numbers: Numbers, wish: Wish, folder: Path, progress: Progress
) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    begun_s, threads = time.monotonic(), len(os.sched_getaffinity(0))
    job = {
        "model": checkpoint.path,
        "output": str(part / FILE),
        "context": wish.context,
        "full_logits": wish.full_logits,
        "dtype": numbers.dtype,
        "delegate": numbers.delegate,
        "threads": threads,
        "program_sha256": find_export(),
    }
    try:
        versions, done = _run(job, part, variant.name, progress)
        if not (part / FILE).is_file():
            raise BuildError(f"exporting {variant.name} failed: bench-export wrote no file")
        file = ArtifactFile(name=FILE, bytes=(part / FILE).stat().st_size, sha256=sha256_file(part / FILE))
        manifest = Manifest(
            key=folder.name,
            recipe=variant.recipe,
            settings=variant.settings,
            base_sha256=checkpoint.sha256,
            base_bytes=sum(one.bytes for one in checkpoint.files),
            parameters=checkpoint.parameters,
            program_sha256=find_export(),
            wish=wish,
            numbers=numbers,
            threads=threads,
            versions=versions,
            wall_s=round(time.monotonic() - begun_s, 3),
            file=file,
            **_counted(done),
        )
        _keep_tokenizer(Path(checkpoint.path), part / TOKENIZER)
        for name in (JOB, EVENTS):
            (part / name).unlink()
        write_durably(part / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _counted(done: Done) -> dict[str, Any]:
    """What the program said of its work, as the manifest has it."""
    found = msgspec.structs.asdict(done)
    del found["versions"]
    return found


def _run(job: dict[str, object], part: Path, name: str, progress: Progress) -> tuple[dict[str, str], Done]:
    """The libraries' versions, and what the program counted.

    Raises:
        BuildError: the program failed.
    """
    (part / JOB).write_bytes(msgspec.json.encode(job))
    argv = [*EXPORT_ARGV, str(part / JOB), str(part / EVENTS)]
    last = "no message"
    with progress.bar(f"exporting {name}"), running(argv, {"BENCH_DIE_WITH_PARENT": "1"}) as process:
        for line in lines_of(process):
            # ExecuTorch talks a lot; the program's own line says why it ended.
            if line.strip() and not last.startswith(SAID):
                last = line.strip()
            if line.startswith(SAID):
                last = line.strip()
    if process.returncode < 0:
        raise BuildError(f"exporting {name} failed: ended by {signal.Signals(-process.returncode).name} (memory?)")
    if process.returncode != 0:
        raise BuildError(f"exporting {name} failed: {one_line(last.removeprefix(SAID))}")
    try:
        lines = (part / EVENTS).read_bytes().splitlines()
        versions = msgspec.json.decode(lines[0], type=Done).versions or {}
        return versions, msgspec.json.decode(lines[-1], type=Done)
    except (OSError, IndexError, msgspec.MsgspecError) as error:
        raise BuildError(f"bench-export ended without its last event: {error}") from error


def _keep_tokenizer(checkpoint: Path, folder: Path) -> None:
    """What encodes texts and names the tokens that end them, and what a recipe learned from."""
    folder.mkdir()
    for path in sorted(checkpoint.iterdir()):
        if path.is_file() and (path.name.startswith(OF_TOKENIZER) or path.name in BESIDE or path.name == LEARNED):
            shutil.copyfile(path, folder / path.name)
