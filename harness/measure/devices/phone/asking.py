"""Many questions to a phone in one shell call, each with its own answer: a call costs some 25 ms.

After each command the script prints a line with a word that nobody can know beforehand, the question's name and
the command's exit code; what stands before that line is the answer. So nothing that a phone prints can end an
answer early, and an answer whose line is missing was cut off.
"""

import re
import secrets
from collections.abc import Mapping

from harness.measure.devices.adb.connection import Connection
from harness.values import Value

MISSING, DENIED = 127, 126


class Answer(Value, frozen=True):
    """What a command printed."""

    text: str = ""
    why_not: str | None = None
    """Why there is no answer; None where there is one."""


def ask(connection: Connection, questions: Mapping[str, str], *, timeout_s: float = 60.0) -> dict[str, Answer]:
    """Name → shell command, run one after the other; name → answer.

    Raises:
        DeviceError: the phone is out of reach.
    """
    mark = secrets.token_hex(8)
    done = connection.shell(script(questions, mark), timeout_s=timeout_s)
    return answers(done.stdout.decode("utf-8", errors="replace"), questions, mark)


def script(questions: Mapping[str, str], mark: str) -> str:
    """One shell script of all commands; names are plain words, commands are the program's own text."""
    parts = []
    for name, command in questions.items():
        assert re.fullmatch(r"\w+", name), name
        parts.append(f"( {command}\n) </dev/null 2>&1; r=$?; echo; echo {mark} {name} $r")
    return "\n".join(parts)


def answers(output: str, questions: Mapping[str, str], mark: str) -> dict[str, Answer]:
    """The output of such a script, cut into answers."""
    found: dict[str, Answer] = {}
    rest = output.replace("\r\n", "\n")
    for name in questions:
        end = re.search(rf"\n{mark} {name} (\d{{1,3}})(?:\n|$)", rest)
        if end is None:
            found[name] = Answer(why_not="the phone's answer was cut off")
            continue
        found[name] = _answer(rest[: end.start()], int(end.group(1)))
        rest = rest[end.end() :]
    return found


def _answer(text: str, exit_code: int) -> Answer:
    """Some commands complain and still answer, so that only the two codes of the shell itself are no answer."""
    if exit_code in (MISSING, DENIED):
        said = text.strip().splitlines()
        return Answer(why_not=said[-1][:200] if said else f"the command ended with {exit_code}")
    return Answer(text=text)
