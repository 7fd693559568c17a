"""What a phone of three clusters prints, in the forms of Android 14; other forms stand in the tests."""

from harness.measure.devices.phone.asking import Answer

GETPROP = """\
[ro.board.platform]: [pineapple]
[ro.build.fingerprint]: [OnePlus/CPH2581EEA/OP595DL1:14/UKQ1.230924.001/T.1:user/release-keys]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.product.manufacturer]: [OnePlus]
[ro.product.model]: [CPH2581]
[ro.serialno]: [1a2b3c4d]
[ro.soc.model]: [SM8650]
[persist.some.text]: [first line
second line]
[sys.boot_completed]: [1]
"""
MEMINFO = """\
MemTotal:       15509648 kB
MemFree:          912344 kB
MemAvailable:    9214300 kB
SwapTotal:      12582908 kB
HugePages_Total:       0
"""


def cpu_block(cpu: int, part: str, features: str) -> str:
    return (
        f"processor\t: {cpu}\nBogoMIPS\t: 38.40\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 1\n\n"
    )


PARTS = ["0xd80"] * 2 + ["0xd81"] * 5 + ["0xd82"]
KHZ = [2265600] * 2 + [3148800] * 3 + [2956800] * 2 + [3302400]
CAPACITY = [326] * 2 + [870] * 3 + [820] * 2 + [1024]
RELATED = ["0 1"] * 2 + ["2 3 4"] * 3 + ["5 6"] * 2 + ["7"]
CPUINFO = "".join(
    cpu_block(n, part, "fp asimd asimddp i8mm bf16" + (" sve" if n else "")) for n, part in enumerate(PARTS)
)
CLOCKS = "".join(
    f"/sys/devices/system/cpu/cpu{n}/cpufreq/related_cpus {RELATED[n]}\n"
    f"/sys/devices/system/cpu/cpu{n}/cpufreq/cpuinfo_max_freq {KHZ[n]}\n"
    f"/sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor walt\n"
    f"/sys/devices/system/cpu/cpu{n}/cpu_capacity {CAPACITY[n]}\n"
    for n in range(8)
)
ZONES = """\
/sys/class/thermal/thermal_zone0|aoss-0|41900
/sys/class/thermal/thermal_zone1|cpuss-0|44100
/sys/class/thermal/thermal_zone2|cpu-1-0-0|46300
/sys/class/thermal/thermal_zone3|cpu-1-0-1|
/sys/class/thermal/thermal_zone4|modem-skin|-274000
/sys/class/thermal/thermal_zone5|shell_front|31200
"""
THERMAL = """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
\tkilled: false
\tbroadcasts count: -1
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=88.0, mType=0, mName=CPU7, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 1  connected: yes
Current temperatures from HAL:
\tTemperature{mValue=45.5, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=47.25, mType=0, mName=CPU7, mStatus=0}
\tTemperature{mValue=33.1, mType=3, mName=skin, mStatus=1}
\tTemperature{mValue=0.0, mType=3, mName=second, mStatus=0}
\tTemperature{mValue=31.0, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=4102.0, mType=6, mName=vbat, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
Temperature static thresholds from HAL:
\tTemperatureThreshold{mType=3, mName=skin, mHotThrottlingThresholds=[NaN, 38.0]}
"""
BATTERY = """\
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Dock powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 4213000
  status: 2
  health: 2
  present: true
  level: 78
  scale: 100
  voltage: 4212
  temperature: 294
  technology: Li-ion
"""
TOP = """\
Tasks: 712 total,   1 running, 711 sleeping,   0 stopped,   0 zombie
800%cpu   3%user   0%nice   9%sys 788%idle   0%iow   0%irq   0%sirq   0%host
  PID USER         PR  NI VIRT  RES  SHR S[%CPU] %MEM     TIME+ ARGS
 1200 system       18  -2  21G 498M 312M S  90.0   3.2 120:04.12 system_server
Tasks: 712 total,   1 running, 711 sleeping,   0 stopped,   0 zombie
800%cpu   3%user   0%nice   9%sys 788%idle   0%iow   0%irq   0%sirq   0%host
  PID USER         PR  NI VIRT  RES  SHR S[%CPU] %MEM     TIME+ ARGS
 9034 shell        20   0  10G 4.9M 3.9M R  22.0   0.0   0:00.10 top -b -n 2 -d 1
 4411 u0_a210      10 -10  18G 310M 170M S  18.5   2.0   1:10.00 /product/app/com.example.player --a b
 1200 system       18  -2  21G 498M 312M S   6.0   3.2 120:04.12 system_server
  812 root         20   0  10G  12M 8.9M S   1.0   0.0   3:12.00 surfaceflinger
"""
DF = """\
Filesystem     1K-blocks     Used Available Use% Mounted on
/dev/block/dm-48 491136000 61136000 430000000  13% /data
"""
WORK = """\
1000.00 7000.00
cpu  1000 10 500 90000 100 20 30 0 0 0
1001.00 7005.00
cpu  1060 10 540 90690 100 20 30 0 0 0
"""

FACTS = {
    "properties": GETPROP,
    "memory": MEMINFO,
    "cpuinfo": CPUINFO,
    "clocks": CLOCKS,
    "possible": "0-7\n",
    "zones": ZONES,
    "thermal": THERMAL,
    "kernel": "6.1.57-android14\n",
    "machine": "aarch64\n",
}
STATE = {
    "work": WORK,
    "memory": MEMINFO,
    "boot": "9b3d3d2e-3a4f-4a57-8b43-2f5f0d7b1c11\n",
    "uptime": "1003.25 7013.00\n",
    "storage": DF,
    "zones": ZONES,
    "thermal": THERMAL,
    "battery": BATTERY,
    "screen": "  mWakefulness=Asleep\nDisplay Power: state=OFF\n",
    "settings": "low_power=0\nairplane_mode_on=1\n",
    "top": TOP,
}


def said(texts: dict[str, str], **others: Answer) -> dict[str, Answer]:
    """Answers of these texts, some of them replaced."""
    return {**{name: Answer(text=text) for name, text in texts.items()}, **others}
