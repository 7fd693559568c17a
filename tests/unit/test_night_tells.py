"""What a night tells: one message a cause, as JUnit XML, Markdown, a webhook's message and a feed; all escaped."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from markdown_it import MarkdownIt

from harness.analyse.history.found import Confirmed, NightFound, NotMeasured, Told, read_found, readable_found
from harness.analyse.history.values import Change, Confirmation, Difference, History, Missing, Night, Point, Series
from harness.errors import InputError, StoreError
from harness.nightly.feed import ATOM, feed
from harness.nightly.junit import junit
from harness.nightly.summary import summary, verdict
from harness.nightly.telling import causes, difference
from harness.nightly.values import Alert
from harness.nightly.webhook import address_of, message, send
from harness.pipeline import known_names
from harness.schema import schema_of
from harness.store import encode
from tests.schemas import errors

EVIL = "<script>alert(1)</script> & [x](javascript:y) | `b` @all <!channel> \x1b[31m\x00 ]]>"
RUNNER = Difference(what="runner", before="a" * 64, after="b" * 64)
HISTORY = History(
    made="2026-07-16T00:00:00Z",
    nights=tuple(
        Night(run=f"2026071{n}T010000Z-nightly-a-000{n}", started=f"2026-07-1{n}T01:00:00Z", suite="nightly", host="h")
        for n in range(5)
    ),
    series=(),
)


def series(metric: str = "decode_tok_s", variant: str = "int4", device: str = "local", **more: object) -> Series:
    return Series(
        id=f"{abs(hash((metric, variant, device))):016x}"[:16],
        suite="nightly",
        device=device,
        host="h",
        runtime="llama.cpp",
        variant=variant,
        workload="speed p64+g64",
        metric=metric,
        title="Decode" if metric == "decode_tok_s" else metric,
        unit="tok/s",
        better="higher",
        kind="speed",
        points=tuple(Point(night=n, value=100.0 - 10 * (n > 2), reason=None) for n in range(5)),
        conditions=({},),
        **more,  # type: ignore[arg-type]
    )


def change(at: int = 3, between: tuple[Difference, ...] = (), rule: str = "a rule", confirmed: bool = True) -> Change:
    return Change(
        at=at,
        earliest=at,
        latest=at,
        before=100.0,
        after=90.0,
        ratio=0.9,
        ratio_low=0.88,
        ratio_high=0.92,
        worse=True,
        tier="alert",
        rule=rule,
        nights=2,
        between=between,
        confirmation=Confirmation(run="confirm-1", pairs=6, ratio=0.9, bound=0.93, confirmed=True)
        if confirmed
        else None,
    )


def found(**more: object) -> NightFound:
    run = HISTORY.nights[-1].run
    return NightFound(run=run, suite="nightly", devices=("local",), ended="2026-07-14T02:00:00Z", **more)  # type: ignore[arg-type]


def test_alerts_of_one_cause_are_one_message() -> None:
    alerts = [
        Alert(series=series(variant=variant, metric=metric), change=change(at, (RUNNER,)))
        for variant, metric, at in (("int4", "decode_tok_s", 3), ("int8", "prefill_tok_s", 2), ("f16", "ttft_s", 3))
    ]
    alerts.append(Alert(series=series(device="phone"), change=change(3, (RUNNER,))))
    alerts += [Alert(series=series(variant=v), change=change(at)) for v, at in (("a", 1), ("b", 1), ("c", 2))]
    told = causes(alerts, HISTORY)
    assert [len(one.lines) for one in told] == [3, 2, 1, 1]
    assert told[0].run == HISTORY.nights[2].run and told[0].since == "2026-07-12T01:00:00Z"
    assert told[0].differences == (f"runner: {'a' * 12} → {'b' * 12}",)
    assert len({one.id for one in told}) == 4


def test_a_message_says_since_when_how_much_and_how_sure() -> None:
    (one,) = causes([Alert(series=series(), change=change())], HISTORY)
    assert one.title == "nightly on local: int4 · speed p64+g64 · Decode 10 % slower (8–12), from 100 tok/s to 90 tok/s"
    assert "confirmed by 6 interleaved pairs in confirm-1: 10.0 % slower, at least 7.0 % slower" in one.text
    assert one.text.startswith("since 2026-07-13T01:00:00Z (20260713T010000Z-nightly-a-0003)")
    (ruled,) = causes([Alert(series=series(), change=change(confirmed=False))], HISTORY)
    assert ruled.lines[0].endswith("; a rule")
    many = [Alert(series=series(variant=f"v{n}"), change=change()) for n in range(11)]
    assert causes(many, HISTORY)[0].lines[-1] == "and 3 more series"


def evil_night() -> tuple[NightFound, list[Series], list[Alert]]:
    one = series(variant=EVIL, missing=(Missing(first=0, nights=3, what=EVIL, alert=True),))
    other = msgspec.structs.replace(one, id="0" * 16)
    alerts = [Alert(series=one, change=change(between=(Difference(what=EVIL, before=None, after=EVIL),), rule=EVIL))]
    told = Told(series=one.id, since=EVIL, good_run=None, ratio=None, rule=EVIL)
    night = found(
        watches=(told,),
        alerts=(told,),
        missing=(other.id,),
        failures=(NotMeasured(cell="c", what=EVIL, device=EVIL, status="failed", reason=EVIL),),
        confirmations=(Confirmed(series=one.id, since="s", new_run="n", good_run="g", reason=EVIL),),
        messages=causes(alerts, HISTORY),
        troubles=(EVIL,),
    )
    return night, [one, other], alerts


def test_what_is_written_fits_its_schema() -> None:
    night, _, _ = evil_night()
    assert not list(errors(json.loads(encode(night)), schema_of("night", known_names())))


def test_one_damaged_night_hides_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "nights"
    folder.mkdir()
    for name, body in (("a", encode(found())), ("b", b'{"schema": 1'), ("c", b'{"schema": 99, "more": 1}')):
        (folder / f"{name}.json").write_bytes(body)
    nights, wrong = readable_found(tmp_path)
    assert nights == (found(),)
    assert "b.json: damaged" in wrong[0] and "c.json: written by a newer bench (schema 99" in wrong[1]
    with pytest.raises(StoreError, match="damaged"):
        read_found(tmp_path)


def test_junit_counts_alerts_missing_series_and_failed_cells() -> None:
    night, known, alerts = evil_night()
    root = ElementTree.fromstring(junit(night, [*known, series()], alerts))
    (suite,) = root
    assert {k: suite.get(k) for k in ("tests", "failures", "errors")} == {"tests": "4", "failures": "2", "errors": "1"}
    kinds = [[child.get("type") for child in case] for case in suite]
    assert kinds == [["alert"], ["missing"], [], ["failed"]]
    assert "<script>" in str(suite[3][0].get("message")), "it is text, whatever it holds"


def test_the_summary_is_text_whatever_names_hold() -> None:
    night, known, alerts = evil_night()
    text = summary(night, causes(alerts, HISTORY), known)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<script" not in html and "<a " not in html and "<!channel" not in html and "\x1b" not in text
    assert html.count("<tr>") == 4 and "1 alert, 1 series missing, 1 failed cell, 1 watch" in html
    assert verdict(found()) == "nothing got worse" and verdict(found(watches=(night.watches[0],) * 2)) == "2 watches"


def test_the_feed_has_an_entry_a_message_whose_id_stays() -> None:
    night, _, _ = evil_night()
    quiet = found()
    roots = [ElementTree.fromstring(feed(nights, "bench")) for nights in ([night, quiet], [night, night])]
    entries = [root.findall(f"{{{ATOM}}}entry") for root in roots]
    assert [len(found) for found in entries] == [1, 1], "what was sent again is one message"
    assert len({entry.findtext(f"{{{ATOM}}}id") for entry in (*entries[0], *entries[1])}) == 1
    for root in roots:
        assert all(root.find(f"{{{ATOM}}}{name}") is not None for name in ("id", "title", "updated", "author"))
    ElementTree.fromstring(feed([], "bench"))


def test_slack_gets_text_without_mentions_and_no_more_than_it_takes() -> None:
    many = [Alert(series=series(variant=f"v{n}<!channel>" + "x" * 400), change=change()) for n in range(11)]
    (one,) = causes(many, HISTORY)
    body = json.loads(message(one, "slack"))
    text = body["blocks"][0]["text"]["text"]
    assert "<" not in body["text"] + text and "&lt;!channel&gt;" in text and len(text) <= 3000
    plain = json.loads(message(one, "json"))
    assert plain["title"] == one.title and plain["series"] == list(one.lines) and plain["since"] == one.since


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(302 if self.path == "/away" else 500 if self.path == "/broken" else 200)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.bodies = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_gets_a_message_a_cause_and_its_failures_are_said(hook: HTTPServer) -> None:
    told = causes([Alert(series=series(variant=v), change=change(n)) for n, v in enumerate("ab", 1)], HISTORY)
    address = f"http://127.0.0.1:{hook.server_port}"
    assert send(address, told, "json") == ()
    assert [body["id"] for body in hook.bodies] == [one.id for one in told]  # type: ignore[attr-defined]
    assert send(f"{address}/broken", told[:1], "slack") == ("the webhook refused a message: HTTP 500",)
    assert send(f"{address}/away", told[:1], "json") == ("the webhook refused a message: HTTP 302",)
    assert send(address, [], "json") == ()


def test_an_unreachable_webhook_is_said_without_its_address(hook: HTTPServer) -> None:
    (one,) = causes([Alert(series=series(), change=change())], HISTORY)
    hook.socket.close()
    for secret in (f"http://127.0.0.1:{hook.server_port}/secret", "http://secret.invalid/"):
        (why,) = send(secret, [one], "json")
        assert why.startswith("the webhook is out of reach: ") and "secret" not in why


def test_the_address_comes_from_the_environment_or_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHT_HOOK", "https://example.org/x")
    assert address_of("NIGHT_HOOK") == address_of("$NIGHT_HOOK") == address_of("https://example.org/x")
    monkeypatch.setenv("BAD_HOOK", "file:///etc/secret")
    for wrong in ("BAD_HOOK", "file:///etc/secret", "ftp://secret", "https://", "NOT_SET"):
        with pytest.raises(InputError) as error:
            address_of(wrong)
        assert "secret" not in str(error.value)


def test_differences_are_short() -> None:
    assert difference(Difference(what="llama.cpp", before=None, after="b4")) == "llama.cpp: none → b4"
