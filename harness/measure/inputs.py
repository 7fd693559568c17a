"""What the trials of a run need besides artifacts: prompts, requests, references. Made before the first trial."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.build.artifacts import Workshop
from harness.build.cache import cache_folder, only_one, sha256_file, used
from harness.build.checkpoints import checkpoint_text, tokenizer_sha256
from harness.build.exported import TOKENIZER as PTE_TOKENIZER
from harness.build.gguf_header import read_chat_template
from harness.build.hub_models import hub_file
from harness.build.runners import Runner
from harness.data.sources import PROMPT_TEXT, read_text
from harness.errors import BuildError, StoreError
from harness.measure.events import parse_events
from harness.measure.jobs import Device, Inputs, Job, Outcome
from harness.measure.requests import Requests, distance_requests, head_tokens, of_the_hub, task_requests, text_requests
from harness.measure.runtimes import load_runtime
from harness.measure.tasks import TaskFile
from harness.measure.token_requests import Tokenizer
from harness.progress import Progress
from harness.store import read_lines
from harness.values import (
    Artifact,
    Cell,
    DeviceFacts,
    FileSource,
    Format,
    HubSource,
    Model,
    Suite,
    Task,
    Text,
    Variant,
    digest,
)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    variant: str
    artifact_sha256: str


class Preparation:
    """Makes inputs on the local device, which is where files are made; keeps what it has made."""

    def __init__(
        self,
        local: Device,
        runner: Runner,
        workshop: Workshop,
        suite: Suite,
        progress: Progress,
        runtime: str = "llama.cpp",
    ) -> None:
        self.local, self.runner, self.workshop = local, runner, workshop
        self.suite, self.progress = suite, progress
        self.runtime = load_runtime(runtime)
        self.format: Format = self.runtime.FORMAT
        self._prompts: dict[str, list[int]] = {}
        self._of_the_hub: dict[str, Requests] = {}

    def prompt(self, model: Model, artifact: Artifact, count: int) -> tuple[int, ...]:
        """The first `count` tokens of the published prompt text, in this model's tokens."""
        if model.name not in self._prompts:
            (self._prompts[model.name],) = self.tokenize(artifact, [read_text(PROMPT_TEXT)])
        return head_tokens(self._prompts[model.name], count, model.name)

    def requests(self, cell: Cell, variant: Variant, artifact: Artifact, files: list[TaskFile]) -> Requests:
        """The requests of an accuracy cell; variants of one model share them."""
        tokenizer = self.tokenizer(variant, artifact)
        if isinstance(cell.workload, Text):
            return text_requests(cell.workload, tokenizer, self.suite.seed)
        assert isinstance(cell.workload, Task)
        trained = variant.model.context
        if not of_the_hub(files):
            return task_requests(cell.workload, files, tokenizer, self.suite.seed, trained)
        key = digest(
            [cell.workload, trained, files, tokenizer.identity, tokenizer.chat_template, tokenizer.bos, tokenizer.eos]
        )
        if key not in self._of_the_hub:  # once a run, so that all its variants are asked the same
            self._of_the_hub[key] = task_requests(cell.workload, files, tokenizer, self.suite.seed, trained)
        return self._of_the_hub[key]

    def tokenizer(self, variant: Variant, artifact: Artifact) -> Tokenizer:
        """The artifact's own tokenizer, asked through the runtime's program."""

        def encode(texts: Sequence[str], add_special: Sequence[bool], parse_special: bool) -> list[list[int]]:
            return self.tokenize(artifact, texts, add_special, parse_special=parse_special)

        if artifact.format != "gguf":
            text = checkpoint_text(text_folder(artifact))
            prefix, template, bos, eos = text.prefix_token, text.chat_template, text.bos, text.eos
        else:
            chat = read_chat_template(Path(artifact.path))
            prefix, template, bos, eos = self.workshop.prefix_token(variant), chat.text, chat.bos, chat.eos
        return Tokenizer(
            encode=encode,
            identity=digest([self._tokenizer_of(variant, artifact), self.runner.sha256]),
            prefix_token=prefix,
            chat_template=template,
            bos=bos,
            eos=eos,
        )

    def _tokenizer_of(self, variant: Variant, artifact: Artifact) -> object:
        """What the tokenizer follows from; the same for all variants of a model, where that can be known."""
        if artifact.format == "checkpoint":
            return tokenizer_sha256(artifact)
        if artifact.format == "pte":
            return sha256_file(text_folder(artifact) / "tokenizer.json")
        source = variant.model.source
        if isinstance(source, HubSource):
            return sha256_file(hub_file(variant.model.name, source))
        return sha256_file(Path(source.path)) if isinstance(source, FileSource) else source

    def reference(self, cell: Cell, variant: Variant, artifact: Artifact, requests: Requests) -> Reference:
        """The 16-bit distributions that distances are taken to, kept by artifact, runner and requests.

        Raises:
            BuildError: the runner failed.
        """
        assert isinstance(cell.workload, Text)
        key = digest([artifact.sha256, self.runner.sha256, requests.hash, cell.runtime])[:32]
        target = cache_folder("references") / f"{key}.bin"
        with only_one(f"reference-{key[:16]}"):
            if not target.is_file():
                with tempfile.TemporaryDirectory(prefix="bench-reference-") as folder:
                    asked = Path(folder) / "requests.jsonl"
                    distance_requests(requests.path, asked)
                    inputs = Inputs(
                        program=self.runner.path,
                        model=artifact.path,
                        adaptor=artifact.adaptor,
                        requests=str(asked),
                        timeout_s=3600,
                    )
                    job = self.runtime.reference_job(
                        cell, inputs, str(target), cell.workload.window, self.local_facts()
                    )
                    self.run(job, Path(folder), f"reference of {variant.name}")
            used(target)
        return Reference(path=target, variant=variant.name, artifact_sha256=artifact.sha256)

    def tokenize(
        self, artifact: Artifact, texts: Sequence[str], add_special: Sequence[bool] = (), *, parse_special: bool = False
    ) -> list[list[int]]:
        """Encode texts with the artifact's own tokenizer, by the runner.

        Args:
            add_special: of each text whether it gets the special tokens that begin a text; empty: all do.
            parse_special: whether the text of a special token means that token.
        """
        with tempfile.TemporaryDirectory(prefix="bench-tokenize-") as folder:
            asked, answers = Path(folder) / "requests.jsonl", Path(folder) / "answers.jsonl"
            lines = (
                {"id": i, "text": text, "add_special": special, "parse_special": parse_special}
                for i, (text, special) in enumerate(zip(texts, add_special or [True] * len(texts), strict=True))
            )
            asked.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            model = artifact.path if artifact.format == "gguf" else str(text_folder(artifact))
            job = self.runtime.tokenize_job(self.runner, model, str(asked), str(answers))
            self.run(job, Path(folder), "tokenizing")
            return _tokens_of(answers, len(texts))

    def local_facts(self) -> DeviceFacts:
        return self.local.facts()

    def run(self, job: Job, work: Path, what: str) -> Outcome:
        """Run a job to its end on the local device.

        Raises:
            BuildError: it failed, or the program printed what is no event.
        """
        with self.progress.bar(what) as bar:
            outcome = self.local.run(job, work, bar.update)
        try:
            parsed = parse_events(outcome.events)
        except ValueError as error:
            raise BuildError(f"{what} failed: the program printed what is no event: {error}") from error
        if not parsed.done:
            raise BuildError(f"{what} failed: {parsed.error or outcome.stderr_tail.strip()[-200:] or 'no message'}")
        return outcome


def text_folder(artifact: Artifact) -> Path:
    """Where the tokenizer of an artifact that is no GGUF file lies."""
    return Path(artifact.path).with_name(PTE_TOKENIZER) if artifact.format == "pte" else Path(artifact.path)


def _tokens_of(answers: Path, count: int) -> list[list[int]]:
    """The answers of a tokenizer in the order of its questions."""
    try:
        lines = msgspec.convert(list(read_lines(answers)), list[_Tokens])
    except (msgspec.ValidationError, StoreError, OSError) as error:
        raise BuildError(f"tokenizing failed: {error}") from error
    found = {line.id: line.tokens for line in lines}
    if set(found) != set(range(count)):
        raise BuildError(f"tokenizing failed: {len(found)} answers to {count} texts")
    return [found[i] for i in range(count)]


class _Tokens(msgspec.Struct):
    id: int
    tokens: list[int]
