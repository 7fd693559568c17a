"""What is unpacked stays where it belongs."""

import tarfile

import pytest

from harness.build.runners.llama_cpp_sources import refuse_escapes
from harness.errors import BuildError


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


def test_plain_files_and_folders_are_taken() -> None:
    refuse_escapes([member("a/vendor/llama.cpp/x.c"), member("a/vendor/llama.cpp/d", tarfile.DIRTYPE)])


@pytest.mark.parametrize(
    "bad",
    [
        member("/etc/passwd"),
        member("a/../../b"),
        member("a/link", tarfile.SYMTYPE),
        member("a/hard", tarfile.LNKTYPE),
        member("a/device", tarfile.CHRTYPE),
    ],
)
def test_what_could_escape_is_refused(bad: tarfile.TarInfo) -> None:
    with pytest.raises(BuildError, match="no plain file"):
        refuse_escapes([bad])
