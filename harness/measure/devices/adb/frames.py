"""A file's bytes, read straight to where they are sent from: between the heads of their frames."""

import os
from collections.abc import Callable

Head = Callable[[int], bytes]
"""The head of a frame of so many bytes; always of one length."""
MOST_BODIES = 1024
"""Linux reads no more buffers in one call."""


class FrameBlock:
    """As many whole frames as fit a block, in one buffer that is used again and again."""

    def __init__(self, head: Head, frame_bytes: int, block_bytes: int) -> None:
        self._head, self._frame_bytes = head, frame_bytes
        self._full = head(frame_bytes)
        self._stride = len(self._full) + frame_bytes
        frames = min(MOST_BODIES, max(1, block_bytes // self._stride))
        self._block = memoryview(bytearray(frames * self._stride))
        starts = range(0, frames * self._stride, self._stride)
        self._bodies = [self._block[at + len(self._full) : at + self._stride] for at in starts]

    def read(self, file: int) -> tuple[memoryview, int]:
        """The next frames of an open file, good until the next call, and how many of its bytes are in them."""
        got = os.readv(file, self._bodies)
        whole, rest = divmod(got, self._frame_bytes)
        for number in range(whole):
            self._write_head(number, self._full)
        end = whole * self._stride
        if rest:
            self._write_head(whole, self._head(rest))
            end += len(self._full) + rest
        return self._block[:end], got

    def _write_head(self, number: int, head: bytes) -> None:
        self._block[number * self._stride : number * self._stride + len(head)] = head
