"""The stand-in's own process: a phone on a port of loopback, steered by lines of JSON."""

import argparse
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from tests.standin.faults import Faults
from tests.standin.files import inside
from tests.standin.host import Host, Stream
from tests.standin.machine import BootError, Machine, run_aarch64
from tests.standin.phone import Phone
from tests.standin.shell_service import serve_shell
from tests.standin.sync_service import serve_sync


class Adbd:
    """Listens; one thread a host."""

    def __init__(self, phone: Phone, machine: Machine, port: int) -> None:
        self.faults = Faults()
        self._phone, self._machine = phone, machine
        self._keys: list[bytes] = []
        self._hosts: set[Host] = set()
        self._listening = socket.create_server(("127.0.0.1", port), backlog=16)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop_hosts(self) -> None:
        for host in list(self._hosts):
            host.abort()

    def accept_keys(self) -> None:
        self.faults.auth = "accept"
        for host in list(self._hosts):
            host.accept()

    def _accept(self) -> None:
        while True:
            connected, _ = self._listening.accept()
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.faults.refuse:
                connected.close()
                continue
            host = Host(connected, self._phone, self.faults, self._keys, self._serve)
            self._hosts.add(host)
            threading.Thread(target=self._run, args=(host,), daemon=True).start()

    def _run(self, host: Host) -> None:
        host.run()
        self._hosts.discard(host)

    def _serve(self, stream: Stream, service: str) -> None:
        if service == "sync:":
            serve_sync(stream, self._machine.root, self.faults)
        else:
            serve_shell(stream, service, self._machine, self.faults)


def obey(order: dict[str, Any], adbd: Adbd, machine: Machine) -> Any:
    match order.pop("do"):
        case "set":
            for name, value in order.items():
                setattr(adbd.faults, name, value)
        case "get":
            return getattr(adbd.faults, order["name"])
        case "write":
            path = inside(machine.root, order["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(order["data"]))
        case "remove":
            inside(machine.root, order["path"]).unlink(missing_ok=True)
        case "chmod":
            inside(machine.root, order["path"]).chmod(order["mode"])
        case "read":
            path = inside(machine.root, order["path"])
            return base64.b64encode(path.read_bytes()).decode() if path.exists() else None
        case "forbid_execution":
            machine.forbid_execution(order["forbid"])
        case "limit_space":
            machine.limit_space(order["quota_bytes"])
        case "accept":
            adbd.accept_keys()
        case "restart_adbd":
            if order["harsh"]:
                machine.end_shells()
            adbd.drop_hosts()
        case "halt":
            machine.halt()
            adbd.drop_hosts()
        case "boot":
            machine.boot()
        case unknown:
            raise ValueError(f"unknown order {unknown!r}")
    return None


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup pytest` must not make a phone that hang-ups do not reach
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("phone", type=Path, help="the phone as JSON")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--quota-bytes", type=int)
    parser.add_argument("--qemu", help="run programs of aarch64 by this emulator")
    wish = parser.parse_args()
    phone = msgspec.json.decode(wish.phone.read_bytes(), type=Phone)
    try:
        if wish.qemu:
            run_aarch64(wish.qemu, wish.root / "standin" / "binfmt")
        machine = Machine(wish.root, quota_bytes=wish.quota_bytes)
    except (BootError, subprocess.CalledProcessError) as error:
        say({"failed": f"{error} {getattr(error, 'stderr', '') or ''}"})
        sys.exit(1)
    adbd = Adbd(phone, machine, wish.port)
    say({"port": adbd.port})
    try:
        for line in sys.stdin:
            try:
                answer = {"answer": obey(json.loads(line), adbd, machine)}
            except (OSError, ValueError, BootError, subprocess.CalledProcessError) as error:
                answer = {"failed": repr(error)}
            say(answer)
    finally:
        machine.halt()
        os._exit(0)  # threads may wait in the kernel for hosts that are gone


if __name__ == "__main__":
    main()
