"""The lock on a phone, with the shells that phones have: one holder, whatever died."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from harness.errors import DeviceBusyError
from harness.measure.devices.phone import lock, wrapper
from harness.measure.devices.phone.wrapper import Holder, command
from tests.shell_phone import SHELLS, Session, ShellPhone, found, wait_for, write_program

OTHER_BOOT = "22222222-2222-4222-8222-222222222222"


@pytest.fixture(params=SHELLS)
def session(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Session]:
    phone = ShellPhone(tmp_path, request.param)
    yield Session(phone)
    phone.close()


def begun(session: Session, *words: str) -> "subprocess.Popen[bytes]":
    phone = session.phone
    line = command(session.wrapper, *words)
    return subprocess.Popen([phone.bin / "sh", "-c", line], env=phone.env, stdout=subprocess.PIPE)


@pytest.fixture
def living(session: Session) -> Iterator[int]:
    """A process that lives until the test is over."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


def link(session: Session, number: int, owner: str, pid: int, boot: str, expires: int) -> None:
    """A lock as another wrapper would have left it."""
    folder = session.phone.root / "lock"
    folder.mkdir(exist_ok=True)
    born = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19] if pid else "0"
    (folder / str(number)).symlink_to(f"{owner} {pid} {born} {boot} {expires}")


def boot_id(session: Session) -> str:
    return (session.phone.sys / "proc/sys/kernel/random/boot_id").read_text().strip()


def test_who_has_no_lock_yet_writes_no_file_that_another_host_writes(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[str] = []
    push = session.phone.push

    def seen(source: Path, target: str, on_bytes: Callable[[int], None] | None = None) -> None:
        pushed.append(target)
        push(source, target, on_bytes)

    monkeypatch.setattr(session.phone, "push", seen)
    for _ in range(2):  # each host as if it were the first
        Path(session.wrapper.path).unlink()
        assert wrapper.install(session.phone, session.wrapper.root).path == session.wrapper.path
    assert len(set(pushed)) == 2 and session.wrapper.path not in pushed
    assert not list(Path(session.wrapper.path).parent.glob("*.part"))


def test_one_owner_at_a_time(session: Session) -> None:
    lock.take(session.phone, session.wrapper, "a.1", 300)
    with pytest.raises(DeviceBusyError, match=r"a\.1 holds it for another \d+ s"):
        lock.take(session.phone, session.wrapper, "b.1", 300)
    assert not lock.free(session.phone, session.wrapper, "b.1")
    lock.take(session.phone, session.wrapper, "a.1", 300)
    assert lock.free(session.phone, session.wrapper, "a.1")
    assert lock.holder(session.phone, session.wrapper) is None
    lock.take(session.phone, session.wrapper, "b.1", 300)


def test_nobody_holds_a_lock_that_never_was(session: Session) -> None:
    assert lock.holder(session.phone, session.wrapper) is None
    assert lock.peek(session.phone, str(session.phone.root), str(session.phone.sys)) is None
    assert not lock.free(session.phone, session.wrapper, "a.1")


def test_the_expiry_is_the_phones_uptime(session: Session) -> None:
    session.phone.uptime(1000)
    lock.take(session.phone, session.wrapper, "a.1", 300)
    session.phone.uptime(1299.5)
    assert lock.holder(session.phone, session.wrapper) == Holder(owner="a.1", alive=False, left_s=1)
    session.phone.uptime(1300)
    assert lock.holder(session.phone, session.wrapper) is None
    lock.take(session.phone, session.wrapper, "b.1", 300)
    assert not lock.free(session.phone, session.wrapper, "a.1"), "it is b's by now"


def test_a_living_process_holds_it_past_the_expiry(session: Session, living: int) -> None:
    link(session, 7, "a.1", living, boot_id(session), expires=0)
    with pytest.raises(DeviceBusyError, match="runs on it"):
        lock.take(session.phone, session.wrapper, "b.1", 300)
    seen = lock.peek(session.phone, str(session.phone.root), str(session.phone.sys))
    assert seen is not None and seen.owner == "a.1" and seen.alive


def test_the_number_of_a_dead_process_used_again_holds_nothing(session: Session, living: int) -> None:
    folder = session.phone.root / "lock"
    folder.mkdir()
    (folder / "3").symlink_to(f"a.1 {living} 12 {boot_id(session)} 0")
    assert lock.peek(session.phone, str(session.phone.root), str(session.phone.sys)) is None
    lock.take(session.phone, session.wrapper, "b.1", 300)


def test_a_reboot_frees_it(session: Session, living: int) -> None:
    lock.take(session.phone, session.wrapper, "a.1", 100_000)
    session.phone.boot(OTHER_BOOT)
    assert lock.holder(session.phone, session.wrapper) is None
    lock.take(session.phone, session.wrapper, "b.1", 300)
    seen = lock.holder(session.phone, session.wrapper)
    assert seen is not None and seen.owner == "b.1"


@pytest.mark.parametrize("stale", ["", "other boot", "expired", "freed"])
def test_of_many_takers_one_wins(session: Session, stale: str) -> None:
    for turn in range(10):
        if stale == "freed":
            lock.take(session.phone, session.wrapper, "old", 1000)
            lock.free(session.phone, session.wrapper, "old")
        elif stale:
            lock.take(session.phone, session.wrapper, "old", 0 if stale == "expired" else 1000)
        if stale == "other boot":
            session.phone.boot(f"{turn:08}-2222-4222-8222-222222222222")
        takers = [begun(session, "lock", f"taker.{i}", "1000") for i in range(5)]
        said = [taker.communicate()[0] for taker in takers]
        codes = sorted(taker.returncode for taker in takers)
        assert codes == [0, 75, 75, 75, 75], said
        winner = next(i for i, taker in enumerate(takers) if taker.returncode == 0)
        seen = lock.holder(session.phone, session.wrapper)
        assert seen is not None and seen.owner == f"taker.{winner}"
        assert lock.free(session.phone, session.wrapper, f"taker.{winner}")


def test_old_links_are_removed(session: Session) -> None:
    for _ in range(5):
        lock.take(session.phone, session.wrapper, "a.1", 300)
    assert len(list((session.phone.root / "lock").iterdir())) <= 2


@pytest.mark.parametrize("session", ["mksh", "dash"], indirect=True)  # busybox has an `ln` of its own
def test_one_who_was_slow_does_not_win_with_an_old_number(session: Session) -> None:
    """It saw a stale lock; before it acts, others took, freed and removed links, so that its number is free again."""
    phone, slow = session.phone, session.phone.home / "slow"
    slow.mkdir()
    real = (phone.bin / "ln").resolve()
    make = f"{real} ln" if real.name == "busybox" else str(real)
    wait = 'touch "$SLOW/came"; while [ ! -e "$SLOW/go" ]; do sleep 0.02; done'
    write_program(slow / "ln", f'#!/bin/sh\n{wait}\nexec {make} "$@"\n')
    (slow / "touch").symlink_to(found("touch"))
    lock.take(phone, session.wrapper, "old", 0)
    line = command(session.wrapper, "lock", "slow.1", "1000")
    environment = {**phone.env, "PATH": f"{slow}:{phone.bin}", "SLOW": str(slow)}
    taker = subprocess.Popen([phone.bin / "sh", "-c", line], env=environment, stdout=subprocess.PIPE)
    wait_for((slow / "came").exists)
    for _ in range(4):
        lock.take(phone, session.wrapper, "a.1", 1000)
    assert not (phone.root / "lock/2").is_symlink(), "the number that the slow one is about to make"
    (slow / "go").touch()
    said = taker.communicate()[0]
    assert taker.returncode == 75 and b'"a.1"' in said
    seen = lock.holder(phone, session.wrapper)
    assert seen is not None and seen.owner == "a.1"


@pytest.mark.parametrize("owner", ["", "free", "a b", "a;id", "$(id)", "a\nb", "ä"])
def test_an_owner_is_a_plain_word(session: Session, owner: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        lock.take(session.phone, session.wrapper, owner, 300)
    done = session.phone.shell(command(session.wrapper, "lock", owner, "300"))
    assert done.exit_code != 0
    assert not (session.phone.root / "lock").exists() or not list((session.phone.root / "lock").iterdir())


def test_words_that_are_no_command_do_nothing(session: Session) -> None:
    for words in ((), ("lock",), ("lock", "a", "soon"), ("start", "x"), ("start", "x", "y", "z"), ("eval", "id")):
        done = session.phone.shell(command(session.wrapper, *words))
        assert done.exit_code == 2, words
        assert msgspec.json.decode(done.stdout) == {"error": "not understood"}


def test_a_lock_folder_that_cannot_be_written_is_said(session: Session) -> None:
    (session.phone.root / "lock").write_text("no folder")
    done = session.phone.shell(command(session.wrapper, "lock", "a.1", "300"))
    assert done.exit_code == 1 and b'"failed"' in done.stdout


def test_a_killed_holder_leaves_the_lock_until_its_expiry(session: Session) -> None:
    session.phone.uptime(5000)
    session.start("sleep", "1000", expire_s=100)
    pids = [session.pid(role) for role in ("supervisor", "guard", "runner", "program")]
    for pid in pids:
        subprocess.run(["kill", "-9", str(pid)], check=True)
    wait_for(lambda: session.poll().phase == "gone")
    with pytest.raises(DeviceBusyError):
        lock.take(session.phone, session.wrapper, "b.1", 300)
    session.phone.uptime(5100)
    lock.take(session.phone, session.wrapper, "b.1", 300)
