"""Which numbers a card shows of one device and runtime of a run, and in which tables."""

from collections.abc import Sequence

from harness.analyse.findings import Row
from harness.metrics import metric
from harness.render.card.figures import cell, plain, score, share, unit_of, value_text
from harness.render.page import Section, cells, table
from harness.render.raw import COMMANDS, commands_table
from harness.render.settings import Setting
from harness.render.tables import no_value
from harness.render.words import metric_title
from harness.values import Task

NOTHING = "-"
SHA256_DIGITS = 16
PERPLEXITY, DIVERGENCE = "perplexity", "kl_divergence"
Lines = Sequence[tuple[str, ...]]


def card_sections(setting: Setting) -> list[Section]:
    """What has no row is left out."""
    made = (_performance(setting), _accuracy(setting), _likeness(setting), _schemes(setting), _commands(setting))
    return [section for section in made if section is not None]


def _section(title: str, said: str, header: Sequence[str], lines: Lines, numeric: int) -> Section | None:
    if not lines:
        return None
    rows = [cells(*line) for line in lines]
    return Section(title.lower(), title, (said,) if said else (), (table(tuple(header), rows, numeric),))


def _performance(setting: Setting) -> Section | None:
    prefill = setting.prefill_workload()
    wanted = (
        ("decode_tok_s", setting.decode_workload()),
        ("ttft_s", prefill),
        ("prefill_tok_s", prefill),
        ("size_bytes", setting.size_workload()),
        ("peak_rss_bytes", setting.memory_workload()),
    )
    columns = [(name, workload) for name, workload in wanted if workload is not None]
    rows = []
    for variant in setting.run.variants:
        found = [_first(setting, name, workload, variant.name) for name, workload in columns]
        rows.append((variant.name, *(NOTHING if row is None else cell(row) for row in found)))
    header = tuple(f"{_title(setting, name, workload)} ({unit_of(name)[1]})" for name, workload in columns)
    against = f"In brackets: against {setting.run.baselines[0]}, with the 95 % interval over rounds."
    return _section("Performance", against, ("Model", *header), rows if columns else [], 1)


def _title(setting: Setting, name: str, workload: str) -> str:
    found = setting.run.workloads.get(workload)
    title = metric_title(name, found).partition(",")[0]
    tokens = getattr(found, "prompt_tokens", None)
    return f"{title}@{tokens}" if name == "ttft_s" and tokens else title


def _first(setting: Setting, name: str, workload: str, variant: str) -> Row | None:
    """Against the first baseline, or the variant's own where it is one."""
    return next(iter(setting.of(name, workload, variant)), None)


def _accuracy(setting: Setting) -> Section | None:
    first = setting.run.baselines[0]
    names = [v.name for v in setting.run.variants]
    rows = []
    for workload, name in dict.fromkeys((p.workload, p.metric) for p in setting.accuracy):
        task = setting.run.workloads.get(workload)
        pairs = {
            p.variant: p for p in setting.accuracy if (p.workload, p.metric, p.baseline) == (workload, name, first)
        }
        alone = {n: _first(setting, name, workload, n) for n in names}
        cells = [score(pairs[n]) if n in pairs else _alone(alone[n]) for n in names]
        asked = max((p.items for p in pairs.values()), default=0)
        shots = str(task.fewshot) if isinstance(task, Task) and task.fewshot is not None else NOTHING
        rows.append((workload, shots, metric(name).title, f"{asked}", *cells))
    header = ("Benchmark", "Shots", "Metric", "Questions", *(f"{n} (%)" for n in names))
    said = (
        f"In brackets: points against {first} on the same questions, with the 95 % interval of the paired difference."
    )
    return _section("Accuracy", f"{said} Shots: {NOTHING} is the task's own number.", header, rows, 3)


def _alone(row: Row | None) -> str:
    if row is None:
        return NOTHING
    return no_value(row) if row.value is None else share(row.value)


def _likeness(setting: Setting) -> Section | None:
    workload = setting.text_workload()
    if workload is None:
        return None
    distances = {d.variant: d for d in setting.distances if (d.workload, d.metric) == (workload, DIVERGENCE)}
    rows = []
    for variant in setting.run.variants:
        perplexity, kl = _first(setting, PERPLEXITY, workload, variant.name), distances.get(variant.name)
        told = NOTHING if perplexity is None else cell(perplexity)
        rows.append((variant.name, told, NOTHING if kl is None else plain(kl.value, 3)))
    reference = next((d.reference for d in distances.values()), "the reference")
    header = ("Model", f"Perplexity of {workload}", f"KL divergence from {reference} (nats)")
    return _section("Likeness to the 16-bit model", "", header, rows, 1)


def _schemes(setting: Setting) -> Section | None:
    sha = {a.variant: a.sha256[:SHA256_DIGITS] for a in setting.report.artifacts if a.run == setting.run.id}
    bits = {r.variant: value_text(r) for r in setting.rows if r.metric == "bits_per_weight"}
    rows = [
        (v.name, v.model, v.recipe, v.scheme, bits.get(v.name, NOTHING), sha.get(v.name, NOTHING))
        for v in setting.run.variants
    ]
    header = ("Model", "Base", "Recipe", "Scheme", "Bits per weight", "sha256 of the artifact begins")
    return _section("Schemes", "", header, rows, 4)


def _commands(setting: Setting) -> Section | None:
    found = commands_table(setting)
    return Section("commands", "Commands", (COMMANDS,), (found,)) if found else None
