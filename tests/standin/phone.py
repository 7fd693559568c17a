"""Which phone the stand-in is. A test changes what it shows while it runs by writing its files."""

import msgspec

FEATURES = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "fixed_push_symlink_timestamp")
BEFORE_ANDROID_7 = ("cmd",)


class Zone(msgspec.Struct, frozen=True):
    """A thermal zone under /sys; one that is not readable exists, but only for root."""

    type: str
    celsius: float
    readable: bool = True


class Battery(msgspec.Struct, frozen=True, kw_only=True):
    level: int = 87
    usb: bool = True
    status: int = 2
    """Android's numbers: 2 charging, 3 discharging, 4 not charging, 5 full."""
    millivolts: int = 4213
    celsius: float = 27.4


class Core(msgspec.Struct, frozen=True, kw_only=True):
    policy: int
    """The first core of its cluster."""
    max_khz: int
    min_khz: int = 307200
    part: str = "0xd81"


def _sm8650_cores() -> tuple[Core, ...]:
    little = Core(policy=0, max_khz=2265600, part="0xd80")
    big = Core(policy=2, max_khz=3148800)
    middle = Core(policy=5, max_khz=2956800)
    return (little, little, big, big, big, middle, middle, Core(policy=7, max_khz=3302400, part="0xd82"))


ARMV9 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 asimddp sha512 asimdfhm uscat flagm ssbs sb paca pacg dcpodp flagm2 frint i8mm bf16 bti"  # noqa: E501


class Phone(msgspec.Struct, frozen=True, kw_only=True):
    """A OnePlus 12 with 16 GB, unless said otherwise."""

    serial: str = "STANDIN01"
    model: str = "CPH2581"
    manufacturer: str = "OnePlus"
    name: str = "CPH2581"
    soc: str = "SM8650"
    platform: str = "pineapple"
    android: str = "14"
    sdk: int = 34
    features: tuple[str, ...] = FEATURES
    memory_bytes: int = 16 << 30
    available_bytes: int = 9 << 30
    swap_bytes: int = 8 << 30
    cpu_features: str = ARMV9
    cores: tuple[Core, ...] = _sm8650_cores()
    zones: tuple[Zone, ...] = (Zone("cpu-0-0-0", 38.9), Zone("battery", 27.4), Zone("shell_front", 31.4))
    thermal_status: int = 0
    battery: Battery = Battery()
    properties: dict[str, str] = {}
    """More properties, or other values of these."""

    def all_properties(self) -> dict[str, str]:
        fingerprint = f"{self.manufacturer}/{self.name}/{self.name}:{self.android}/STAND.IN/1:user/release-keys"
        return {
            "ro.product.name": self.name,
            "ro.product.model": self.model,
            "ro.product.device": self.name,
            "ro.product.manufacturer": self.manufacturer,
            "ro.product.brand": self.manufacturer,
            "ro.product.cpu.abi": "arm64-v8a",
            "ro.product.cpu.abilist": "arm64-v8a",
            "ro.soc.model": self.soc,
            "ro.soc.manufacturer": "QTI",
            "ro.board.platform": self.platform,
            "ro.hardware": "qcom",
            "ro.build.version.release": self.android,
            "ro.build.version.sdk": str(self.sdk),
            "ro.build.fingerprint": fingerprint,
            "ro.serialno": self.serial,
            "sys.boot_completed": "1",
            **self.properties,
        }


ONEPLUS_12 = Phone()
ANDROID_6 = Phone(
    serial="STANDIN06", model="Nexus 5", name="hammerhead", android="6.0.1", sdk=23, features=BEFORE_ANDROID_7
)
