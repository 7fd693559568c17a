"""`shell:` and `shell,v2,raw:` of the stand-in."""

import os
import signal
import struct
import subprocess
import threading
from contextlib import suppress
from typing import IO

from tests.standin.faults import Faults
from tests.standin.host import Stream
from tests.standin.machine import Machine

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
_HEADER = struct.Struct("<BI")


def serve_shell(stream: Stream, service: str, machine: Machine, faults: Faults) -> None:
    """Run one command to its end, or to the end of whoever listens."""
    kind, _, command = service.partition(":")
    v2 = "v2" in kind.split(",")
    process = machine.start(command, merged=not v2)
    stream.on_close = lambda: _hang_up(process)
    threading.Thread(target=_feed, args=(stream, process, v2), daemon=True).start()
    try:
        told = _Teller(stream, faults, v2=v2)
        assert process.stdout is not None
        others = []
        if process.stderr is not None:
            others.append(threading.Thread(target=told.pump, args=(process.stderr, STDERR), daemon=True))
            others[0].start()
        told.pump(process.stdout, STDOUT)
        for other in others:
            other.join()
        code = process.wait()
        if (text := faults.cut_after) and text in command:
            faults.cut_after = None
            stream.host.abort()
        elif v2 and not told.cut and not faults.take("drop_exit"):
            stream.write(_HEADER.pack(EXIT, 1) + bytes([code & 0xFF if code >= 0 else 128 - code]))
    finally:
        stream.on_close = None
        _hang_up(process)


class _Teller:
    def __init__(self, stream: Stream, faults: Faults, *, v2: bool) -> None:
        self._stream, self._v2 = stream, v2
        self._left, faults.cut_output_after = faults.cut_output_after, None
        self.cut = False
        self._telling = threading.Lock()

    def pump(self, source: IO[bytes], kind: int) -> None:
        while data := os.read(source.fileno(), 65536):
            with self._telling:
                if self._left is not None:
                    self.cut = self.cut or len(data) >= self._left
                    data = data[: self._left]
                    self._left -= len(data)
                if data:
                    # Before Android 7 a command has a terminal, which writes line ends in its own way.
                    told = _HEADER.pack(kind, len(data)) + data if self._v2 else data.replace(b"\n", b"\r\n")
                    self._stream.write(told)
                if self.cut:
                    return


def _feed(stream: Stream, process: "subprocess.Popen[bytes]", v2: bool) -> None:
    assert process.stdin is not None
    with suppress(EOFError, OSError):
        while True:
            if not v2:
                process.stdin.write(stream.some(65536))
            else:
                kind, length = _HEADER.unpack(stream.exactly(_HEADER.size))
                if kind == CLOSE_STDIN:
                    break
                while length:
                    data = stream.some(length)
                    length -= len(data)
                    if kind == STDIN:
                        process.stdin.write(data)
            process.stdin.flush()
    with suppress(OSError):
        process.stdin.close()


def _hang_up(process: "subprocess.Popen[bytes]") -> None:
    """What adbd does when nobody listens any more; who has a session of its own does not notice."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGHUP)
