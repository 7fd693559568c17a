"""Temperature and clock under each cell of a phone, as a table."""

from harness.analyse.findings import Heat
from harness.render.page import Cell, Group, Table
from harness.render.settings import Setting
from harness.render.tables import NOTHING

HEAT = (
    "A phone that is warm is another phone. Each value above was measured after a wait for a cool one, and these are "
    "the temperatures and clocks around it: the hottest readable zone of the processor before and meanwhile, the "
    "clocks as a share of the highest. A sensor that could not be read is unknown, never cool."
)
HEADER = (
    "variant",
    "cooled down",
    "wait",
    "processor before",
    "processor at most",
    "skin at most",
    "thermal status",
    "clock",
    "held back",
    "windows discarded",
    "parity with the host",
)


def heat_table(setting: Setting) -> Table:
    """A group a workload, a row a variant."""
    groups = []
    for workload in dict.fromkeys(h.workload for h in setting.heats):
        rows = tuple(_line(setting, h) for h in setting.heats if h.workload == workload)
        groups.append(Group(workload, rows))
    return Table(HEADER, tuple(groups), numeric=2)


def heat_sentences(setting: Setting) -> tuple[str, ...]:
    """What could not be read, each once."""
    missing = sorted({what for heat in setting.heats for what in heat.missing})
    return (HEAT, f"Not seen: {'; '.join(missing)}.") if missing else (HEAT,)


def _line(setting: Setting, heat: Heat) -> tuple[Cell, ...]:
    settled = f"{heat.settled} of {heat.trials}" + (f", {heat.unknown} unknown" if heat.unknown else "")
    return (
        Cell(setting.named(heat.variant)),
        Cell(settled),
        Cell(NOTHING if heat.gate_s is None else f"{heat.gate_s:.0f} s"),
        Cell(_celsius(heat.cpu_before_c)),
        Cell(_celsius(heat.cpu_highest_c)),
        Cell(_celsius(heat.skin_highest_c)),
        Cell("unknown" if heat.thermal_status is None else f"{heat.thermal_status:.0f}"),
        Cell("unknown" if heat.clock_share is None else f"{heat.clock_share:.0%}"),
        Cell(f"{heat.capped} of {heat.trials}"),
        Cell(f"{heat.discarded} of {heat.windows}" if heat.windows else NOTHING),
        Cell("not checked" if heat.largest_kl_nats is None else f"KL ≤ {heat.largest_kl_nats:.2g} nats"),
    )


def _celsius(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} °C"
