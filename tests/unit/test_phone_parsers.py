"""What comes back from a phone, cut and garbled as it may be."""

import shlex
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DeviceBusyError, DeviceError, InputError
from harness.measure.devices.adb.connection import Completed
from harness.measure.devices.phone import gate, job, lock, wrapper
from harness.measure.devices.phone.energy import battery_drop
from harness.measure.devices.phone.gate import GateSeen, GateStep, GateWish, Zones
from harness.measure.devices.phone.job import JobWish, mask, parse_cores
from harness.measure.devices.phone.samples import Gap, Samples, parse_samples, summarise, throttled_at
from harness.measure.devices.phone.settings import Setting, SettingsWish, parse_settings
from harness.measure.devices.phone.temperatures import celsius

HEAD = {
    "boot_id": "b",
    "zones": ["cpu-0", "BIG"],
    "clocks": ["policy0", "policy4"],
    "top_khz": [2_000_000, 3_000_000],
    "period_s": 1.0,
}


def line(
    t_ms: int | None, zone: Any = (40_000, 50_000), khz: Any = (1_000_000, 3_000_000), **more: Any
) -> dict[str, Any]:
    return {"t_ms": t_ms, "zone": zone, "khz": khz, "most_khz": (2_000_000, 3_000_000), **more}


def samples(*lines: dict[str, Any], head: dict[str, Any] = HEAD) -> Samples:
    return parse_samples(b"".join(msgspec.json.encode(one) + b"\n" for one in (head, *lines)))


def every_second(first: int, last: int, **more: Any) -> list[dict[str, Any]]:
    return [line(t * 1000, **more) for t in range(first, last + 1)]


# ---- samples


@given(st.lists(st.integers(0, 2**40), max_size=8), st.integers(0, 200))
def test_a_torn_samples_file_gives_its_whole_lines(times: list[int], cut: int) -> None:
    data = b"".join(msgspec.json.encode(one) + b"\n" for one in (HEAD, *map(line, times)))
    torn = data[: len(data) - cut]
    seen = parse_samples(torn)
    whole = torn.count(b"\n")
    assert len(seen.lines) in (max(0, whole - 1), max(0, whole - 1) + (torn[-1:] == b"}"))
    assert [one.t_ms for one in seen.lines] == times[: len(seen.lines)]


@given(st.binary(max_size=400))
def test_garbage_is_no_sample(data: bytes) -> None:
    seen = parse_samples(data)
    assert seen.lines == () and seen.head is None
    assert summarise(seen, 0, 10_000).missing["hottest_c"] == "the sampler wrote nothing"


@given(st.binary(max_size=200))
def test_garbage_between_samples_is_counted(data: bytes) -> None:
    good = msgspec.json.encode(line(1000))
    seen = parse_samples(msgspec.json.encode(HEAD) + b"\n" + data.replace(b"boot_id", b"") + b"\n" + good + b"\n")
    assert [one.t_ms for one in seen.lines] == [1000]
    assert seen.broken == sum(1 for one in data.split(b"\n") if one)


def test_a_line_with_other_columns_is_broken() -> None:
    seen = samples(line(0), line(1, zone=(1,)), line(2, khz=(1, 2, 3)))
    assert len(seen.lines) == 1 and seen.broken == 2


def test_after_another_head_only_what_follows_counts() -> None:
    seen = samples(line(5000), HEAD, line(1000))
    assert [one.t_ms for one in seen.lines] == [1000]


def test_a_window_is_summed_up() -> None:
    seen = samples(
        *every_second(0, 9),
        line(10_000, zone=(None, 61_500), khz=(500_000, 1_500_000), status=1),
        *every_second(11, 20),
    )
    summed = summarise(seen, 5_000, 15_000)
    assert (summed.samples, summed.hottest_c, summed.worst_status) == (11, 61.5, 1)
    assert [one.fell for one in summed.clocks] == [False, False]
    assert summed.gaps == () and summed.missing == {} and summed.discard is None


def test_a_phone_that_reached_status_2_discards_its_window() -> None:
    assert summarise(samples(line(0), line(1000, status=2)), 0, 2000).discard == "thermal status 2"
    assert summarise(samples(line(0), line(1000, status=1)), 0, 2000).discard is None


@pytest.mark.parametrize("when", [5_000, 0, 10_000])
def test_a_clock_limit_that_fell_discards_its_window(when: int) -> None:
    lines = every_second(0, 10)
    lines[when // 1000]["most_khz"] = (2_000_000, 2_400_000)
    seen = samples(*lines)
    assert summarise(seen, 0, 10_000).discard == (
        "the highest clock that the system allows fell to 80% of the hardware's (policy4)"
    )
    assert summarise(seen, 0, 10_000, used=["policy0"]).discard is None
    assert summarise(seen, 1_000, 4_000).discard is None


def test_a_limit_that_was_never_the_hardwares_is_no_fall() -> None:
    lines = [line(t, khz=(1, 1)) | {"most_khz": (1_000_000, 1_500_000)} for t in (0, 1000)]
    summed = summarise(samples(*lines), 0, 1000)
    assert summed.discard is None and [one.lowest_most_share for one in summed.clocks] == [0.5, 0.5]


def test_what_cannot_be_read_is_none_with_a_reason() -> None:
    head = {**HEAD, "top_khz": [None, None]}
    lines = [line(t, zone=(None, 0), khz=(None, None), status=None) | {"most_khz": (None, None)} for t in (0, 1000)]
    summed = summarise(samples(*lines, head=head), 0, 1000)
    assert summed.hottest_c is None and summed.worst_status is None and summed.discard is None
    assert summed.missing == {
        "hottest_c": "no thermal zone of the processor can be read",
        "worst_status": "the thermal service does not answer",
    }
    assert [one.fell for one in summed.clocks] == [None, None]
    never = summarise(samples(line(0), head=HEAD), 0, 1000)
    assert never.missing == {"worst_status": "not asked in this window"}


def test_the_thermal_service_counts_where_no_zone_can_be_read_and_the_skin_never() -> None:
    summed = summarise(samples(line(0, zone=(None, None), skin_milli=36_500, cpu_milli=61_000)), 0, 1000)
    assert summed.hottest_c == 61.0
    assert summarise(samples(line(0, zone=(None, None), skin_milli=36_500)), 0, 1000).hottest_c is None
    head = {**HEAD, "zones": ["cpu-0", "shell_front"]}
    both = samples(line(0, zone=(40_000, 50_000)), head=head)
    assert summarise(both, 0, 1000, skin=("shell_*",)).hottest_c == 40.0


def test_silence_is_a_gap() -> None:
    seen = samples(*every_second(0, 5), *every_second(12, 15))
    assert summarise(seen, 0, 15_000).gaps == (Gap(from_ms=5_000, until_ms=12_000),)
    assert summarise(seen, 12_000, 30_000).gaps == (Gap(from_ms=15_000, until_ms=30_000),)
    assert summarise(seen, 6_000, 11_000).missing["hottest_c"] == "no sample in the window"


def test_a_clock_that_goes_back_is_a_gap() -> None:
    seen = samples(line(9_000), line(10_000), line(3_000), line(4_000))
    assert Gap(from_ms=10_000, until_ms=3_000) in summarise(seen, 9_000, 10_000).gaps


@given(st.one_of(st.none(), st.integers()))
def test_a_temperature_is_plausible_or_unknown(raw: int | None) -> None:
    seen = celsius(raw)
    assert seen is None or (1 <= seen <= 150 and raw in (seen, round(seen * 1000)))


# ---- throttling


def test_when_a_phone_begins_to_hold_its_cores_back() -> None:
    slowed = [*every_second(0, 30), line(31_000, most_khz=(2_000_000, 2_500_000)), *every_second(32, 60)]
    assert throttled_at(samples(*slowed), 1_000, 60_000) == 30_000
    assert throttled_at(samples(*slowed), 1_000, 60_000, ["policy0"]) is None
    assert throttled_at(samples(*every_second(0, 30), line(31_000, status=2)), 1_000, 60_000) == 30_000
    assert throttled_at(samples(*every_second(0, 60)), 0, 60_000) is None
    assert throttled_at(samples(), 0, 60_000) is None


# ---- energy


def battery(*levels: int | None, powered: bool | None = False, every_s: int = 60) -> Samples:
    return samples(*(line(i * every_s * 1000, level=level, powered=powered) for i, level in enumerate(levels)))


def test_the_battery_s_drop_in_a_window() -> None:
    seen = battery_drop(battery(90, 90, 89, 88, 87, 86, 70), 0, 300_000)
    assert (seen.percent, seen.missing) == (4, None)


@pytest.mark.parametrize(
    ("seen", "end_ms", "why"),
    [
        (battery(90, 89, 88, 87, 86, 85, powered=True), 300_000, "a cable fed the phone"),
        (battery(90, 89, 88, 87, 86, 85, powered=None), 300_000, "does not always say"),
        (battery(90, None, 88, 87, 86, 85), 300_000, "does not always say"),
        (battery(90, 89, 88, 87), 180_000, "shorter than 5 minutes"),
        (battery(90, 89, 88), 300_000, "shorter than 5 minutes"),
        (battery(90, 90, 90, 90, 90, 89), 300_000, "fell by 1 %"),
        (battery(90, 90, 90, 91, 91, 91), 300_000, "fell by 0 %"),
        (samples(*every_second(0, 400)), 300_000, "does not say its level"),
        (
            samples(
                line(0, level=90, powered=False),
                line(290_000, level=80, powered=False),
                line(280_000, level=79, powered=False),
            ),
            300_000,
            "clock jumped",
        ),
    ],
)
def test_energy_is_left_out_with_a_reason(seen: Samples, end_ms: int, why: str) -> None:
    told = battery_drop(seen, 0, end_ms)
    assert told.percent is None and why in str(told.missing)


# ---- gate


@given(st.binary(max_size=300))
def test_a_garbled_trace_gives_no_step(data: bytes) -> None:
    good = GateStep(t_ms=1, status=0, skin_milli=None, cpu_milli=40_000, judged="blind")
    encoded = msgspec.json.encode(good)
    assert gate.parse_trace(data + b"\n" + encoded + b"\n" + encoded[:-3]) == (good,)


def test_a_gate_without_a_reading_is_doubtful() -> None:
    seen = GateSeen(result="unknown", waited_s=300, steps=())
    assert gate.doubt(seen) == "thermal_unknown: no reading in 300 s"
    assert gate.seen(None, b"") is None


@pytest.mark.parametrize("pattern", ["", "a b", "a\nowner x", "$(id)", "a;b", "ä"])
def test_a_zone_is_one_word(pattern: str) -> None:
    with pytest.raises(InputError, match="thermal zone"):
        gate.zone_lines(Zones(cpu=(pattern,)))


# ---- settings


@given(st.binary(max_size=300))
def test_garbled_settings_are_no_error(data: bytes) -> None:
    seen = parse_settings(data + b"\nbefore system x 1\nafter system x 2\nbefore system y 3")
    assert {one.key: (one.before, one.during) for one in seen.settings}["x"] == ("1", "2")
    assert seen.restored in (None, "yes", "none", "failed")


def test_a_setting_may_hold_spaces() -> None:
    (seen,) = parse_settings(b"before global k a b  c\nunknown global k\n").settings
    assert (seen.before, seen.during, seen.missing) == ("a b  c", None, "the phone did not tell it")


@pytest.mark.parametrize("bad", ["a b", "", "x\n", "$(id)"])
def test_a_setting_is_made_of_plain_words(bad: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"space": "system", "key": bad, "value": "1"}, Setting)


# ---- job


def test_a_job_in_the_wrappers_words() -> None:
    wish = JobWish(
        folder="/f",
        owner="me.1",
        argv=("p",),
        limit_s=1.2,
        cores=(4, 5, 7),
        little_cores=(0,),
        settings=SettingsWish(change=(Setting(space="system", key="k", value="1"),), record=(), fixed_performance=True),
        zones=Zones(cpu=("cpu*",), skin=()),
        gate=GateWish(skin_start_c=31.25),
        sampler=job.SamplerWish(period_s=0.5),
    )
    assert job.conf(wish).splitlines() == [
        "owner me.1", "limit_turns 2", "expire_s 300", "keep_s 0", "poll_s 1", "mask b0", "little_mask 1",
        "cpu_zone [cC][pP][uU]*", "setting system k 1", "fixed_performance 1",
        "gate 1", "gate_least_s 60", "gate_most_s 300", "gate_blind_s 180", "gate_stable_s 30", "gate_poll_s 5",
        "skin_most_milli 35000", "skin_rise_milli 2000", "cpu_most_milli 45000", "skin_start_milli 31250",
        "sample_s 0.5", "status_s 30",
    ]  # fmt: skip
    with pytest.raises(InputError, match="line break"):
        job.conf(msgspec.structs.replace(wish, owner="me\nmask 1"))


@given(st.sets(st.integers(0, 200), min_size=1))
def test_cores_as_mask_and_list(cores: set[int]) -> None:
    value = int(mask(cores), 16)
    assert {core for core in range(201) if value >> core & 1} == cores
    assert parse_cores(",".join(map(str, cores))) == cores
    assert parse_cores("0-3,7\n") == {0, 1, 2, 3, 7}


@given(st.text(max_size=12))
def test_what_is_no_list_of_cores_is_refused(text: str) -> None:
    try:
        cores = parse_cores(text)
    except ValueError:
        return
    assert cores and all(0 <= core < 4096 for core in cores)


class Answering:
    """A phone that answers each command alike."""

    name = "phone"

    def __init__(self, stdout: bytes, exit_code: int = 0, stderr: bytes | None = b"") -> None:
        self.done = Completed(exit_code=exit_code, stdout=stdout, stderr=stderr)

    def shell(self, script: str, *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        return self.done

    def _no(self, *args: Any, **more: Any) -> Any:
        raise NotImplementedError

    push = pull = stat = close = _no


WRAPPER = wrapper.Wrapper(path="/w.sh")


@given(st.binary(max_size=300))
def test_an_answer_that_is_none_is_an_error_of_the_phone(said: bytes) -> None:
    with pytest.raises(DeviceError, match="phone: the phone's answer to `state`"):
        job.poll(Answering(said), WRAPPER, "/job")
    with pytest.raises(DeviceError):
        job.poll(Answering(said, exit_code=1), WRAPPER, "/job")
    with pytest.raises(DeviceBusyError):
        job.poll(Answering(said, exit_code=75), WRAPPER, "/job")


def test_a_message_before_the_answer_does_no_harm() -> None:
    state = (
        b'{"phase":"absent","pid":null,"rc":null,"gate":null,"affinity":null,"settings_changed":false,'
        b'"bytes":{},"uptime_ms":null,"boot_id":"b"}\r\n'
    )
    assert job.poll(Answering(b"WARNING: linker\n" + state), WRAPPER, "/job").phase == "absent"


def test_a_failed_call_says_what_the_phone_said() -> None:
    with pytest.raises(DeviceError, match="phone: `state` on the phone ended with 127: sh: not found"):
        job.poll(Answering(b"", exit_code=127, stderr=b"sh: not found\n"), WRAPPER, "/job")
    with pytest.raises(DeviceError, match="no message"):
        job.poll(Answering(b"", exit_code=1, stderr=None), WRAPPER, "/job")


@given(st.lists(st.text(), min_size=1))
def test_every_word_is_quoted(words: list[str]) -> None:
    line = wrapper.command(wrapper.Wrapper(path="/a b/w.sh", environment={"SYSROOT": "/x y"}), *words)
    assert shlex.split(line) == ["BENCH_ROOT=" + wrapper.ROOT, "SYSROOT=/x y", "sh", "/a b/w.sh", *words]


@given(st.binary(max_size=300))
def test_a_garbled_lock_is_nobodys(data: bytes) -> None:
    assert lock.parse_peek(data) is None or b" " in data


def test_a_lock_seen_from_outside() -> None:
    stat = b"77 (a ) b) S " + b" ".join(b"%d" % n for n in range(2, 25))
    assert lock.parse_peek(b"me 77 20 boot 500\nboot\n400.25 1.0\n" + stat) == wrapper.Holder(
        owner="me", alive=True, left_s=100
    )
    assert lock.parse_peek(b"me 77 21 boot 500\nboot\n400.25 1.0\n" + stat) == wrapper.Holder(
        owner="me", alive=False, left_s=100
    )
    assert lock.parse_peek(b"me 77 21 boot 400\nboot\n400.25 1.0\n" + stat) is None
    assert lock.parse_peek(b"me 77 20 boot 500\nother\n400.25 1.0\n" + stat) is None
    assert lock.parse_peek(b"free\nboot\n400.25 1.0\n") is None


def test_the_script_is_whole() -> None:
    text = wrapper.script().decode()
    assert text.startswith("#!/system/bin/sh\n") and text.endswith('main "$@"\n')
