"""What was learned so far, on disk: whole or absent, so that a job which was ended goes on."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from harness.measure.workers.hf.errors import JobFailedError

EVERY_S = float(os.environ.get("BENCH_KEEP_EVERY_S", "60"))
SHARE = 0.05
"""Most of a job's time that writing may take."""
PROGRESS = "progress"


class Progress(msgspec.Struct, frozen=True):
    """How far a job is."""

    stage: str
    step: int
    """Steps of the stage that are done."""
    losses: tuple[tuple[str, int, float], ...] = ()
    """(stage, step, loss)"""
    beginning: str = ""
    """What training went on from, where that is made anew by each job."""


class State:
    """Keeps tensors with the step that they belong to."""

    def __init__(self, path: Path, beginning: str = "") -> None:
        """`beginning`: told with what is kept, which goes on only where it is the same."""
        self.path, self.beginning = path, beginning
        self._next_s = time.monotonic() + EVERY_S

    def read(self) -> tuple[Progress, dict[str, torch.Tensor]] | None:
        """None where nothing was kept.

        Raises:
            JobFailedError: a damaged file, or one of another beginning.
        """
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                progress = msgspec.json.decode((file.metadata() or {}).get(PROGRESS, ""), type=Progress)
                if progress.beginning != self.beginning:
                    raise JobFailedError(f"{self.path} was begun from other integers (another machine?): remove it")
                return progress, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (OSError, SafetensorError, msgspec.MsgspecError) as error:
            raise JobFailedError(f"{self.path} is damaged: remove it ({error})") from error

    def keep(self, progress: Progress, tensors: Mapping[str, torch.Tensor], *, now: bool = False) -> None:
        """Write it once a minute, or `now`.

        Raises:
            JobFailedError: no space.
        """
        begun_s = time.monotonic()
        if not now and begun_s < self._next_s:
            return
        part = self.path.with_name(self.path.name + ".part")
        try:
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()},
                part,
                {PROGRESS: msgspec.json.encode(msgspec.structs.replace(progress, beginning=self.beginning)).decode()},
            )
            os.replace(part, self.path)
        except (OSError, SafetensorError) as error:
            part.unlink(missing_ok=True)
            raise JobFailedError(f"cannot write {self.path}: {error}") from error
        ended_s = time.monotonic()
        self._next_s = ended_s + max(EVERY_S, (ended_s - begun_s) / SHARE)
