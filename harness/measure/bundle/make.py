"""A plan with everything it needs on a phone → one archive."""

import hashlib
import io
import os
import secrets
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness import __version__
from harness.build.cache import sha256_file
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.build.runners.targets import PHONE, find_target
from harness.errors import InputError, StoreError
from harness.measure.answering import open_accuracy
from harness.measure.bundle import questions, scripts
from harness.measure.bundle.jobs import RUNTIME, BundleJob, JobMaker
from harness.measure.bundle.manifest import BUNDLE_SUMS, MANIFEST, PLAN, Manifest, Program
from harness.measure.devices.phone import asking, conditions, wrapper
from harness.measure.devices.phone.gate import zone_lines, zones_of
from harness.measure.devices.replay import ReplayDevice
from harness.measure.floor import Floor
from harness.measure.plan_time import expected_times
from harness.measure.ready import Ready
from harness.progress import Progress
from harness.store import Run, encode
from harness.values import DeviceSpec, PhoneSpec, Plan, Task, Value, is_task_file

ASSUMED_CORES = 4
"""Threads of a model where devices.yaml does not say the phone's cores. A phone that has fewer large ones says so in
its records."""


class Bundled(Value, frozen=True):
    """An archive that was written."""

    path: str
    bytes: int
    jobs: int
    id: str
    expected_s: float
    """How long the phone will take, roughly, with its cool-downs as short as they may be."""
    run_line: str = scripts.RUN_LINE


def check_plan(plan: Plan) -> DeviceSpec:
    """The phone that a bundle of this plan is for.

    Raises:
        InputError: a bundle cannot hold this plan.
    """
    if len(plan.suite.devices) != 1 or not isinstance(plan.suite.devices[0].phone, PhoneSpec):
        names = ", ".join(spec.name for spec in plan.suite.devices)
        raise InputError(f"a bundle is for one phone, not for {names}: name it with --device (`phone` is any phone)")
    if plan.shard is not None or plan.cross_check:
        raise InputError("a bundle holds whole jobs without a cross-check")
    if RUNTIME not in {runtime.name for runtime in plan.suite.runtimes}:
        raise InputError(f"a bundle runs {RUNTIME} only, and suite {plan.suite.name!r} does not use it")
    if any("runner" in variant.settings for variant in plan.suite.variants):
        raise InputError("a bundle's runner measures all that is in it: no variant can name another one")
    for task in (m.task for m in plan.suite.measures if isinstance(m, Task) and is_task_file(m.task)):
        raise InputError(f"a bundle holds tasks by name, and {task} is a file of this machine")
    return plan.suite.devices[0]


def make_bundle(plan: Plan, ready: Ready, data: Path | None, target: Path, progress: Progress) -> Bundled:
    """Write the archive `target`, whole or not at all.

    Raises:
        InputError: a bundle cannot hold this plan.
        BuildError: a runner, a reference or a request could not be made.
        StoreError: the archive cannot be written.
    """
    spec = check_plan(plan)
    builds = _builds(spec, progress)
    with tempfile.TemporaryDirectory(prefix="bench-bundle-") as name:
        work = Path(name)
        floor = _floor(work / "run", plan, ready, data, spec)
        floor.chosen[spec.name] = next(iter(builds.values()))
        open_accuracy(floor, Run(floor.folder, plan, ()), plan.cells)
        plan_body = encode(plan)
        plan_sha256 = hashlib.sha256(plan_body).hexdigest()
        owner = f"bundle-{plan_sha256[:16]}"
        assert isinstance(spec.phone, PhoneSpec)
        maker = JobMaker(floor, spec.phone, owner, work)
        cells = {cell.key: cell for cell in plan.cells}
        jobs = [*maker.parity(progress), *maker.trials(plan.trials, cells)]
        if not jobs:
            raise InputError("nothing in this plan runs a program on the phone")
        manifest = _manifest(plan, plan_sha256, ready, builds, maker)
        contents = _contents(spec, manifest, plan_body, jobs, owner)
        requests = sorted((floor.folder / "requests").glob("*.jsonl.gz"))
        contents.files |= {f"requests/{path.name}": path for path in requests}
        contents.files |= {f"runners/{target}/{Path(one.path).name}": Path(one.path) for target, one in builds.items()}
        write_archive(target, contents, progress)
    return Bundled(
        path=str(target),
        bytes=target.stat().st_size,
        jobs=len(jobs),
        id=contents.id,
        expected_s=sum(time.total_s for time in expected_times(plan)),
    )


class Contents(msgspec.Struct):
    """Everything in the archive's payload."""

    id: str
    texts: dict[str, bytes]
    files: dict[str, Path]
    """Those called `files/SHA256` hold what their name says."""

    def sums(self) -> bytes:
        """Lines of sha256sum for every file, and one that says that no line is missing."""
        found = {name: hashlib.sha256(body).hexdigest() for name, body in self.texts.items()}
        for name, path in self.files.items():
            found[name] = name.removeprefix("files/") if name.startswith("files/") else sha256_file(path)
        return "".join([*(f"{sha256}  {name}\n" for name, sha256 in found.items()), "end\n"]).encode()


def _builds(spec: DeviceSpec, progress: Progress) -> dict[str, Runner]:
    """Best guess first: which of them a phone can run is seen there."""
    assert isinstance(spec.phone, PhoneSpec)
    wish = spec.phone.runner
    targets = tuple(reversed(PHONE)) if wish == "auto" else (find_target(wish).name,)
    return {target: ensure_runner(progress, target) for target in targets}


def _floor(folder: Path, plan: Plan, ready: Ready, data: Path | None, spec: DeviceSpec) -> Floor:
    folder.mkdir()
    absent = ReplayDevice(spec, plan.facts[spec.name], folder / "nothing", "")
    ready = msgspec.structs.replace(ready, builds={spec.name: {}})  # its runner is the floor's chosen one
    return Floor(folder, plan, ready, data, {spec.name: absent})


def _manifest(plan: Plan, plan_sha256: str, ready: Ready, builds: dict[str, Runner], maker: JobMaker) -> Manifest:
    programs = (
        Program(target=target, sha256=sha256_file(Path(one.path)), runner_sha256=one.sha256)
        for target, one in builds.items()
    )
    broken = {**maker.floor.broken, **maker.broken}
    return Manifest(
        bench_version=__version__,
        device=plan.suite.devices[0],
        plan_sha256=plan_sha256,
        mark=secrets.token_hex(8),
        programs=tuple(programs),
        host_runner_sha256=ready.preparations[RUNTIME].runner.sha256,
        artifacts=tuple(msgspec.structs.replace(one, path="") for one in ready.artifacts.values()),
        broken={name: why[:4000] for (name, _), why in ready.broken.items()},
        broken_cells={key: why[:4000] for key, why in broken.items()},
        requests=maker.requests(plan.cells),
    )


def _contents(
    spec: DeviceSpec, manifest: Manifest, plan_body: bytes, jobs: Sequence[BundleJob], owner: str
) -> Contents:
    assert isinstance(spec.phone, PhoneSpec)
    head, mark = encode(manifest), manifest.mark
    lines = (f"{job.id} {job.repeats} {job.need_kb} {job.need_core_kb} {job.title}\n" for job in jobs)
    probe = "".join(f"{line}\n" for line in zone_lines(zones_of(spec.phone.cool_down)))
    texts = {
        MANIFEST: head,
        PLAN: plan_body,
        "drive.sh": scripts.driver(),
        "wrapper.sh": wrapper.script(),
        # What these say is written to files of the same names that end in .txt.
        "facts.sh": asking.script(questions.FACTS, mark).encode(),
        "state.sh": asking.script(questions.STATE, mark).encode(),
        "conditions.sh": asking.script(conditions.CONDITIONS, mark).encode(),
        "bundle.conf": scripts.conf(owner, spec.phone).encode(),
        "runners.txt": scripts.runner_lines([one.target for one in manifest.programs]).encode(),
        "probe.conf": f"owner {owner}\n{probe}".encode(),
        "jobs.txt": "".join(lines).encode(),
    }
    for job in jobs:
        texts[f"jobs/{job.id}.json"] = job.body
        texts[f"jobs/{job.id}.conf"] = job.conf.encode()
    files = {f"files/{sha256}": path for job in jobs for sha256, path in job.files.items()}
    return Contents(hashlib.sha256(head).hexdigest()[:16], texts, files)


def write_archive(target: Path, contents: Contents, progress: Progress) -> None:
    """A plain archive: weights do not get smaller by compressing, and every phone's tar reads it.

    Raises:
        StoreError: it cannot be written.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    payload = f"{scripts.FOLDER}/payload"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as archive:
            _add_text(archive, f"{scripts.FOLDER}/run.sh", scripts.launcher())
            _add_text(archive, f"{scripts.FOLDER}/id", f"{contents.id}\n".encode())
            for name, body in contents.texts.items():
                _add_text(archive, f"{payload}/{name}", body)
            with progress.bar(f"writing {target.name}", len(contents.files)) as bar:
                for number, (name, path) in enumerate(contents.files.items(), 1):
                    _add_file(archive, f"{payload}/{name}", path)
                    bar.update(number)
            _add_text(archive, f"{payload}/{BUNDLE_SUMS}", contents.sums())
        os.replace(part, target)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _add_text(archive: tarfile.TarFile, name: str, body: bytes) -> None:
    archive.addfile(_info(name, len(body)), io.BytesIO(body))


def _add_file(archive: tarfile.TarFile, name: str, path: Path) -> None:
    with open(path, "rb") as file:
        archive.addfile(_info(name, os.fstat(file.fileno()).st_size), file)


def _info(name: str, size: int) -> tarfile.TarInfo:
    """Nothing of this machine: no owner, no time."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o755 if name.endswith((".sh", "/bench-llama")) else 0o644
    return info
