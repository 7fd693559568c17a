"""One message a cause to a webhook: plain JSON, or the form that Slack takes. One out of reach is said, no more."""

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from urllib.parse import urlsplit

from harness.analyse.history.found import Message
from harness.errors import InputError
from harness.nightly.values import Form

LONGEST_S = 15.0
MOST_CHARACTERS = 3000
"""Of one text in a message: Slack takes no more in a block."""
_SLACK = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def address_of(given: str) -> str:
    """A webhook's address: as given, or by the name of an environment variable that holds it (`$NAME` or `NAME`).

    Raises:
        InputError: no such variable, or neither http nor https. The address itself is a secret and not repeated.
    """
    name = re.fullmatch(r"\$?([A-Za-z_][A-Za-z0-9_]*)", given)
    address = os.environ.get(name[1], "") if name else given
    if name and not address:
        raise InputError(f"--webhook: the environment has no variable {name[1]}")
    try:
        parts = urlsplit(address)
    except ValueError:  # whose words hold the address
        raise InputError("--webhook: what was given is no address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("--webhook: an address that begins with http:// or https:// is needed")
    return address


def send(address: str, causes: Sequence[Message], form: Form) -> tuple[str, ...]:
    """Send a message for each; returns what went wrong, in words without the address. Nothing is tried twice."""
    return tuple(why for cause in causes if (why := _send(address, message(cause, form))) is not None)


def message(cause: Message, form: Form) -> bytes:
    """The body of one message."""
    if form == "json":
        told = {
            "id": cause.id,
            "title": cause.title,
            "since": cause.since,
            "run": cause.run,
            "changed": list(cause.differences),
            "series": list(cause.lines),
            "text": cause.text,
        }
        return json.dumps(told).encode()
    title = _for_slack(cause.title, MOST_CHARACTERS // 4)
    text = _for_slack(cause.text, MOST_CHARACTERS - len(title) - 3)
    section = {"type": "section", "text": {"type": "mrkdwn", "text": f"*{title}*\n{text}"}}
    return json.dumps({"text": title, "blocks": [section]}).encode()


def _send(address: str, body: bytes) -> str | None:
    request = urllib.request.Request(  # noqa: S310 - http and https alone, see address_of
        address, data=body, headers={"Content-Type": "application/json", "User-Agent": "bench"}, method="POST"
    )
    try:
        with _opener().open(request, timeout=LONGEST_S) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        return f"the webhook refused a message: HTTP {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return f"the webhook is out of reach: {_why(error)}"
    return None


def _opener() -> urllib.request.OpenerDirector:
    """Follows no redirection: a message that was sent on as a GET would be lost without a word."""
    return urllib.request.build_opener(_NoRedirect)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _why(error: Exception) -> str:
    """Without the address, which is a secret."""
    reason = getattr(error, "reason", error)
    return reason.strerror or type(reason).__name__ if isinstance(reason, OSError) else type(reason).__name__


def _for_slack(text: str, most: int) -> str:
    """Slack reads `<…>` as links and mentions, and escapes are these three; no escape is cut in the middle."""
    found = [_SLACK.get(c, c) for c in text]
    while sum(map(len, found)) > most:
        found = [*found[: len(found) * 9 // 10], "…"]
    return "".join(found)
