"""One YAML file as ruamel.yaml's tree, with what could take without end refused while it is parsed."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import ScalarEvent
from ruamel.yaml.nodes import MappingNode

from harness.errors import ConfigError

LARGEST_FILE = 256 << 10
DEEPEST = 50
PARSER_ERRORS = (YAMLError, ValueError, TypeError, AttributeError, LookupError, AssertionError, NotImplementedError)
"""What ruamel.yaml raises at files that are hardly YAML, such as a mapping in the place of a number."""


def load_yaml(path: Path, *, twice: bool = False) -> CommentedMap:
    """The mapping at the top of a file; `twice`: a key may stand there twice, as in files of lm-eval.

    Raises:
        ConfigError: it cannot be read, is no YAML, or is nested too deeply.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ConfigError(f"is larger than {LARGEST_FILE >> 10} KiB", file=path)
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", file=path) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from None
    node = _parsed(text, path, twice)
    if node is None:
        raise ConfigError("is empty", file=path)
    if not isinstance(node, CommentedMap):
        raise ConfigError("must hold a mapping (key: value) at its top", file=path)
    return node


def _parsed(text: str, path: Path, twice: bool) -> Any:
    parser = YAML(typ="rt")
    parser.allow_duplicate_keys = twice
    parser.Composer = _BoundedComposer
    try:
        return parser.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = (str(error.problem or error.context or "not YAML").strip().splitlines() or ["not YAML"])[0]
        what = re.sub(r"^found (duplicate key \S+) with value .*", r"\1", what)
        raise ConfigError(what, file=path, line=mark.line + 1 if mark else None) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", file=path) from None
    except PARSER_ERRORS as error:
        why = (str(error).splitlines() or ["no reason"])[0]
        raise ConfigError(f"is not YAML text: {why}", file=path) from None


class _BoundedComposer(Composer):
    """Keys are scalars: a key of keys of keys takes ruamel.yaml twice as long with each level."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.nesting = 0
        self.warn_double_anchors = False  # YAML allows it, and a warning is many lines

    def compose_node(self, parent: Any, index: Any) -> Any:
        is_key = index is None and isinstance(parent, MappingNode)
        if is_key and not self.parser.check_event(ScalarEvent):
            raise ComposerError(None, None, "a key must be text", self.parser.peek_event().start_mark)
        self.nesting += 1
        if self.nesting > DEEPEST:
            raise ComposerError(None, None, "is nested too deeply", self.parser.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.nesting -= 1
        return node
