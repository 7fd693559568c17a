"""Report → page and drawings: the order in which everything is said."""

from collections.abc import Sequence

from harness.analyse.findings import Report
from harness.render.accuracy import accuracy_tables, linked_sentence, near_chance_sentences
from harness.render.details import (
    artifacts_table,
    conditions_table,
    differing_section,
    glossary,
    memory_table,
    troubles_table,
    weak_sentences,
)
from harness.render.drawings import Drawing, chart, memory_drawing, metric_drawings
from harness.render.first_screen import screen
from harness.render.heat import heat_sentences, heat_table
from harness.render.limit_drawings import roof_drawing, saving_drawing
from harness.render.limits import CONTEXTS, FITS, ROOF, context_tables, fit_tables, roof_table
from harness.render.page import Notes, Page, Section, Table
from harness.render.raw import COMMANDS, commands_table, raw_table
from harness.render.settings import Setting, settings
from harness.render.sweeps import DEPTHS, THREADS, depth_tables, threads_table
from harness.render.tables import comparison_table, runs_table
from harness.render.verdicts import claims_section
from harness.render.words import listed

SEE_NOISE = "; see “Noise and failures”"


def compose(report: Report, of_items: frozenset[str] = frozenset()) -> tuple[Page, list[Drawing]]:
    """All that the pages say, and all that has to be drawn for them.

    Args:
        of_items: names of the pages of single questions, which are linked.
    """
    notes = Notes()
    every = list(settings(report))
    drawings: list[Drawing] = []
    screens, sections = [], []
    for setting in every:
        first = chart(setting)
        drawings += [first] if first else []
        heading = setting.name if len(every) > 1 else ""
        screens.append(screen(setting, notes, heading=heading, chart=first.picture if first else None))
    if len(report.runs) > 1:
        sections += [
            differing_section(report),
            Section("runs", SIDES, (SIDE_BY_SIDE,), (runs_table(report, notes),), link=SIDES),
        ]
    sections += [claims_section(one) for one in report.claims]
    for index, setting in enumerate(every):
        suffix = f"-{index + 1}" if len(every) > 1 else ""
        made, drawn = _sections(setting, notes, suffix, of_items)
        sections += made
        drawings += drawn
    sections.append(Section("glossary", "Definitions", (HOW_TO_READ,), terms=glossary(report), link="Definitions"))
    page = Page(
        title=listed(list(dict.fromkeys(run.title for run in report.runs))),
        banners=(*banners(report), *((DIFFER,) if report.differing else ())),
        screens=tuple(screens),
        sections=tuple(sections),
        notes=notes.all,
        footer=_footer(report),
    )
    return page, drawings


DOUBTFUL_SHARE = 0.2
DIFFER = "These runs differ in their conditions; see “What differs between the runs”."
SIDES = "Runs side by side"
SIDE_BY_SIDE = (
    "Each cell holds the run's own value and the ratio, or the difference in points, against that run's "
    "own first baseline."
)
HOW_TO_READ = (
    "A ratio is the variant's value divided by the baseline's. Its 95 % interval is a t-interval over the "
    "rounds: in each round the processes stand side by side, so that the logarithms of their ratios are "
    "paired. Differences in accuracy are paired by question; a score itself is exact for its questions, and "
    "a perplexity for its text. A distance to a reference has no ratio. Sizes are exact. MB are 10⁶ bytes, "
    "MiB are 2²⁰."
)
PAIRED = (
    "Every variant answers the same questions, so that a difference is judged question by question. "
    "Recovery, the quotient of two scores, hides flips that cancel out: read it last. The KL divergence of choices "
    "compares how the likelihood is shared out among the choices of a question; a distance compares "
    "the next-token distributions at the same positions of a text. A macro mean weighs every task alike."
)
PEAKS = (
    "Each bar adds up what the runtime says it allocated and what the process held before it loaded the "
    "model; the hatched rest is what nobody explains."
)
QUIET = "No trial failed, none was set aside, and none was doubtful."


class _Maker:
    """Makes sections of one setting: ids, titles and links apart from those of other settings."""

    def __init__(self, setting: Setting, suffix: str) -> None:
        self.setting, self.suffix = setting, suffix
        self.drawings: list[Drawing] = []

    def __call__(
        self,
        name: str,
        title: str,
        paragraphs: Sequence[str] = (),
        tables: Sequence[Table] = (),
        drawings: Sequence[Drawing | None] = (),
        *,
        fold: str | None = None,
        page_only: bool = False,
    ) -> Section:
        drawn = [d for d in drawings if d is not None]
        self.drawings += drawn
        link = title if not self.suffix else self.setting.name if name == "comparison" else None
        return Section(
            id=name + self.suffix,
            title=title + (f" · {self.setting.name}" if self.suffix else ""),
            paragraphs=tuple(paragraphs),
            tables=tuple(t for t in tables if any(g.rows for g in t.groups)),
            pictures=tuple(d.picture for d in drawn),
            link=link,
            fold=fold,
            page_only=page_only,
        )


def _sections(
    setting: Setting, notes: Notes, suffix: str, of_items: frozenset[str]
) -> tuple[list[Section], list[Drawing]]:
    section = _Maker(setting, suffix)
    peaks = []
    for workload in dict.fromkeys(w.workload for w in setting.waterfalls):
        falls = [w for w in setting.waterfalls if w.workload == workload]
        peaks.append(memory_drawing(setting, workload, falls))
    warnings, parts = memory_table(setting)
    troubles = troubles_table(setting)
    quiet = not troubles.groups[0].rows
    found = [
        section("comparison", "All metrics", weak_sentences(setting), (comparison_table(setting, notes),)),
        section("plots", "Metric by metric", drawings=metric_drawings(setting)),
        section("roofline", "Roofline of decode", (ROOF,), (roof_table(setting, notes),), (roof_drawing(setting),)),
        section("threads", "Speed by threads", (THREADS,), (threads_table(setting),)),
        section("heat", "Temperature and clocks", heat_sentences(setting), (heat_table(setting),)),
        section("depths", "Speed by depth", (DEPTHS,), depth_tables(setting, notes)),
        section("memory", "What the peak of memory is made of", (PEAKS, *warnings), (parts,), peaks),
        *_memory_sections(section, setting, notes),
        section(
            "accuracy",
            "Accuracy and distance to the reference",
            (PAIRED, *linked_sentence(setting, of_items), *near_chance_sentences(setting)),
            accuracy_tables(setting, notes, of_items),
        ),
        section("conditions", "Conditions", tables=(conditions_table(setting), artifacts_table(setting))),
        section("troubles", "Noise and failures", (QUIET,) if quiet else (), (troubles,)),
        *_folded(section, setting, notes),
    ]
    return [s for s in found if s.tables or s.pictures or s.paragraphs == (QUIET,)], section.drawings


def _memory_sections(section: _Maker, setting: Setting, notes: Notes) -> list[Section]:
    judged, fits = fit_tables(setting, notes)
    by_context = context_tables(setting, notes)
    return [
        section("contexts", "Memory by context", (CONTEXTS,), by_context, (saving_drawing(setting),)),
        section("fits", "Which variant fits which memory", (FITS, *judged), fits),
    ]


def _folded(section: _Maker, setting: Setting, notes: Notes) -> list[Section]:
    commands = commands_table(setting)
    said, rows = raw_table(setting, notes)
    return [
        section(
            "commands",
            "Commands",
            (COMMANDS,),
            (commands,) if commands else (),
            fold="A command for each cell",
        ),
        section("raw", "Raw data", (said,), (rows,), fold="All rows, with the value of each round", page_only=True),
    ]


def banners(report: Report, see: str = SEE_NOISE) -> list[str]:
    """What must be known before any number is read; `see` leads to the single troubles."""
    said = []
    many = len(report.runs) > 1
    for run in report.runs:
        which = f"{run.id}: " if many else ""
        if not run.complete:
            said.append(f"{which}This run is not complete: {run.measured} of {run.trials} trials.")
        failed = sum(
            t.status not in ("noisy", "discarded", "unsupported", "does_not_fit")
            for t in report.troubles
            if t.run == run.id
        )
        if failed:
            do = "trials do" if failed > 1 else "trial does"
            said.append(f"{which}{failed} {do} not count{see}.")
        noisy = {(t.variant, t.workload, t.round) for t in report.troubles if t.run == run.id and t.status == "noisy"}
        if len(noisy) > DOUBTFUL_SHARE * run.measured:
            said.append(f"{which}{len(noisy)} of {run.measured} trials are doubtful{see}.")
        random = [v.name for v in run.variants if v.random_weights]
        if random:
            said.append(f"{which}The weights of {listed(random)} are random: accuracy means nothing here.")
    return said


def _footer(report: Report) -> str:
    versions = dict.fromkeys(f"bench {run.bench_version}" for run in report.runs if run.bench_version)
    which = listed([f"run {run.id} of suite {run.suite}" for run in report.runs])
    return f"Made by {listed(list(versions)) or 'bench'} from {which}. Exact numbers: report.json."
