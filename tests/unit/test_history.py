"""Runs become a history: nights in order, cuts, gaps, what cannot be read; acknowledgements, reruns, commands."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from harness.analyse.history.acknowledging import Acknowledged, acknowledge, covers, find_change, name_of, read_acks
from harness.analyse.history.found import Confirmed, NightFound
from harness.analyse.history.gate import gate
from harness.analyse.history.judging import judged
from harness.analyse.history.nights import time_of, utc
from harness.analyse.history.reading import read_history
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Change, Confirmation, History, Night, Series
from harness.analyse.history.watch import watches
from harness.cli import main
from harness.errors import InputError, StoreError, UnknownNameError
from harness.histories import chosen, first_night, worse_since
from harness.store import encode, write_durably
from harness.values import Cell, Compared, Shard, TrialRecord
from tests.nights import FIRST, WITH_TASK, build_night, night, series_of, with_facts

DAYS = 24
DROP = 18


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 nights, the 8th missing; int8 decodes a tenth slower from the 19th on. Tests that change it copy it."""
    results = tmp_path_factory.mktemp("nights")
    for number in range(DAYS):
        if number != 7:
            build_night(results, number, decode=0.9 if number >= DROP else 1.0)
    return results


@pytest.fixture
def copied(nights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(nights, tmp_path / "results"))


def read(results: Path, days: int = DAYS, **more: object) -> History:
    return read_history(results, made=FIRST + timedelta(days=days), **more)  # type: ignore[arg-type]


def one(history: History, metric: str = "decode_tok_s", variant: str = "int8") -> Series:
    (found,) = [s for s in history.series if (s.metric, s.variant) == (metric, variant)]
    return found


# ---------------------------------------------------------------- reading


def test_a_history_has_nights_series_and_the_change(nights: Path) -> None:
    history = read(nights)
    assert [n.run for n in history.nights] == [night(n) for n in range(DAYS) if n != 7]
    assert history.unreadable == ()
    series = one(history)
    assert len(series.points) == DAYS - 1
    assert series.cuts == ()
    (change,) = series.changes
    assert history.nights[series.points[change.at].night].run == night(DROP)
    assert (change.worse, change.tier) == (True, "watch")
    assert change.ratio == pytest.approx(0.9, abs=0.02)
    assert [d.what for d in change.between] == ["artifact"]
    assert len(series.points[0].rounds) == 3
    assert series.command[-4:] == ("--variants", "int8", "--measures", "speed")
    assert history.series[0].changes, "the worst stand first"
    assert one(history, variant="f16").changes == ()


def test_a_missing_night_is_told_and_alerts_only_while_it_lasts(nights: Path) -> None:
    (gap,) = one(read(nights)).missing
    assert (gap.first, gap.nights, gap.what, gap.alert) == (7, 1, "no run", False)
    late = one(read(nights, DAYS + 4)).missing[-1]
    assert (late.first, late.nights, late.alert) == (DAYS - 1, 4, True)


def test_the_order_of_files_and_the_clock_s_zone_do_not_matter(nights: Path, copied: Path) -> None:
    path = copied / night(3) / "records.jsonl"
    text = path.read_text()
    assert '"started":"2026-09-04T02:01:00Z"' in text
    path.write_text(text.replace("2026-09-04T02:01:00Z", "2026-09-04T11:01:00+09:00"))
    later = [copied / night(n) for n in (5, 1, 3)]
    assert read(copied) == read(nights)
    found = read_history(later, made=FIRST + timedelta(days=DAYS))
    assert [n.run for n in found.nights] == [night(1), night(3), night(5)]


def test_any_prefix_gives_the_same_past(nights: Path, tmp_path: Path) -> None:
    for number in range(12):
        if number != 7:
            (tmp_path / night(number)).symlink_to(nights / night(number))
    whole, prefix = read(nights), read(tmp_path, 12)
    assert whole.nights[:11] == prefix.nights
    for series in prefix.series:
        later = one(whole, series.metric, series.variant or "") if series.variant else None
        assert later is not None
        assert (later.id, later.points[:11]) == (series.id, series.points)


def test_a_copy_of_a_run_is_that_run(nights: Path, copied: Path) -> None:
    (copied / night(4) / "records.jsonl").write_text("")
    both = read_history([copied, nights], made=FIRST + timedelta(days=DAYS))
    assert both.nights == read(nights).nights
    assert all(p.value is not None for p in one(both).points), "the copy with more records is the run"


def test_a_clock_that_went_back_is_marked_and_one_in_the_future_is_left_out(copied: Path) -> None:
    build_night(copied, 20, started="2019-01-01T00:00:00Z", name=night(20))
    build_night(copied, 22, started="2031-01-01T00:00:00Z", name="20310101T000000Z-quick-host-00ff")
    history = read(copied)
    series = one(history)
    (point,) = [p for p in series.points if history.nights[p.night].run == night(20)]
    assert [m for m in point.marks if m.startswith("clock")]
    assert [n.run for n in history.nights] == sorted(n.run for n in history.nights)
    assert len(history.unreadable) == 1
    assert "begins in the future (2031-01-01" in history.unreadable[0]


def test_runs_that_cannot_be_read_are_named_and_cost_no_other(copied: Path) -> None:
    (copied / night(2) / "plan.json").write_text("{")
    path = copied / night(3) / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"duration_ns":2000000000', b'"duration_ns":NaN', 1))
    history = read(copied)
    assert len(history.unreadable) == 2
    assert len(history.nights) == DAYS - 3
    assert one(history).changes


def test_an_interrupted_run_is_a_night_whose_cells_say_why(copied: Path) -> None:
    path = copied / night(DAYS - 1) / "records.jsonl"
    path.write_bytes(path.read_bytes()[:700])
    history = read(copied)
    last = one(history).points[-1]
    assert last.value is None
    assert "not measured yet" in (last.reason or "")
    assert one(history).missing[-1].alert is False, "one night is below the limit"
    assert "not measured yet" in (one(history).missing[-1].what)


def failing(cell: Cell, record: TrialRecord) -> TrialRecord:
    if cell.variant != "int8":
        return record
    return msgspec.structs.replace(record, status="failed", reason="exit code 1", observations=())


def test_cells_that_fail_again_and_again_alert(copied: Path) -> None:
    for number in range(DAYS, DAYS + 3):
        build_night(copied, number, change=failing)
    gap = one(read(copied, DAYS + 3)).missing[-1]
    assert (gap.nights, gap.what, gap.alert) == (3, "exit code 1", True)
    assert not any(g.alert for g in one(read(copied, DAYS + 3), variant="f16").missing)


def test_what_a_night_did_not_ask_for_is_said(copied: Path) -> None:
    build_night(copied, DAYS, measures=WITH_TASK[2:])
    gap = one(read(copied, DAYS + 1)).missing[-1]
    assert (gap.what, gap.nights, gap.alert) == ("not planned", 1, False)


def test_another_system_cuts_speed_and_no_size(copied: Path) -> None:
    for number in range(12, DAYS):
        with_facts(copied / night(number), os="Debian GNU/Linux 13")
    history = read(copied)
    (cut,) = one(history).cuts
    assert [d.what for d in cut.differences] == ["operating system"]
    assert (cut.differences[0].before, cut.differences[0].after) == ("Debian GNU/Linux 12", "Debian GNU/Linux 13")
    assert cut.before is not None
    assert one(history, "size_bytes").cuts == ()


def test_two_hosts_have_series_of_their_own(copied: Path) -> None:
    for number in range(0, DAYS, 2):
        with_facts(copied / night(number), host_hash="aaaa")
    series = [s for s in read(copied).series if (s.metric, s.variant) == ("decode_tok_s", "int8")]
    assert sorted(s.host for s in series) == ["5f2c", "aaaa"]
    assert len({s.id for s in series}) == 2
    assert sum(len(s.points) for s in series) == DAYS - 1


def test_reruns_and_shards_are_no_nights(copied: Path) -> None:
    for number, field in ((4, {"compares": ()}), (5, {"shard": Shard(number=1, of=2)})):
        path = copied / night(number) / "plan.json"
        plan = msgspec.json.decode(path.read_bytes())
        path.write_bytes(msgspec.json.encode(plan | msgspec.to_builtins(field)))
    history = read(copied)
    assert len(history.nights) == DAYS - 3
    assert [line.split(":")[0] for line in history.unreadable] == [night(5)]
    assert Compared.__struct_fields__[0] == "variant"


def test_scores_are_compared_question_by_question(tmp_path: Path) -> None:
    for number in range(4):
        build_night(tmp_path, number, measures=WITH_TASK, accuracy=None if number < 2 else 0.02)
    series = one(read(tmp_path, 4), "acc")
    assert all(p.value is not None for p in series.points)
    changed = [c for c in series.changes if c.worse]
    assert changed
    assert all(c.tier == "alert" and "McNemar" in c.rule for c in changed)


# ---------------------------------------------------------------- reruns and acknowledgements


def found_by_rerun(results: Path, *, sure: bool) -> None:
    series = one(read(results))
    seen = Confirmation(run="r", pairs=6, ratio=0.9, bound=0.93 if sure else 1.02, confirmed=sure)
    confirmed = Confirmed(
        series=series.id, since=night(DROP), new_run=night(DAYS - 1), good_run=night(DROP - 1), confirmation=seen
    )
    found = NightFound(run=night(DAYS - 1), suite="quick", devices=("local",), ended="", confirmations=(confirmed,))
    write_durably(results / "nights" / f"{night(DAYS - 1)}.json", encode(found))


@pytest.mark.parametrize("sure", [True, False])
def test_a_rerun_makes_a_watch_an_alert_or_not(copied: Path, sure: bool) -> None:
    found_by_rerun(copied, sure=sure)
    (change,) = one(read(copied)).changes
    assert change.tier == ("alert" if sure else "watch")
    assert change.confirmation is not None
    assert change.confirmation.confirmed is sure


def test_only_tonight_s_worse_watches_ask_for_a_rerun(nights: Path, copied: Path) -> None:
    tonight = read(nights)
    wanted = watches(tonight, night(DAYS - 1))
    assert one(tonight).id in {w.series for w in wanted}
    (watch,) = [w for w in wanted if w.series == one(tonight).id]
    assert watch.worse
    assert watch.new_run == night(DAYS - 1)
    assert watch.good_run < night(DAYS - 1)
    assert watches(tonight, night(3)) == (), "an earlier night asks for nothing any more"
    found_by_rerun(copied, sure=True)
    assert one(tonight).id not in {w.series for w in watches(read(copied), night(DAYS - 1))}


def test_reruns_end_after_so_many_nights(nights: Path) -> None:
    tonight = read(nights)
    series = one(tonight)
    seen = Confirmation(run="r", pairs=6, ratio=1.0, bound=1.1, confirmed=False)
    done = [
        Confirmed(series=series.id, since=night(DROP), new_run=night(n), good_run=night(2), confirmation=seen)
        for n in range(DROP, DROP + 5)
    ]
    asked = {w.series for w in watches(tonight, night(DAYS - 1), Settings(), done)}
    assert series.id not in asked
    assert series.id in {w.series for w in watches(tonight, night(DAYS - 1), Settings(), done[:4])}


def test_an_acknowledgement_stays_beside_its_change(copied: Path) -> None:
    history = read(copied)
    series = one(history)
    path = acknowledge(copied, history, series.id[:10], by="Ann", reason="  new kernel, agreed  ")
    (ack,) = read_acks(copied)
    assert path.name == f"{path.stem}.json"
    assert (ack.by, ack.reason, ack.worse) == ("Ann", "new kernel, agreed", True)
    (change,) = one(read(copied)).changes
    assert change.acknowledged is not None
    assert change.acknowledged.by == "Ann"
    build_night(copied, DAYS, decode=0.9)
    (later,) = one(read(copied, DAYS + 1)).changes
    assert later.acknowledged is not None, "it holds as the history grows"


def test_changes_are_found_by_name(nights: Path) -> None:
    history = read(nights)
    series = one(history)
    name = name_of(history, series, series.changes[0])
    assert find_change(history, name) == (series, series.changes[0])
    with pytest.raises(UnknownNameError, match="unknown series 'zz'"):
        find_change(history, "zz")
    with pytest.raises(UnknownNameError, match="unknown change"):
        find_change(history, f"{series.id}@{night(1)}")
    with pytest.raises(InputError, match="has no change"):
        find_change(history, one(history, variant="f16").id)
    with pytest.raises(InputError, match="a reason has"):
        acknowledge(nights, history, name, by="Ann", reason=" ")


def test_what_was_said_and_cannot_be_read_is_named(copied: Path) -> None:
    acknowledge(copied, read(copied), one(read(copied)).id, by="Ann", reason="known")
    write_durably(copied / "acks" / "x.json", b"{}")
    write_durably(copied / "nights" / "y.json", b"{")
    history = read(copied)
    assert one(history).changes[0].acknowledged is not None
    assert [line.split(":")[0].rpartition("/")[2] for line in history.unreadable] == ["y.json", "x.json"]
    with pytest.raises(StoreError, match="damaged"):
        read_acks(copied)


# ---------------------------------------------------------------- since when


def test_regressions_since_a_day_a_run_and_a_version(nights: Path) -> None:
    history = read(nights)
    assert first_night(history, "2026-09-03") == 2
    assert first_night(history, "2026-09-03T03:00:00+02:00") == 2
    assert first_night(history, night(9)) == 8
    assert first_night(history, "0.1.0") == 0
    with pytest.raises(UnknownNameError, match="date, run or version"):
        first_night(history, "9.9")
    assert worse_since(history, None)
    assert worse_since(history, "2026-09-23") == ()
    assert {s.metric for s, _ in worse_since(history, None)} >= {"decode_tok_s"}
    assert [s.id for s in chosen(history, "INT8 decode", ())] == [one(history).id]


# ---------------------------------------------------------------- gate


def test_a_gate_counts_what_got_worse(nights: Path) -> None:
    found = gate(nights / night(3), nights / night(DAYS - 1), Settings())
    verdicts = {(r.metric, r.variant): r.verdict for r in found.rows}
    assert verdicts["decode_tok_s", "int8"] == "worse"
    assert verdicts["size_bytes", "int8"] == "untouched"
    assert not found.passed
    assert sum(found.counts.values()) == len(found.rows)
    assert found.rows[0].verdict == "worse"
    assert gate(nights / night(3), nights / night(4), Settings()).counts["worse"] == 0


def test_a_gate_does_not_compare_what_is_not_comparable(copied: Path) -> None:
    with_facts(copied / night(DAYS - 1), os="Debian GNU/Linux 13")
    found = gate(copied / night(3), copied / night(DAYS - 1), Settings())
    (row,) = [r for r in found.rows if (r.metric, r.variant) == ("decode_tok_s", "int8")]
    assert row.verdict == "unsure"
    assert "operating system" in row.why


def test_a_cell_that_fails_in_the_head_got_worse(copied: Path) -> None:
    build_night(copied, DAYS, change=failing)
    found = gate(copied / night(3), copied / night(DAYS), Settings())
    assert {r.verdict for r in found.rows if r.variant == "int8" and r.base is not None} == {"worse"}
    assert "exit code 1" in found.rows[0].why


def test_what_is_known_of_does_not_block(copied: Path) -> None:
    history = read(copied)
    for series in history.series:
        if any(c.worse for c in series.changes):
            acknowledge(copied, history, series.id, by="Ann", reason="known")
    found = gate(copied / night(3), copied / night(DAYS - 1), Settings(), read_acks(copied))
    assert found.counts["acknowledged"] > 0
    (row,) = [r for r in found.rows if (r.metric, r.variant) == ("decode_tok_s", "int8")]
    assert row.verdict == "acknowledged"
    later = gate(copied / night(DROP + 1), copied / night(DAYS - 1), Settings(), read_acks(copied))
    assert later.counts["acknowledged"] == 0, "a base that is newer than the change knows nothing of it"


# ---------------------------------------------------------------- commands


def bench(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.output


def test_the_commands_say_the_same_in_words_and_json(copied: Path) -> None:
    code, text = bench("history", str(copied), "--series", "int8 decode", "--metrics", "decode_tok_s")
    assert code == 0
    assert "▁" in text
    code, body = bench("history", str(copied), "--series", "int8 decode", "--json")
    (series,) = json.loads(body)["series"]
    assert series["metric"] == "decode_tok_s"
    code, text = bench("regressions", str(copied))
    assert code == 0, "a watch does not fail"
    assert series["id"][:8] in text
    found_by_rerun(copied, sure=True)
    assert bench("regressions", str(copied))[0] == 3
    assert bench("ack", series["id"], "--reason", "known", "--by", "Ann", "--results", str(copied))[0] == 0
    code, body = bench("regressions", str(copied), "--json")
    assert code == 0
    assert any(r["change"]["acknowledged"] for r in json.loads(body))


def test_the_gate_is_markdown_and_fails_with_3(copied: Path) -> None:
    code, text = bench("gate", str(copied / night(3)), str(copied), "--results", str(copied))
    assert code == 3
    assert text.startswith("## Something got worse")
    assert "| worse | int8 |" in text
    code, body = bench("gate", night(3), night(4), "--results", str(copied), "--json")
    assert code == 0
    assert json.loads(body)["counts"]["worse"] == 0


def test_commands_say_what_is_wrong_in_one_line(tmp_path: Path, copied: Path) -> None:
    for arguments, said in (
        (("history", str(tmp_path / "none")), "no night in"),
        (("history", str(copied), "--metrics", "speed"), "unknown metric"),
        (("regressions", str(copied), "--since", "yesterday"), "unknown date, run or version"),
        (("ack", "zz", "--reason", "x", "--results", str(copied)), "unknown series"),
        (("gate", "a", "b", "--results", str(copied)), "is no run folder"),
    ):
        code, text = bench(*arguments)
        assert code == 2, text
        assert said in text
        assert len(text.strip().splitlines()) == 1


def test_nothing_from_a_plan_becomes_markup(copied: Path) -> None:
    for number in (3, DAYS - 1):
        path = copied / night(number) / "plan.json"
        path.write_text(path.read_text().replace("Q8_0 everywhere", "<img src=x>|[a](javascript:b)"))
    text = bench("gate", night(3), night(DAYS - 1), "--results", str(copied))[1]
    assert "<img" not in text
    assert "](javascript" not in text


def test_names_and_times_that_are_none_cost_no_other_run(copied: Path) -> None:
    shutil.copytree(copied / night(3), copied / "20261399T000000Z-quick-h-0000")
    assert time_of("20261399T000000Z") is None and time_of("20260714T101500Z") is not None
    assert utc("0001-01-01T00:00:00+14:00") is None
    assert len(one(read(copied)).points) >= len(one(read(copied)).changes)


def test_what_a_rerun_confirmed_ends_when_the_values_are_back() -> None:
    """A single bad night leaves no step; the rerun of it does not stand for ever."""
    values = [100.0] * 28 + [90.0]
    back = judged_with_rerun([*values, *[100.0] * 12])
    assert back == ()
    half = judged_with_rerun([*values, *[93.0] * 3])
    assert half and all(change.worse for change in half)


def judged_with_rerun(values: list[float]) -> tuple[Change, ...]:
    series = series_of(values)
    nights = tuple(
        Night(run=f"r{n:03}", started=f"2026-01-01T00:00:{n:02}Z", suite="s", host="h") for n in range(len(values))
    )
    seen = Confirmation(run="c", pairs=6, ratio=0.9, bound=0.93, confirmed=True)
    confirmed = Confirmed(series=series.id, since="r028", new_run="r028", good_run="r027", confirmation=seen)
    found = judged(History(made="", nights=nights, series=(replace(series, changes=()),)), [confirmed], [])
    return found.series[0].changes


@pytest.mark.parametrize(
    ("known", "ratio", "is_known"),
    [
        (0.97, 0.965, True),
        (0.97, 0.6, False),
        (1.05, 1.06, True),
        (1.05, 1.4, False),
        (None, None, True),
        (0.9, None, False),
    ],
)
def test_an_acknowledgement_covers_no_much_larger_step(
    known: float | None, ratio: float | None, is_known: bool
) -> None:
    ack = Acknowledged(
        series="s", title="t", earliest="a", latest="b", worse=True, ratio=known, by="Ann", reason="r", at=""
    )
    assert covers(ack, ratio, Settings().step_share) is is_known
