"""Claim files (`suites/claims/*.yaml`) → values: strict, with file, line and path of what is wrong."""

import re
from pathlib import Path
from typing import Any, get_args

import msgspec

from harness.claim_checks import check_claim, check_parts, check_row, check_task
from harness.config import PROJECT, Document
from harness.errors import UnknownNameError, unknown_name
from harness.published import (
    FIGURE,
    URL,
    Aggregation,
    Claim,
    ClaimFile,
    Column,
    Expression,
    Form,
    PublishedModel,
    PublishedRow,
    Scheme,
    Source,
    Status,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_FIGURES = ("values", "figure", "to")
_CHOICES = {
    "form": get_args(Form),
    "expressed": get_args(Expression),
    "aggregation": get_args(Aggregation),
    "status": get_args(Status),
}
_TABLES: dict[str, Any] = {
    "sources": Source,
    "models": PublishedModel,
    "schemes": Scheme,
    "columns": Column,
    "rows": PublishedRow,
    "claims": Claim,
}


def find_claims(name: str) -> Path:
    """A claim file by name (`./suites/claims`, then the project's own) or by path.

    Raises:
        UnknownNameError: no such file; the known ones are named.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise UnknownNameError("claim file", name, list_claims())
        return path
    for folder in _folders():
        if (path := folder / f"{name}.yaml").is_file():
            return path
    raise UnknownNameError("claim file", name, list_claims())


def list_claims() -> list[str]:
    """Names of the claim files that are found by name."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.yaml")})


def load_claims(name_or_path: str) -> ClaimFile:
    """Read a claim file and check that its parts fit each other.

    Raises:
        ConfigError: with file, line and path.
        UnknownNameError: no claim file of that name.
    """
    path = find_claims(name_or_path)
    document = Document(path)
    file = _converted(document)
    check_parts(document, file)
    for name in file.rows:
        check_row(document, file, name)
    for index in range(len(file.tasks)):
        check_task(document, file, index)
    for name in file.claims:
        check_claim(document, file, name)
    return msgspec.structs.replace(file, file=path.name)


def _folders() -> list[Path]:
    return [Path("suites/claims"), PROJECT / "suites" / "claims"]


def _converted(document: Document) -> ClaimFile:
    """Each entry of a table on its own, so that an error knows which one it is in."""
    if "file" in document.data:
        raise document.error("unknown key 'file'", "$.file")
    _check_texts(document, document.data, "$")
    for table, kind in _TABLES.items():
        entries = document.data.get(table)
        if not isinstance(entries, dict):
            continue
        for name, entry in entries.items():
            _check_name(document, name, f"$.{table}.{name}")
            document.convert(kind, {} if entry is None else entry, f"$.{table}.{name}")
    file: ClaimFile = document.convert(ClaimFile)
    if not file.claims and not file.rows:
        raise document.error("has neither claims nor rows: there is nothing to audit", "$")
    return file


def _check_texts(document: Document, node: Any, path: str, key: str = "") -> None:
    """Figures, names and addresses, in words that a pattern's error does not have.

    YAML would read `1.0` as the number 1 and lose a digit that was printed.
    """
    if isinstance(node, dict):
        for name, value in node.items():
            table = key if key in ("values", "changes") else ""
            _check_texts(document, value, f"{path}.{name}", table or name)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check_texts(document, value, f"{path}[{index}]")
    elif key in (*_FIGURES, "changes", "printed") and isinstance(node, int | float):
        raise document.error(f'{node} is a number: write a figure as it was printed, in quotes ("{node}")', path)
    elif isinstance(node, str):
        if key in _FIGURES and not re.fullmatch(FIGURE, node):
            raise document.error(f"{node!r} is no figure such as 3,185 or 19.2", path)
        if key == "url" and not re.fullmatch(URL, node):
            raise document.error(f"{node!r} is no address that begins with http:// or https://", path)
        if key in _CHOICES and node not in _CHOICES[key]:
            raise document.error(unknown_name(key, node, _CHOICES[key]), path)
        if path == "$.name":
            _check_name(document, node, path)


def _check_name(document: Document, name: str, path: str) -> None:
    if not _NAME.fullmatch(name):
        raise document.error(
            f"{name!r} is no name: at most 64 letters, digits and . _ + -, a letter or digit first", path
        )
