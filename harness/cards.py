"""Model cards: the block of numbers that runs give, put into a card, and held against one."""

import re
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.claim_files import load_claims
from harness.errors import ConfigError, InputError, SetupError
from harness.published import ClaimFile
from harness.store import PLAN, RECORDS, read_run, resolve_run, write_durably

if TYPE_CHECKING:
    from harness.analyse.findings import Report
    from harness.render.card.block import Origin
    from harness.render.card.checking import Difference

MOST_BYTES = 1 << 20
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_FRONT = re.compile(r"\A---\r?\n.*?\r?\n---\r?\n", re.DOTALL)


def block_of(names: Sequence[str], results: Path, *, stand_in: bool) -> str:
    """Markdown of these runs' numbers.

    Raises:
        InputError: the weights are random or a stand-in's, and nobody asked for a card of such.
    """
    from harness.render.card.block import block

    return block(*_seen(names, results, stand_in=stand_in))


def metadata_of(names: Sequence[str], results: Path) -> dict[str, bytes]:
    """File name → body of these runs' scores in the hub's own forms: `.eval_results/` and `model-index.yaml`.

    Raises:
        InputError: the weights are random or a stand-in's: the hub has no place for a mark; or no score is of a whole
            published data set.
    """
    from harness.render.card.entries import DATASETS, metadata

    for folder in (resolve_run(name, results) for name in names):
        if read_run(folder).told_by is not None:
            raise InputError(f"{folder.name} was imported: what its data sets were is not known well enough here")
    files = metadata(*_seen(names, results, stand_in=False))
    if not files:
        raise InputError(
            f"no score is of a whole data set as it was published; known are {', '.join(sorted(DATASETS))}"
        )
    return files


def write_metadata(folder: Path, files: dict[str, bytes]) -> None:
    """Each file whole, in its place below the folder."""
    for name, body in files.items():
        write_durably(folder / name, body)


def _seen(names: Sequence[str], results: Path, *, stand_in: bool) -> "tuple[Report, list[Origin]]":
    from harness.analyse.compare import analyse
    from harness.render.card.block import Origin, stand_ins

    folders = [resolve_run(name, results) for name in dict.fromkeys(names)]
    report = analyse([read_run(folder) for folder in folders])
    if not stand_in and (marks := stand_ins(report)):
        raise InputError(
            f"no numbers of a model that a card could be about ({'; '.join(marks)}): --stand-in marks them"
        )
    return report, [Origin(folder.name, origin_hash(folder)) for folder in folders]


def origin_hash(folder: Path) -> str:
    """sha256 of what a run's numbers follow from: plan, records, then graded items by name, one after the other."""
    whole = sha256()
    for path in (folder / PLAN, folder / RECORDS, *sorted((folder / "items").glob("*"))):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def update(card: Path, text: str) -> bool:
    """Put the block into a card; whether that changed the card.

    Raises:
        InputError: the card cannot be read, or its marks are not one block's.
    """
    from harness.render.card.block import updated

    before, card = _read(card), card.resolve()  # a link stays one
    after = updated(before, text)
    if after != before:
        mode = card.stat().st_mode
        write_durably(card, after)
        card.chmod(mode)
    return after != before


def differences(card: Path, names: Sequence[str], results: Path) -> "list[Difference]":
    """What of the card's block does not follow from these runs.

    Raises:
        InputError: the card cannot be read, is no UTF-8, or has no block.
    """
    from harness.render.card.block import place
    from harness.render.card.checking import differences as compare

    found = place(whole := _read(card))
    if found is None:
        raise InputError(f"{card} has no block of bench: `bench card RUN --update {card}` puts one there")
    try:
        own = whole[found.start() : found.end()].decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{card} is no UTF-8 text (byte {found.start() + error.start})") from error
    return compare(own, block_of(names, results, stand_in=True))


def is_card(source: str) -> bool:
    """Whether it names a card, a Markdown file or a model on the hub, and no claim file."""
    if source.endswith((".yaml", ".yml")):
        return False
    return source.lower().endswith((".md", ".markdown")) or (
        bool(_HUB_ID.fullmatch(source)) and not Path(source).exists()
    )


def claims_of(source: str) -> bytes:
    """A draft of a claim file from the tables of a card.

    Raises:
        InputError: no such card, no UTF-8, or no table of it is known.
        SetupError: the hub cannot be reached.
    """
    from harness.card_reading import draft, row_name

    local = source.lower().endswith((".md", ".markdown"))
    path = Path(source) if local else _from_hub(source)
    try:
        text = _read(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is no UTF-8 text (byte {error.start})") from error
    name = row_name(
        path.resolve().parent.name if local and path.stem.lower() == "readme" else path.stem if local else source
    )
    return draft(_FRONT.sub("", text, count=1), name, path.name if local else source)


def claim_file_of(source: str, keep: Path | None) -> ClaimFile:
    """The claim file that a card's tables make; its draft goes to `keep` first.

    Raises:
        InputError: see `claims_of`, or the draft is no claim file.
    """
    body = claims_of(source)
    if keep is not None:
        write_durably(keep, body)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "card.yaml")
        path.write_bytes(body)
        try:
            file = load_claims(str(path))
        except ConfigError as error:
            said = str(error).removeprefix(f"{path}:")
            raise InputError(f"{source}: its tables make no claim file (--draft keeps it): line {said}") from error
    return msgspec.structs.replace(file, file=source)


def _from_hub(model: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        return Path(hf_hub_download(model, "README.md"))
    except HFValidationError as error:
        raise InputError(f"{model!r} is no file and no name of a model on the hub") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"the hub has no model {model!r}, or it is not open to you") from error
    except (HfHubHTTPError, OSError) as error:  # a missing network is an OSError too
        raise SetupError(f"cannot fetch the card of {model} from the hub: {error}") from error


def _read(card: Path) -> bytes:
    try:
        if card.stat().st_size > MOST_BYTES:
            raise InputError(f"{card} has more than {MOST_BYTES >> 20} MiB: too large for a card")
        return card.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {card}: {error.strerror}") from error
