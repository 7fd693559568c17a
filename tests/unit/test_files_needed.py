"""What a run will bring to a device: each file once, by the least memory that a cell needs."""

from types import SimpleNamespace

import msgspec

from harness.measure.execute import needed_bytes
from harness.measure.floor import files_needed
from harness.values import Artifact, ArtifactFile, Cell, Memory, Size, digest
from tests.unit.test_execute import ARTIFACT, SPEED


def test_each_file_is_counted_once_and_what_runs_no_program_never() -> None:
    other = msgspec.structs.replace(
        ARTIFACT, files=(ArtifactFile(name="other.gguf", bytes=7, sha256=digest("other")),), sha256=digest("other")
    )
    artifacts = {"f16": ARTIFACT, "other": other}

    def artifact(cell: Cell) -> Artifact | None:
        return artifacts.get(str(cell.variant))

    memory = msgspec.structs.replace(SPEED, workload=Memory(prompt_tokens=1, generated_tokens=1))
    cells = [
        msgspec.structs.replace(SPEED, variant="f16"),
        msgspec.structs.replace(memory, variant="f16"),
        msgspec.structs.replace(SPEED, variant="other", workload=Size(), runtime=None),
        msgspec.structs.replace(SPEED, variant="other", unsupported="a reason"),
        msgspec.structs.replace(SPEED, variant="not made"),
    ]
    (only,) = files_needed(cells, SimpleNamespace(artifact=artifact))  # type: ignore[arg-type]
    assert (only.sha256, only.size_bytes) == (ARTIFACT.files[0].sha256, ARTIFACT.files[0].bytes)
    assert only.memory_bytes == min(needed_bytes(ARTIFACT, cell)[0] for cell in cells[:2])
    both = files_needed([*cells, msgspec.structs.replace(memory, variant="other")], SimpleNamespace(artifact=artifact))  # type: ignore[arg-type]
    assert {one.size_bytes for one in both} == {ARTIFACT.files[0].bytes, 7}
