"""A checkpoint or a GGUF file as somebody released it, taken as it is."""

import shutil
from pathlib import Path

from harness.build.gguf_files import read_facts
from harness.build.gguf_packing import has_no_gguf
from harness.build.recipes import Kit
from harness.errors import BuildError
from harness.values import Variant


def released(variant: Variant, kit: Kit, target: Path) -> None:
    """Raises BuildError: a damaged file, or one whose numbers no GGUF file can say."""
    if (why := has_no_gguf(variant)) is not None:
        raise BuildError(f"{variant.name}: {why}")
    if kit.pack_compressed(variant, target):
        return
    source = kit.source(variant)
    read_facts(source)  # a damaged file is refused before it is copied
    shutil.copyfile(source, target)
