"""The shell service before Android 7: one stream for everything, terminal line ends, no exit code."""

import re
import secrets
import shlex

from harness.measure.devices.adb.connection import Completed
from harness.measure.devices.adb.stream import ByteStream, gone


def new_token() -> str:
    """A word that no command prints by chance."""
    return f"bench-{secrets.token_hex(8)}"


def with_exit_code(script: str, token: str) -> str:
    """A script that runs another one and then says its exit code on a line of its own."""
    # In a shell of its own: neither `exit` nor a quote left open keeps the last line from being printed.
    return f"sh -c {shlex.quote(script)} </dev/null; bench_rc=$?; echo; echo {token}:$bench_rc"


def parse(output: bytes, token: str) -> Completed | None:
    """What the command printed, and its exit code; None when the output was cut before it."""
    last = re.search(rb"(\r*\n)" + re.escape(token.encode()) + rb":([0-9]{1,3})(\r*\n)\Z", output)
    if last is None:
        return None
    # The terminal turned every line end into the one that our last line shows.
    printed = output[: last.start()].replace(last.group(3), b"\n")
    return Completed(exit_code=int(last.group(2)), stdout=printed, stderr=None)


def converse(stream: ByteStream, token: str) -> Completed:
    """Wait for the end of a command started with `with_exit_code`.

    Raises:
        DeviceLostError: the output ended before the exit code.
    """
    output = bytearray()
    while chunk := stream.read(1 << 20):
        output += chunk
    if (completed := parse(bytes(output), token)) is None:
        raise gone(stream.name, "the connection ended before the command told its exit code")
    return completed
