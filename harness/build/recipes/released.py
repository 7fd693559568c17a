"""A GGUF file as somebody released it, taken as it is."""

import shutil
from pathlib import Path

from harness.build.gguf_files import read_facts
from harness.build.recipes import Kit
from harness.values import Variant


def released(variant: Variant, kit: Kit, target: Path) -> None:
    source = kit.source(variant)
    read_facts(source)  # a damaged file is refused before it is copied
    shutil.copyfile(source, target)
