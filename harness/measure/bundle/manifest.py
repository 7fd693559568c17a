"""What stands at the head of a bundle and of its result."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from harness.errors import StoreError
from harness.store import DAMAGE
from harness.values import Artifact, CellKey, Count, DeviceSpec, Name, Sha256, Value

VERSION = 1
MANIFEST, PLAN, SUMS = "manifest.json", "plan.json", "SHA256SUMS"
BUNDLE_SUMS = "bundle.sums"
"""Of a bundle's own files, the last of them: where it is there, nothing was cut off."""
FACTS, STATE, CONDITIONS, TARGET = "facts.txt", "state.txt", "conditions.txt", "target"
Mark = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)")]
RequestsHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{8,64}$(?!\n)")]
Text = Annotated[str, Meta(max_length=4000)]


class CellRequests(Value, frozen=True, kw_only=True):
    """What is known of the requests of an accuracy cell; they lie in `requests/<hash>.jsonl.gz`."""

    hash: RequestsHash
    count: Count
    generates: bool
    versions: dict[str, str]
    truncated: Count = 0
    longest: Count = 0
    reference: Name | None = None
    """The variant that distances are taken to."""
    reference_sha256: Sha256 | None = None
    """Of that variant's artifact."""


class Program(Value, frozen=True):
    """A runner that the bundle carries."""

    target: Name
    sha256: Sha256
    """Of the file."""
    runner_sha256: Sha256
    """Of everything that went into it."""


class Manifest(Value, frozen=True, kw_only=True):
    """Everything about a bundle that a run needs and its plan does not say."""

    bundle: Literal[1] = 1
    bench_version: Annotated[str, Meta(max_length=64)]
    device: DeviceSpec
    plan_sha256: Sha256
    """Of the file `plan.json`."""
    mark: Mark
    """Ends each answer in what the phone says of itself."""
    programs: tuple[Program, ...]
    """Best guess first."""
    host_runner_sha256: Sha256
    """Of the runner that made requests and references."""
    artifacts: tuple[Artifact, ...]
    """Without paths."""
    broken: dict[Name, Text] = {}
    """Variant → why it has no artifact."""
    broken_cells: dict[CellKey, Text] = {}
    """Cell → why its jobs could not be made."""
    requests: dict[CellKey, CellRequests] = {}


def read_manifest(body: bytes) -> Manifest:
    """A manifest from its file.

    Raises:
        StoreError: it is damaged, or of a newer bench.
    """
    try:
        version = msgspec.json.decode(body, type=_Versioned).bundle
        if version != VERSION:
            raise StoreError(f"a bundle of version {version}; this bench reads version {VERSION}")
        return msgspec.json.decode(body, type=Manifest)
    except DAMAGE as error:
        raise StoreError(f"{MANIFEST} is damaged: {error}") from error


def parity_name(artifact_sha256: str) -> str:
    """The job that compares an artifact's logits with the host's."""
    return f"parity-{artifact_sha256[:16]}"


class _Versioned(msgspec.Struct):
    bundle: int
