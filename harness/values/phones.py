"""Phones: what devices.yaml expects of one, how to reach it, and what was seen on it."""

from typing import Annotated, Literal

from msgspec import Meta

from harness.values.basic import Count, Name, Positive, Value, Whole

CoreRole = Literal["little", "big", "prime"]
Charging = Literal["charging", "held", "unplugged"]
"""`held`: a charger is plugged in and the battery gains nothing, because it is full or the system says so."""

Serial = Annotated[str, Meta(pattern=r"^[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]{0,127}$(?!\n)")]
"""As `adb devices` prints it; never a word that could be taken for an option."""
Address = Annotated[
    str, Meta(pattern=r"^(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(:[0-9]{1,5})?$(?!\n)", max_length=128)
]
"""HOST or HOST:PORT"""
Words = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
Celsius = Annotated[float, Meta(ge=-40, le=150)]
Seconds = Annotated[float, Meta(ge=0, le=3600)]
Cores = Annotated[int, Meta(ge=1, le=64)]
Percent = Annotated[int, Meta(ge=0, le=100)]


class Cluster(Value, frozen=True):
    """Cores of one kind, as the maker describes them."""

    core: Words
    """Such as `Cortex-X4`."""
    role: CoreRole
    cores: Cores
    max_khz: Positive | None = None


class MemoryBandwidth(Value, frozen=True):
    """What the memory could deliver at most."""

    gb_s: Annotated[float, Meta(gt=0, le=10_000)]
    """10⁹ bytes a second."""
    source: Words
    """Where the figure comes from, in words."""


class CoolDown(Value, frozen=True):
    """When a phone is cool enough for the next timed program."""

    least_s: Seconds = 60.0
    most_s: Seconds = 300.0
    """After that the program runs all the same, and its record says that the phone had not settled."""
    stable_s: Seconds = 30.0
    """So long the conditions must hold without a break."""
    cpu_c: Celsius = 45.0
    """The hottest readable CPU zone is at most so warm."""
    skin_c: Celsius = 35.0
    skin_rise_c: Annotated[float, Meta(ge=0, le=100)] = 2.0
    """The skin is at most so much warmer than at the run's start."""
    cpu_zones: tuple[Words, ...] = ()
    """Types of the thermal zones of the CPU (`*` for any letters); empty: found by their names."""
    skin_zones: tuple[Words, ...] = ()
    """The same of the phone's surface."""

    def __post_init__(self) -> None:
        if self.most_s < self.least_s:
            raise ValueError(f"`most_s` ({self.most_s:g}) is less than `least_s` ({self.least_s:g})")


class PhoneSpec(Value, frozen=True):
    """What is expected of a phone, and how it is measured. Travels in plans: nothing here says where the phone is."""

    models: tuple[Words, ...] = ()
    """Patterns (`*`, `?`) of which `ro.product.model` fits one; empty: any model."""
    soc: str = ""
    """The chip's name, such as `Snapdragon 8 Gen 3`."""
    soc_models: tuple[Words, ...] = ()
    """Patterns of `ro.soc.model`, upper and lower case alike; empty: any."""
    memory_bytes: Positive | None = None
    """As sold, such as 16 GiB; what the system reports is some percent less."""
    clusters: tuple[Cluster, ...] = ()
    memory_bandwidth: MemoryBandwidth | None = None
    runner: Name = "auto"
    """`auto`: the build that the phone's cores run fastest; or a build's name."""
    cool_down: CoolDown = CoolDown()
    affinity: Literal["big", "all"] | tuple[Count, ...] = "big"
    """CPUs that the program may use. `big`: all that are not little."""
    regime: Literal["as-sold", "cooled"] = "as-sold"
    """`cooled`: with a fan or plate against it. Give such a phone a name of its own: nothing else keeps the two apart
    yet."""
    charging: Literal["plugged", "unplugged", "any"] = "plugged"
    """What is expected during a run; another state is said and recorded."""
    battery_percent: Percent = 50
    """A run starts with at least so much."""
    fixed_performance: bool = False
    """Whether timed jobs run in Android's mode of lower clocks that can be held (from Android 11, not on every phone).
    Such numbers are not those of the phone as it is sold."""

    @property
    def usable_cores(self) -> int | None:
        """Cores that a model runs on, by `clusters` and `affinity`; None where `clusters` does not say."""
        if isinstance(self.affinity, tuple):
            return len(set(self.affinity)) or None
        if not self.clusters:
            return None
        all_cores = sum(c.cores for c in self.clusters)
        if self.affinity == "all":
            return all_cores
        return sum(c.cores for c in self.clusters if c.role != "little") or all_cores


class DeviceReach(Value, frozen=True):
    """Where a phone is. Read from devices.yaml when it is needed, and never part of a plan or a record."""

    serial: Serial | None = None
    tcp: Address | None = None
    """Neither of both: the one attached phone that fits the expected model."""
    via: Literal["auto", "server", "direct"] = "auto"
    """Through the adb server, or straight to the phone over TCP; `auto`: direct where only `tcp` is given and no
    server knows it."""

    def __post_init__(self) -> None:
        if self.serial is not None and self.tcp is not None:
            raise ValueError("`serial` and `tcp` exclude each other")
        if self.via == "direct" and self.tcp is None:
            raise ValueError("`via: direct` needs `tcp: HOST:PORT`")


class CoreCluster(Value, frozen=True):
    """Cores of one kind, as the kernel describes them."""

    cpus: tuple[Count, ...]
    role: CoreRole
    core: str | None
    """Such as `Cortex-X4`; None: a part that is not known here."""
    max_khz: Positive | None
    capacity: Positive | None = None
    """The scheduler's measure: 1,024 is the fastest core."""
    features: tuple[str, ...] = ()
    """Those that all its cores have."""


class PhoneFacts(Value, frozen=True):
    """What was seen on a phone beside what every device has."""

    clusters: tuple[CoreCluster, ...] = ()
    manufacturer: str | None = None
    soc: str | None = None
    """`ro.soc.model`."""
    platform: str | None = None
    """`ro.board.platform`."""
    android: str | None = None
    """Version, such as `14`."""
    api_level: Positive | None = None
    fingerprint: str | None = None
    """`ro.build.fingerprint`: names the system's build."""
    cpu_zones: tuple[str, ...] = ()
    """Types of the readable thermal zones of the CPU."""
    skin_zones: tuple[str, ...] = ()
    cpu_sensors: tuple[str, ...] = ()
    """Names of the CPU's sensors that Android's thermal service reads."""
    skin_sensors: tuple[str, ...] = ()
    expected: bool = False
    """Taken from devices.yaml: no phone was looked at."""


class BusyProcess(Value, frozen=True):
    """A program that used the CPU while the phone should have been idle."""

    name: str
    cpu_percent: float
    """Of one core."""


class PhoneState(Value, frozen=True):
    """How a phone was at one moment. A field that is None was not seen; `missing` says why."""

    boot_hash: str | None = None
    """Of the kernel's boot_id: another one means that the phone was started anew."""
    uptime_s: float | None = None
    battery_percent: float | None = None
    battery_c: float | None = None
    battery_mv: Whole | None = None
    battery_uah: Whole | None = None
    """The charge counter."""
    charging: Charging | None = None
    plugged: tuple[str, ...] = ()
    """`ac`, `usb`, `wireless`, `dock`."""
    screen_on: bool | None = None
    power_save: bool | None = None
    airplane: bool | None = None
    thermal_status: Count | None = None
    """Android's: 0 none, 1 light, 2 moderate, 3 severe, 4 critical, 5 emergency, 6 shutdown."""
    cpu_c: float | None = None
    """Hottest readable CPU zone."""
    skin_c: float | None = None
    available_bytes: Count | None = None
    free_bytes: Count | None = None
    """Of the storage that models are pushed to."""
    busy_cores: float | None = None
    """Cores' worth of work that all programs together did during one second."""
    busiest: tuple[BusyProcess, ...] = ()
    missing: dict[str, str] = {}


class PreflightFinding(Value, frozen=True):
    """Something about a phone's state that matters before a run."""

    name: str
    """The field of the state that it is about."""
    state: Literal["refuse", "warn", "unknown"]
    seen: str
    advice: str = ""


class Preflight(Value, frozen=True, tag_field="event", tag="preflight"):
    """A phone's state before a run, and what was found in it; nothing found: all as it should be."""

    state: PhoneState
    findings: tuple[PreflightFinding, ...] = ()

    @property
    def refused(self) -> tuple[PreflightFinding, ...]:
        return tuple(finding for finding in self.findings if finding.state == "refuse")
