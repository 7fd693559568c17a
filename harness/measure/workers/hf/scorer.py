"""What questions are answered by: a model that torch runs, or a program of another runtime with the same questions."""

from typing import Protocol

import torch

from harness.measure.workers.hf.cache import PrefixCache
from harness.measure.workers.hf.files import Events
from harness.measure.workers.hf.packing import Pass, Row


class Questions(Protocol):
    """What a job says of the questions that it asks."""

    @property
    def requests(self) -> str: ...

    @property
    def answers(self) -> str: ...

    @property
    def reference(self) -> str | None: ...

    @property
    def context(self) -> int: ...


class Positions(Protocol):
    """What a job says of the distributions that it keeps."""

    @property
    def requests(self) -> str: ...

    @property
    def output(self) -> str: ...

    @property
    def context(self) -> int: ...


class Scorer(Protocol):
    """Logits of tokens. One that does not share is asked one row at a time."""

    vocabulary: int

    @property
    def place(self) -> str:
        """`cpu` or `cuda`."""
        ...

    @property
    def shares(self) -> bool: ...

    def cache(self, capacity: int) -> PrefixCache: ...

    def run(self, one: Pass, cache: PrefixCache, wanted: list[int]) -> torch.Tensor: ...

    def run_plain(self, tokens: Row, wanted: list[int]) -> torch.Tensor:
        """Logits [wanted, vocabulary] in float32 at these tokens of a row."""
        ...

    def check_tokens(self, tokens: list[int], name: str) -> None:
        """Raises BadInputError: a token that the model has not."""
        ...

    def opened(self, events: Events) -> None: ...
