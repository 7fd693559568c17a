"""Models that are known by their names on the hub: where their files lie, and how released ones are fetched.

A 16-bit GGUF file is the user's own and never fetched: a checkpoint is no GGUF file. A checkpoint that a variant takes
as it is (`recipe: released`) comes from the folder of models, or from the hub, where its licence must be accepted.
"""

import os
from pathlib import Path

import msgspec

from harness.errors import InputError, one_line
from harness.values import CheckpointSource, HubSource, Suite

KEPT = (
    "consolidated.00.pth",
    "params.json",
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""What is fetched of a repository: no code, no other pickled weights."""
AS_IT_IS = "released"


def models_folder() -> Path:
    """`$BENCH_MODELS`, or `models` in the working directory."""
    return Path(os.environ.get("BENCH_MODELS") or "models")


def hub_file(name: str, source: HubSource) -> Path:
    """The GGUF file of a model: `OWNER/MODEL.gguf` in the folder of models.

    Raises:
        InputError: it is not there; the message says where it belongs.
    """
    path = models_folder() / f"{source.repository}.gguf"
    if not path.is_file():
        raise InputError(
            f"model {name!r}: no file at {path} (a 16-bit GGUF file of {source.repository}; BENCH_MODELS names the "
            "folder; docs/adding-a-part.md says how it is made)"
        )
    if not os.access(path, os.R_OK):
        raise InputError(f"model {name!r}: {path} may not be read")
    return path


def has_file(source: HubSource) -> bool:
    return (models_folder() / f"{source.repository}.gguf").is_file()


def settled(suite: Suite, *, fetch: bool) -> tuple[Suite, dict[str, str]]:
    """The suite with hub names replaced by the folders of their checkpoints, where there is no GGUF file of them; and
    the variants whose checkpoint cannot be fetched, with why: no access, no such name, no network.

    Without `fetch`, only folders that are there already are found.
    """
    kept = {v.model.name for v in suite.variants if v.recipe == AS_IT_IS}
    sources = {v.model.name: v.model.source for v in suite.variants}
    folders: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for name, source in sources.items():
        try:
            if isinstance(source, HubSource) and (folder := _folder(name, source, fetch=fetch and name in kept)):
                folders[name] = folder
        except InputError as error:
            refused[name] = str(error)
    variants = tuple(
        msgspec.structs.replace(
            v, model=msgspec.structs.replace(v.model, source=CheckpointSource(path=str(folders[v.model.name])))
        )
        if v.model.name in folders
        else v
        for v in suite.variants
    )
    lacking = {v.name: refused[v.model.name] for v in variants if v.model.name in refused and v.recipe == AS_IT_IS}
    return msgspec.structs.replace(suite, variants=variants), lacking


def _folder(name: str, source: HubSource, *, fetch: bool) -> Path | None:
    if has_file(source):
        return None
    own = models_folder() / source.repository
    if own.is_dir():
        return own.resolve()
    return fetched(name, source.repository) if fetch else None


def fetched(name: str, repository: str) -> Path:
    """A repository's files in the hub's own cache, fetched first where they are missing.

    Raises:
        InputError: with what to do about it.
    """
    import httpx2  # which the hub's library asks by, and whose errors it lets through
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(repository, allow_patterns=list(KEPT)))
    except GatedRepoError:
        why = "it is gated: accept its licence on its page of the hub, then `hf auth login` or set HF_TOKEN"
    except RepositoryNotFoundError:
        why = "the hub has no such name, or shows it only to those who are logged in (`hf auth login`)"
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        why = "the hub is out of reach"
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        why = f"the hub says: {one_line(str(error)).strip()[:200]}"
    folder = models_folder() / repository
    raise InputError(f"model {name!r}: cannot fetch {repository}: {why}; or put its files into {folder}") from None
