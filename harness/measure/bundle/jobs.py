"""The jobs of a plan, made as for a device that is there, and kept as files instead of being run."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.build.cache import sha256_file
from harness.errors import BuildError
from harness.measure.bundle.manifest import CellRequests, parity_name
from harness.measure.devices.phone.job import conf
from harness.measure.devices.phone.remote import RemoteJob, wish_for
from harness.measure.execute import MOST_REPEATS, needed_bytes
from harness.measure.floor import Floor
from harness.measure.jobs import Job
from harness.measure.judging import is_spoiled_by_heat
from harness.measure.parity import parity_job
from harness.measure.runtimes import llama_cpp
from harness.progress import Progress
from harness.values import Artifact, Cell, PhoneFacts, PhoneSpec, Size, Trial

RUNTIME = "llama.cpp"
NOWHERE = RemoteJob(folder="bundle", argv=(), files=(), appends=(), body=b"")
"""Where jobs lie is known on the phone."""


class BundleJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it lies in a bundle."""

    id: str
    """What came of it lies in folders `<id>-<attempt>`."""
    title: str
    body: bytes
    """Its job file: paths relative to the folder of everything."""
    conf: str
    repeats: int
    need_kb: int
    """Available memory that it needs at least, in KiB,"""
    need_core_kb: int
    """and so much more for each core that it runs on."""
    files: dict[str, Path]
    """sha256 → file that it reads."""


class JobMaker:
    """Makes jobs on a floor whose device is not there."""

    def __init__(self, floor: Floor, phone: PhoneSpec, owner: str, work: Path) -> None:
        self.floor, self.phone, self.owner, self.work = floor, phone, owner, work
        self.broken: dict[str, str] = {}
        """Cell → why its jobs could not be made."""
        self._hashes: dict[str, str] = {}

    def parity(self, progress: Progress) -> Iterator[BundleJob]:
        """One for each artifact that a program reads, before everything that depends on it."""
        cells = {a.sha256: (cell, a) for cell, a in reversed(list(self._measured()))}
        with progress.bar("parity with the host", len(cells)) as bar:
            for number, (sha256, (cell, artifact)) in enumerate(sorted(cells.items(), key=lambda one: one[0]), 1):
                folder = self.work / parity_name(sha256)
                folder.mkdir(parents=True)
                floor = self.floor
                model = floor.variants[str(cell.variant)].model
                made = parity_job(
                    floor.preparation(cell),
                    floor.facts[cell.device],
                    floor.chosen[cell.device],
                    cell,
                    model,
                    artifact,
                    folder,
                )
                bar.update(number)
                yield self._made(made, parity_name(sha256), f"{cell.variant}: the same logits as the host's", cell)

    def trials(self, trials: Iterable[Trial], cells: dict[str, Cell]) -> Iterator[BundleJob]:
        """Those of the plan that run a program, in its order. What cannot be made is kept in `broken`."""
        for trial in trials:
            cell = cells[trial.cell]
            if cell.key in self.broken or not self._runs(cell):
                continue
            try:
                inputs = self.floor.equipment(trial, cell).inputs
            except BuildError as error:
                self.broken[cell.key] = str(error)
                continue
            assert inputs is not None
            made = llama_cpp.job(cell, inputs, self.floor.facts[cell.device])
            what = (cell.variant or "", cell.measure, cell.workload.label, f"round {trial.round + 1}")
            yield self._made(made, trial.id, " ".join(part for part in what if part), cell)

    def requests(self, cells: Iterable[Cell]) -> dict[str, CellRequests]:
        """What is known of the requests of each accuracy cell that has some."""
        found = {}
        for cell in cells:
            known = self.floor.requests.get(cell.key)
            if known is None or not self._runs(cell):
                continue
            reference = self.floor.references.get(cell.key)
            found[cell.key] = CellRequests(
                hash=known.hash,
                count=known.count,
                generates=known.generates,
                versions=known.versions,
                truncated=known.truncated,
                longest=known.longest,
                reference=reference.variant if reference else None,
                reference_sha256=reference.artifact_sha256 if reference else None,
            )
        return found

    def _measured(self) -> Iterator[tuple[Cell, Artifact]]:
        for cell in self.floor.plan.cells:
            if self._runs(cell) and (artifact := self.floor.ready.artifact(cell)) is not None:
                yield cell, artifact

    def _runs(self, cell: Cell) -> bool:
        if cell.unsupported is not None or isinstance(cell.workload, Size) or self.floor.why_not(cell):
            return False
        if cell.runtime is None or cell.runtime.name != RUNTIME:
            self.broken.setdefault(cell.key, f"a bundle runs {RUNTIME} only")
            return False
        return True

    def _made(self, job: Job, name: str, title: str, cell: Cell) -> BundleJob:
        files = {self._sha256(Path(job.spec[key])): Path(job.spec[key]) for key in job.reads}
        spec: dict[str, Any] = {
            **job.spec,
            **{key: f"files/{self._sha256(Path(job.spec[key]))}" for key in job.reads},
            **dict.fromkeys(job.appends, f"out/{name}-0/answers.jsonl"),
        }
        artifact = self.floor.ready.artifact(cell)
        fixed, per_core = needed_bytes(artifact, cell) if artifact else (0, 0)
        return BundleJob(
            id=name,
            title="".join(c if c.isprintable() else " " for c in title),
            body=msgspec.json.encode(spec),
            # Cores and the skin's temperature at the start are added on the phone.
            conf=conf(wish_for(job, NOWHERE, self.owner, self.phone, PhoneFacts(), None)),
            repeats=MOST_REPEATS if is_spoiled_by_heat(cell) else 0,
            need_kb=math.ceil(fixed / 1024),
            need_core_kb=math.ceil(per_core / 1024),
            files=files,
        )

    def _sha256(self, path: Path) -> str:
        if str(path) not in self._hashes:
            self._hashes[str(path)] = sha256_file(path)
        return self._hashes[str(path)]
