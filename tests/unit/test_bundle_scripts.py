"""What a bundle decides on the phone, in the phone's shell and in those that are stricter, against its twins here."""

import hashlib
import subprocess
import tarfile
from pathlib import Path
from shlex import quote

import pytest

from harness.build.runners.choice import candidates
from harness.build.runners.targets import PHONE
from harness.measure.bundle import scripts
from harness.measure.bundle.make import Contents, write_archive
from harness.measure.devices.phone.job import mask
from harness.measure.devices.phone.parsers.cpus import clusters, common_features, parse_cpufreq, usable_cpus
from harness.measure.devices.phone.parsers.proc import parse_cpuinfo
from harness.measure.devices.phone.samples import parse_samples, summarise
from harness.progress import Silent
from harness.values import PhoneSpec
from tests.shell_phone import SHELLS, found

MAIN = b'\nmain "$@"\n'
ARMV8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32"
ARMV82 = f"{ARMV8} atomics fphp asimdhp asimdrdm asimddp"
PHONES: dict[str, list[tuple[str, str, int, int | None, str]]] = {
    # maker, part, clock, capacity, features
    "two little, prime": [("0x41", "0xd80", 2265600, 300, f"{ARMV82} i8mm")] * 2
    + [("0x41", "0xd81", 3148800, 900, f"{ARMV82} i8mm")] * 5
    + [("0x41", "0xd82", 3302400, 1024, f"{ARMV82} i8mm")],
    "one core lacks dot products": [("0x41", "0xd03", 1800000, None, ARMV8)] * 4
    + [("0x41", "0xd0b", 2400000, None, ARMV82)] * 4,
    "only little": [("0x41", "0xd03", 1800000, None, ARMV8)] * 8,
    "of unknown make, by capacity": [("0x99", "0x001", 2000000, 400, ARMV82)] * 4
    + [("0x99", "0x002", 2000000, 1024, ARMV82)] * 4,
    "of unknown make, by clock": [("0x99", "0x001", 1300000, None, ARMV82)] * 4
    + [("0x99", "0x002", 2000000, None, ARMV82)] * 4,
    "kryo": [("0x51", "0x803", 1766400, None, ARMV82)] * 4 + [("0x51", "0x802", 2803200, None, ARMV82)] * 4,
    "oryon": [("0x51", "0x001", 3532800, 700, f"{ARMV82} i8mm")] * 6
    + [("0x51", "0x001", 4320000, 1024, f"{ARMV82} i8mm")] * 2,
    "twelve cores": [("0x41", "0xd46", 1800000, None, ARMV82)] * 4 + [("0x41", "0xd47", 2500000, None, ARMV82)] * 8,
}


class Folder:
    """A phone's files, and a shell that has the driver's functions."""

    def __init__(self, home: Path, shell: str) -> None:
        self.home, self.base, self.shell = home, home / "base", found(SHELLS[shell])
        (self.base).mkdir()
        (home / "sys/proc").mkdir(parents=True)
        body = scripts.driver()
        assert body.endswith(MAIN)
        (self.base / "functions.sh").write_bytes(body.removesuffix(MAIN) + b"\n")

    def cores(self, cores: list[tuple[str, str, int, int | None, str]]) -> tuple[str, str]:
        """Write a phone's cores; returns what the host reads of them: /proc/cpuinfo, and clocks."""
        lines, clocks = [], []
        groups: dict[object, list[int]] = {}
        for cpu, core in enumerate(cores):
            groups.setdefault(core, []).append(cpu)
        for cpu, (maker, part, khz, capacity, features) in enumerate(cores):
            lines.append(
                f"processor\t: {cpu}\nFeatures\t: {features}\nCPU implementer\t: {maker}\nCPU part\t: {part}\n"
            )
            folder = self.home / f"sys/sys/devices/system/cpu/cpu{cpu}"
            (folder / "cpufreq").mkdir(parents=True)
            told = {
                "cpufreq/cpuinfo_max_freq": str(khz),
                "cpufreq/related_cpus": " ".join(map(str, groups[cores[cpu]])),
                **({"cpu_capacity": str(capacity)} if capacity else {}),
            }
            for name, value in told.items():
                (folder / name).write_text(f"{value}\n")
                clocks.append(f"/sys/devices/system/cpu/cpu{cpu}/{name} {value}")
        cpuinfo = "\n".join(lines)
        (self.home / "sys/proc/cpuinfo").write_text(cpuinfo)
        return cpuinfo, "\n".join(clocks)

    def says(self, script: str) -> str:
        argv = [self.shell, "ash"] if self.shell.endswith("busybox") else [self.shell]
        text = f"set -- run\n. {self.base}/functions.sh\nBASE={self.base}\n{script}"
        done = subprocess.run(
            [*argv, "-c", text],
            env={"PATH": "/usr/bin:/bin", "SYSROOT": str(self.home / "sys"), "BENCH_ROOT": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == "", done.stderr
        return done.stdout


@pytest.fixture(params=SHELLS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return Folder(tmp_path, request.param)


@pytest.mark.parametrize("name", PHONES)
@pytest.mark.parametrize("affinity", ["big", "all", (1, 3)], ids=str)
def test_the_phone_tells_its_cores_apart_as_the_host_does(
    folder: Folder, name: str, affinity: "str | tuple[int, ...]"
) -> None:
    cpuinfo, clocks = folder.cores(PHONES[name])
    (folder.base / "bundle.conf").write_text(scripts.conf("bundle-1", PhoneSpec(affinity=affinity)))  # type: ignore[arg-type]
    said = folder.says('load_bundle_conf; find_cores "$AFFINITY"; mask_of $USED; say $USED; say $MASK; say $LITTLES.')
    used, seen_mask, little = said.splitlines()
    expected = clusters(parse_cpuinfo(cpuinfo), parse_cpufreq(clocks), range(len(PHONES[name])))
    wanted = usable_cpus(expected, affinity)  # type: ignore[arg-type]
    assert sorted(map(int, used.split())) == list(wanted)
    assert seen_mask == mask(wanted)
    littles = sorted(cpu for cluster in expected if cluster.role == "little" for cpu in cluster.cpus)
    assert sorted(map(int, little.rstrip(".").split())) == littles


@pytest.mark.parametrize("cpus", [(0,), (3,), (0, 1, 2, 3), (2, 3, 4, 5, 6, 7), (0, 9, 10), (4, 8, 12), (31,)])
def test_a_mask_is_the_hosts_mask(folder: Folder, cpus: tuple[int, ...]) -> None:
    assert folder.says(f"mask_of {' '.join(map(str, cpus))}; say $MASK").strip() == mask(cpus)


@pytest.mark.parametrize("name", PHONES)
def test_the_phone_takes_the_best_guess(folder: Folder, name: str) -> None:
    cpuinfo, clocks = folder.cores(PHONES[name])
    every = range(len(PHONES[name]))
    features = common_features(clusters(parse_cpuinfo(cpuinfo), parse_cpufreq(clocks), every), every)
    (folder.base / "runners.txt").write_text(scripts.runner_lines(tuple(reversed(PHONE))))
    said = folder.says("choose_runner; say $TARGET $RUNNER").split()
    best = candidates(frozenset(features))[0]
    assert said == [best, f"{folder.base}/runners/{best}/bench-llama"]


def test_a_phone_that_can_run_none_of_them(folder: Folder) -> None:
    folder.cores(PHONES["only little"])
    (folder.base / "runners.txt").write_text(scripts.runner_lines(("aarch64-i8mm",)))
    assert folder.says("choose_runner || say none").strip() == "none"


HEAD = '{"boot_id":"b","zones":["cpu"],"clocks":["policy0","policy4"],"top_khz":[1800000,2400000],"period_s":1}\n'


def sample(t_ms: int, little: object = 1800000, big: object = 2400000, more: str = "") -> str:
    return f'{{"t_ms":{t_ms},"zone":[40000],"khz":[1800000,2400000],"most_khz":[{little},{big}]{more}}}\n'


QUIET = sample(0) + sample(1000, more=',"status":0,"skin_milli":30000,"level":80,"powered":true')


@pytest.mark.parametrize(
    ("samples", "repeat"),
    [
        (HEAD + QUIET, False),
        (HEAD + QUIET + sample(2000, big=2000000), True),
        (HEAD + QUIET + sample(2000, little=1200000), False),
        (HEAD + QUIET + sample(2000, more=',"status":2'), True),
        (HEAD + QUIET + sample(2000, more=',"status":1'), False),
        ("", False),
    ],
    ids=["quiet", "clocks fell", "clocks of others fell", "hot", "warm", "nothing sampled"],
)
def test_what_is_worth_repeating_is_repeated(folder: Folder, samples: str, repeat: bool) -> None:
    """At least what the import would want to be repeated: there the usual rule decides."""
    folder.cores(PHONES["one core lacks dot products"])
    out = folder.base / "out"
    out.mkdir()
    (out / "samples.jsonl").write_text(samples)
    for first, related in ((0, "0 1 2 3"), (4, "4 5 6 7")):
        policy = folder.home / f"sys/sys/devices/system/cpu/cpufreq/policy{first}"
        policy.mkdir(parents=True)
        (policy / "related_cpus").write_text(f"{related}\n")
    said = folder.says('USED="4 5 6 7"; if disturbed "$BASE/out"; then say yes; else say no; fi').strip()
    assert said == ("yes" if repeat else "no")
    heat = summarise(parse_samples(samples.encode()), 0, 10_000, ("policy4",))
    assert (heat.discard is not None) == repeat


@pytest.mark.parametrize(("available", "fits"), [("1000", False), ("1300", True), (None, True)])
def test_what_does_not_fit_is_not_started(folder: Folder, available: str | None, fits: bool) -> None:
    out = folder.base / "out"
    out.mkdir()
    told = "" if available is None else f"MemTotal:  9000 kB\nMemAvailable:  {available} kB\nmark memory 0\n"
    (out / "conditions.txt").write_text(told)
    said = folder.says('USED="4 5 6"; if fits "$BASE/out" 1000 100; then say yes; else say no; fi').strip()
    assert said == ("yes" if fits else "no")


@pytest.mark.parametrize(
    ("line", "killed"),
    [
        ("07-14 lowmemorykiller: Kill 'bench-llama' (4242), uid 2000", True),
        ("07-14 lmkd: Kill 'somebody' (42420), uid 2000", False),
        ("07-14 ActivityManager: process 4242 ended", False),
    ],
)
def test_the_log_says_who_was_killed_for_memory(folder: Folder, line: str, killed: bool) -> None:
    out = folder.base / "out/run"
    out.mkdir(parents=True)
    (out / "program").write_text("4242 1000\n")
    folder.says(f'limited() {{ say {quote(line)}; }}; ask_who_killed "$BASE/out" || true')
    assert (folder.base / "out/killed_for_memory").exists() == killed


ENDED, LOST, GONE = (
    '{"phase":"ended","pid":null,"rc":{"code":0,"signal":null,"cause":"ended"}}',
    '{"phase":"ended","pid":null,"rc":{"code":null,"signal":null,"cause":"lost"}}',
    '{"phase":"gone","pid":null,"rc":null}',
)
# A wrapper that says what became of the n-th start.
WRAPPER = r"""
MOST_STARTS=2
ask() {
    case $1 in
    state) cat "$2/told" ;;
    clear) say '{"phase":"absent"}' >"$2/told" ;;
    esac
}
start_job() {
    first_line "$2/starts"
    put "$2/starts" $((${LINE:-0} + 1))
    sed -n "$((${LINE:-0} + 1))p" "$BASE/ends" >"$2/told"
}
"""


@pytest.mark.parametrize(
    ("ends", "starts", "kept"),
    [
        ([ENDED], 1, ENDED),
        ([GONE, ENDED], 2, ENDED),
        ([LOST, ENDED], 2, ENDED),
        ([LOST, LOST, ENDED], 2, LOST),
        ([GONE, LOST, ENDED], 2, LOST),
    ],
    ids=["well", "gone once", "lost once", "lost twice", "gone, then lost"],
)
def test_a_job_that_nobody_saw_end_is_done_again_once(folder: Folder, ends: list[str], starts: int, kept: str) -> None:
    (folder.base / "ends").write_text("".join(f"{one}\n" for one in ends))
    out = folder.base / "out"
    out.mkdir()
    (out / "told").write_text('{"phase":"absent"}\n')
    folder.says(f'{WRAPPER}\nattempt a "$BASE/out" 1 1')
    assert (out / "starts").read_text().strip() == str(starts)
    assert (out / "state.json").read_text().strip() == kept


WEIGHTS = b"weights"


def bundled(home: Path) -> Contents:
    sources = {f"files/{hashlib.sha256(WEIGHTS).hexdigest()}": WEIGHTS, "runners/aarch64/bench-llama": b"a program"}
    paths = {}
    for number, (name, body) in enumerate(sources.items()):
        paths[name] = home / f"source{number}"
        paths[name].write_bytes(body)
    # Not the real driver: what run.sh comes to is of interest here, not what follows.
    texts = {"jobs.txt": b"a 0 1 1 first\n", "drive.sh": b'echo "driven ${0%/*}"\n', "jobs/a.json": b"{}"}
    return Contents("0011", texts, paths)


def unpacked(home: Path) -> Path:
    """A bundle as a phone unpacks it."""
    archive = home / "bundle.tar"
    write_archive(archive, bundled(home), Silent())
    with tarfile.open(archive) as opened:
        assert opened.getnames()[-1].endswith("/bundle.sums"), "what is cut off is never only what comes before it"
        opened.extractall(home)
    return home / scripts.FOLDER


@pytest.mark.parametrize(
    "victim", [None, "runners/aarch64/bench-llama", f"files/{hashlib.sha256(WEIGHTS).hexdigest()}", "jobs/a.json"]
)
@pytest.mark.parametrize("how", ["cut", "missing"])
def test_every_file_of_a_bundle_is_verified_on_the_phone(folder: Folder, victim: str | None, how: str) -> None:
    payload = unpacked(folder.home) / "payload"
    if victim is not None:
        (payload / victim).write_bytes(b"") if how == "cut" else (payload / victim).unlink()
    folder.says(f'BASE={payload}; {{ check_files || true; }} 2>"$BASE/said"')
    told = (payload / "progress.txt").read_text()
    assert (payload / "damaged").exists() == (victim is not None)
    assert (payload / "checked").exists() == (victim is None)
    assert victim is None or f"file {victim} is damaged" in told


def test_a_list_of_sums_that_was_cut_verifies_nothing(folder: Folder) -> None:
    payload = unpacked(folder.home) / "payload"
    sums = payload / "bundle.sums"
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:2]))
    folder.says(f"BASE={payload}; check_files || true")
    assert not (payload / "checked").exists()
    assert "bundle.sums is damaged" in (payload / "progress.txt").read_text()


def test_a_bundle_that_was_cut_is_not_begun_with(folder: Folder) -> None:
    argv = [folder.shell, "ash"] if folder.shell.endswith("busybox") else [folder.shell]
    env = {"PATH": "/usr/bin:/bin", "BENCH_ROOT": str(folder.home / "root"), "BENCH_SH": "sh"}

    def types(there: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*argv, str(there / "run.sh")], env=env, capture_output=True, text=True, timeout=60)

    there = unpacked(folder.home)
    (there / "payload/bundle.sums").unlink()
    refused = types(there)
    assert refused.returncode == 2 and "not whole" in refused.stdout
    assert not (folder.home / "root").exists()
    assert "driven" in types(unpacked(folder.home)).stdout


def test_the_driver_is_one_file_that_ends_with_its_call(tmp_path: Path) -> None:
    for shell in SHELLS.values():
        argv = [found(shell), "ash"] if shell == "busybox" else [found(shell)]
        (tmp_path / "drive.sh").write_bytes(scripts.driver())
        (tmp_path / "run.sh").write_bytes(scripts.launcher())
        for name in ("drive.sh", "run.sh"):
            subprocess.run([*argv, "-n", str(tmp_path / name)], check=True)
