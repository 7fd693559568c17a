"""Which numbers a card shows of one device and runtime of a run, and in which tables."""

from collections.abc import Sequence

from harness.analyse.findings import PairedItems, Row
from harness.metrics import metric
from harness.render.accuracy import near_chance_sentences
from harness.render.card.figures import cell, plain, score, share, unit_of, value_text
from harness.render.details import weak_sentences
from harness.render.page import Cell, Notes, Section, cells, table
from harness.render.raw import COMMANDS, commands_table
from harness.render.settings import Setting
from harness.render.tables import no_value
from harness.render.words import metric_title
from harness.values import Task

NOTHING = "-"
SHA256_DIGITS = 16
PERPLEXITY, DIVERGENCE = "perplexity", "kl_divergence"
Lines = Sequence[tuple[Cell, ...]]


def card_sections(setting: Setting, notes: Notes) -> list[Section]:
    """What has no row is left out; what must be said of a number is among the notes."""
    made = (
        _performance(setting, notes),
        _accuracy(setting, notes),
        _likeness(setting, notes),
        _schemes(setting),
        _commands(setting),
    )
    return [section for section in made if section is not None]


def _section(title: str, said: Sequence[str], header: Sequence[str], lines: Lines, numeric: int) -> Section | None:
    if not lines:
        return None
    return Section(title.lower(), title, tuple(said), (table(tuple(header), lines, numeric),))


def _performance(setting: Setting, notes: Notes) -> Section | None:
    prefill = setting.prefill_workload()
    wanted = (
        ("decode_tok_s", setting.decode_workload()),
        ("ttft_s", prefill),
        ("prefill_tok_s", prefill),
        ("size_bytes", setting.size_workload()),
        ("peak_rss_bytes", setting.memory_workload()),
    )
    columns = [(name, workload) for name, workload in wanted if workload is not None]
    if not columns:
        return None
    lines = []
    for variant in setting.run.variants:
        found = [_first(setting, name, workload, variant.name) for name, workload in columns]
        lines.append((Cell(variant.name), *(_cell(row, notes) for row in found)))
    header = tuple(f"{_title(setting, name, workload)} ({unit_of(name)[1]})" for name, workload in columns)
    against = f"In brackets: against {setting.run.baselines[0]}, with the 95 % interval over rounds."
    return _section("Performance", (against, *weak_sentences(setting)), ("Model", *header), lines, 1)


def _title(setting: Setting, name: str, workload: str) -> str:
    found = setting.run.workloads.get(workload)
    title = metric_title(name, found).partition(",")[0]
    tokens = getattr(found, "prompt_tokens", None)
    return f"{title}@{tokens}" if name == "ttft_s" and tokens else title


def _first(setting: Setting, name: str, workload: str, variant: str) -> Row | None:
    """Against the first baseline, or the variant's own where it is one."""
    return next(iter(setting.of(name, workload, variant)), None)


def _cell(row: Row | None, notes: Notes) -> Cell:
    return Cell(NOTHING) if row is None else Cell(cell(row), notes.refs(row.notes))


def _accuracy(setting: Setting, notes: Notes) -> Section | None:
    names = [v.name for v in setting.run.variants]
    first = setting.run.baselines[0]
    lines = []
    for workload, name in dict.fromkeys((r.workload, r.metric) for r in setting.rows):
        task = setting.run.workloads.get(workload)
        if not isinstance(task, Task) or metric(name).unit != "fraction":
            continue
        pairs = {
            p.variant: p for p in setting.accuracy if (p.workload, p.metric, p.baseline) == (workload, name, first)
        }
        alone = {n: _first(setting, name, workload, n) for n in names}
        counts = {r.n for r in alone.values() if r is not None and r.value is not None}
        same = len(counts) == 1 and all(p.items in counts for p in pairs.values())
        scores = [_score(alone[n], pairs.get(n), notes, questions=not same) for n in names]
        shots = NOTHING if task.fewshot is None else str(task.fewshot)
        asked = str(min(counts)) if same else NOTHING
        lines.append((*cells(workload, shots, metric(name).title, asked), *scores))
    header = ("Benchmark", "Shots", "Metric", "Questions", *(f"{n} (%)" for n in names))
    said = (
        f"In brackets: points against {first} on the same questions, with the 95 % interval of the paired difference."
    )
    own = f"Shots: {NOTHING} is the task's own number."
    return _section("Accuracy", (f"{said} {own}", *near_chance_sentences(setting)), header, lines, 3)


def _score(row: Row | None, pair: PairedItems | None, notes: Notes, *, questions: bool) -> Cell:
    if row is None:
        return Cell(NOTHING)
    refs = notes.refs(row.notes)
    if pair is not None:
        return Cell(score(pair, questions), refs)
    if row.value is None:
        return Cell(no_value(row), refs)
    return Cell(f"{share(row.value)} (of {row.n} questions)" if questions else share(row.value), refs)


def _likeness(setting: Setting, notes: Notes) -> Section | None:
    workload = setting.text_workload()
    if workload is None:
        return None
    distances = {d.variant: d for d in setting.distances if (d.workload, d.metric) == (workload, DIVERGENCE)}
    lines = []
    for variant in setting.run.variants:
        perplexity, kl = _first(setting, PERPLEXITY, workload, variant.name), distances.get(variant.name)
        told = NOTHING if kl is None else plain(kl.value, 3)
        lines.append((Cell(variant.name), _cell(perplexity, notes), Cell(told)))
    reference = next((d.reference for d in distances.values()), "the reference")
    header = ("Model", f"Perplexity of {workload}", f"KL divergence from {reference} (nats)")
    return _section("Likeness to the 16-bit model", (), header, lines, 1)


def _schemes(setting: Setting) -> Section | None:
    sha = {r.variant: r.artifact_sha256[:SHA256_DIGITS] for r in setting.rows if r.artifact_sha256}
    bits = {r.variant: value_text(r) for r in setting.rows if r.metric == "bits_per_weight"}
    lines = [
        cells(v.name, v.model, v.recipe, v.scheme, bits.get(v.name, NOTHING), sha.get(v.name, NOTHING))
        for v in setting.run.variants
    ]
    header = ("Model", "Base", "Recipe", "Scheme", "Bits per weight", "sha256 of the artifact begins")
    return _section("Schemes", (), header, lines, 4)


def _commands(setting: Setting) -> Section | None:
    found = commands_table(setting)
    return Section("commands", "Commands", (COMMANDS,), (found,)) if found else None
