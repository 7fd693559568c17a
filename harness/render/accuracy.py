"""What compression cost in accuracy, as tables: for the pages in full, for a terminal in short."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from harness.analyse.findings import PairedItems, TaskScore
from harness.analyse.pairs import NEAR_CHANCE
from harness.render.items_page import items_name
from harness.render.page import Cell, Notes, Table, cells, grouped
from harness.render.settings import Setting
from harness.render.tables import NOTHING
from harness.render.words import last_place, metric_title, number, p_value, points, quantity, span
from harness.stats import bounds, widest

Groups = dict[str, list[tuple[Cell, ...]]]
FULL = ("variant", "against", "questions", "difference", "interval clustered", "right → wrong", "wrong → right",
        "answers changed (alike)", "KL of choices", "McNemar", "recovery")  # fmt: skip
SHORT = ("variant", "against", "difference", "→ wrong / → right", "changed (alike)", "KL", "McNemar", "recovery")


def accuracy_tables(setting: Setting, notes: Notes, of_items: frozenset[str]) -> list[Table]:
    """Paired differences, per-task scores and distances; empty ones are left out."""
    found = []
    if setting.accuracy and not setting.random_weights:
        groups: Groups = defaultdict(list)
        for pair in setting.accuracy:
            groups[_title(pair)].append(_pair_cells(setting, pair, notes, of_items))
        found.append(grouped(FULL, groups, 2))
    scores = [t for t in setting.report.tasks if (t.run, t.device, t.runtime) == _key(setting)]
    if scores and not setting.random_weights:
        found.append(_scores(setting, scores))
    if setting.distances:
        found.append(_distances(setting))
    return found


def answers_table(setting: Setting, notes: Notes, metrics: Sequence[str] | None = None) -> Table | None:
    """The paired comparisons of a setting in short; None where there is none."""
    pairs = [p for p in setting.accuracy if metrics is None or p.metric in metrics]
    if not pairs or setting.random_weights:
        return None
    return pairs_table(pairs, notes, setting.named)


def pairs_table(pairs: Sequence[PairedItems], notes: Notes, named: Callable[[str | None], str]) -> Table:
    """Difference, flips, answers changed, divergence, test and recovery of each comparison."""
    groups: Groups = defaultdict(list)
    for pair in pairs:
        groups[_title(pair)].append(
            (
                Cell(named(pair.variant), _refs(pair, notes)),
                *cells(
                    pair.baseline,
                    widest_points(pair),
                    _flips(pair),
                    _changed(pair),
                    _divergence(pair, interval=False),
                    _test(pair),
                    recovery(pair),
                ),
            )
        )
    return grouped(SHORT, groups, 2)


def linked_sentence(setting: Setting, of_items: frozenset[str]) -> Iterator[str]:
    """Where single questions can be seen, if anywhere."""
    if any(items_name(pair) in of_items for pair in setting.accuracy):
        yield "The number of questions leads to the questions themselves, with what both answered."


def near_chance_sentences(setting: Setting) -> Iterator[str]:
    """A warning for each task whose baseline cannot be told from guessing."""
    if setting.random_weights:
        return
    near: dict[str, list[PairedItems]] = defaultdict(list)
    for pair in setting.accuracy:
        if pair.near_chance:
            near[_title(pair)].append(pair)
    for title, pairs in near.items():
        scores = dict.fromkeys(f"{p.baseline} {quantity(p.metric, p.baseline_value)}" for p in pairs)
        yield f"{title}, {', '.join(scores)}. {NEAR_CHANCE}."


def recovery(pair: PairedItems) -> str:
    """`99.1 % (97–101)`; nothing without an interval, and never without the warning."""
    if pair.recovery is None or pair.recovery_low is None or pair.recovery_high is None:
        return NOTHING
    low, high = 100 * pair.recovery_low, 100 * pair.recovery_high
    place = -1 if high - low < 20 else 0
    warning = ", near chance" if pair.near_chance else ""
    return f"{number(100 * pair.recovery, place)} % ({span(low, high, place)}){warning}"


def _pair_cells(setting: Setting, pair: PairedItems, notes: Notes, of_items: frozenset[str]) -> tuple[Cell, ...]:
    page = items_name(pair)
    return (
        Cell(setting.named(pair.variant), _refs(pair, notes)),
        Cell(pair.baseline),
        Cell(f"{pair.items:,}", href=page if page in of_items else None),
        *cells(
            points(pair.diff, *bounds(pair.interval)),
            _clustered(pair),
            _count(pair.right_to_wrong),
            _count(pair.wrong_to_right),
            _changed(pair),
            _divergence(pair, interval=True),
            _test(pair),
            recovery(pair),
        ),
    )


def _scores(setting: Setting, scores: Sequence[TaskScore]) -> Table:
    """A line a task, a column a variant."""
    variants = tuple(dict.fromkeys(score.variant for score in scores))
    lines: dict[str, dict[str, dict[str | None, TaskScore]]] = defaultdict(lambda: defaultdict(dict))
    for score in scores:
        lines[f"{metric_title(score.metric, None)} on {score.workload}"][score.task][score.variant] = score
    groups: Groups = {}
    for title, by_task in lines.items():
        groups[title] = []
        for task, known in by_task.items():
            counts = dict.fromkeys(f"{score.items:,}" for score in known.values())
            values = [quantity(known[v].metric, known[v].value) if v in known else NOTHING for v in variants]
            groups[title].append(cells(task, " / ".join(counts), *values))
    return grouped(("task", "questions", *map(setting.named, variants)), groups, 1)


def _distances(setting: Setting) -> Table:
    groups: Groups = defaultdict(list)
    for one in setting.distances:
        groups[f"{metric_title(one.metric, None)} on {one.workload}"].append(
            cells(
                setting.named(one.variant),
                "itself" if one.is_reference else one.reference,
                quantity(one.metric, one.value, *bounds(one.interval), interval=True),
                f"{one.positions:,} in {one.windows} windows",
            )
        )
    return grouped(("variant", "from", "value (95 % interval)", "positions"), groups, 2)


def _title(pair: PairedItems) -> str:
    return f"{metric_title(pair.metric, None)} on {pair.workload}"


def _refs(pair: PairedItems, notes: Notes) -> tuple[int, ...]:
    return notes.refs((NEAR_CHANCE,)) if pair.near_chance else ()


def widest_points(pair: PairedItems) -> str:
    """The difference with the wider of its intervals."""
    return points(pair.diff, *bounds(widest(pair.interval, pair.clustered)))


def _clustered(pair: PairedItems) -> str:
    if pair.clustered is None:
        return NOTHING
    low, high = 100 * pair.clustered.low, 100 * pair.clustered.high
    return f"{span(low, high, last_place(100 * pair.diff, low, high, null=0.0))}, {pair.clusters} groups"


def _flips(pair: PairedItems) -> str:
    if pair.right_to_wrong is None or pair.wrong_to_right is None:
        return NOTHING
    return f"{pair.right_to_wrong:,} / {pair.wrong_to_right:,}"


def _count(number: int | None) -> str:
    return NOTHING if number is None else f"{number:,}"


def _changed(pair: PairedItems) -> str:
    """How many answers, and the agreement of the most likely choice."""
    if pair.answers_changed is None:
        return NOTHING
    return f"{pair.answers_changed:,} ({number(100 * (1 - pair.answers_changed / pair.items), 0)} %)"


def _test(pair: PairedItems) -> str:
    return NOTHING if pair.mcnemar_p is None else p_value(pair.mcnemar_p)


def _divergence(pair: PairedItems, *, interval: bool) -> str:
    if pair.choice_kl is None:
        return NOTHING
    return quantity("kl_divergence", pair.choice_kl, *bounds(pair.choice_kl_interval), interval=interval)


def _key(setting: Setting) -> tuple[str, str, str | None]:
    return setting.run.id, setting.device.name, setting.runtime
