"""An examination of the machine in a terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.health import Check, Difference, Health, Part, SelfTest
from harness.metrics import METRICS
from harness.render.words import clean

CANARY_CV = 0.03
"""As much as one window's canary may lose."""
STYLES = {"good": "green", "doubtful": "bold yellow", "bad": "bold red", "unknown": "dim"}


def examination(health: Health) -> RenderableType:
    """Three parts: what is installed, whether it is quiet, what can be told apart; last what hinders."""
    return Group(*_lines(health))


def _lines(health: Health) -> Iterator[RenderableType]:
    yield Text("Installed", style="bold")
    yield _grid(_part(part) for part in health.parts)
    yield Text(f"\nMachine ({clean(health.device)})", style="bold")
    yield _grid(_check(check) for check in health.checks)
    yield Text("\nA/A test: an artifact against itself", style="bold")
    yield Padding(Group(*_self_test(health.self_test)), (0, 0, 0, 2))
    yield Text("")
    for why in health.impossible:
        yield Text(f"nothing can be measured here: {clean(why)}", style="bold red")
    if not health.impossible:
        yield Text(_sentence(health))


def _sentence(health: Health) -> str:
    bad, doubtful = ([c.name for c in health.checks if c.state == state] for state in ("bad", "doubtful"))
    if health.self_test.noise:
        doubtful.append("the noise in the A/A test")
    if bad:
        also = f" Look also at: {', '.join(doubtful)}." if doubtful else ""
        return f"Measuring is possible, but not well now: {', '.join(bad)}.{also}"
    if doubtful:
        return f"Measuring is possible; look at: {', '.join(doubtful)}."
    return "Nothing seen speaks against measuring now."


def _part(part: Part) -> tuple[Text, Text, Text]:
    optional = not part.present and part.needed_for.endswith("(optional)")
    word = "there" if part.present else "absent" if optional else "missing"
    style = "green" if part.present else "dim" if optional else "bold yellow"
    said = Text(clean(part.seen))
    if not part.present:
        said.append(f"\nfor {clean(part.needed_for)}", style="dim")
    if part.get:
        said.append(f"\n→ {clean(part.get)}")
    return Text(word, style=style), Text(clean(part.name)), said


def _check(check: Check) -> tuple[Text, Text, Text]:
    said = Text(clean(check.seen or check.reason or ""))
    if check.effect:
        said.append(f"\n{clean(check.effect)}", style="dim")
    if check.advice:
        said.append(f"\n→ {clean(check.advice)}")
    return Text(check.state, style=STYLES[check.state]), Text(check.name), said


def _self_test(test: SelfTest) -> Iterator[RenderableType]:
    if test.reason:
        yield Text(f"{clean(test.reason)}" if test.state == "done" else f"{test.state}: {clean(test.reason)}")
    if test.get:
        yield Text(f"→ {clean(test.get)}")
    if test.state != "done":
        return
    yield Text(f"{clean(test.variant or '')}, {test.trials} trials in {test.seconds or 0:.0f} s", style="dim")
    yield _differences(test.differences)
    yield Text("in 5 rounds: smallest difference that shows; for ± 2 %: rounds it takes", style="dim")
    if test.read_bandwidth_bytes_s is not None:
        yield Text(f"read bandwidth {test.read_bandwidth_bytes_s / 1e9:.1f} GB/s")
    yield from _steadiness(test)
    for mark, trials in sorted(test.noise.items()):
        yield Text(f"noisy: {clean(mark)} ({trials} of {test.trials} trials)", style="bold yellow")
    if moved := [one.label for one in test.differences if one.excludes_1]:
        yield Text(f"{', '.join(moved)}: the artifact differs from itself", style="bold yellow")
        yield Text("by chance one metric in twenty does; if it happens again, rounds here are not alike", style="dim")


def _steadiness(test: SelfTest) -> Iterator[RenderableType]:
    if (canary := test.canary) is not None:
        noisy = max(canary.compute_cv, canary.read_cv) > CANARY_CV
        said = (
            f"canary: {canary.readings} readings, arithmetic varies by {canary.compute_cv:.1%},"
            f" reads by {canary.read_cv:.1%}"
        )
        yield Text(said, style="bold yellow" if noisy else "")
    if (place := test.placement) is not None:
        said = f"threads ran on the cores {', '.join(map(str, place.cores))}"
        said += f"; one changed its core in {place.moved} of {place.windows} windows"
        if place.waited_share is not None:
            said += f", and waited for at most {place.waited_share:.1%} of one"
        yield Text(said)
        if place.outside:
            cores = ", ".join(map(str, place.outside))
            yield Text(f"cores that it was not to use: {cores}", style="bold red")


def _differences(differences: tuple[Difference, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    for title in ("rounds", "median", "B / A, 95 %", "in 5 rounds", "for ± 2 %"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in differences:
        if one.ratio_low is None or one.value is None:
            table.add_row(one.label, str(one.rounds), "–", "–", "–", "–")
            continue
        table.add_row(
            one.label,
            str(one.rounds),
            f"{one.value:.4g} {METRICS[one.metric].unit}",
            f"{one.ratio:.3f} ({one.ratio_low:.3f}–{one.ratio_high:.3f})",
            f"± {one.smallest_percent:.1f} %",
            "over 10,000" if one.rounds_for_2_percent is None else f"{one.rounds_for_2_percent:,}",
        )
    return table


def _grid(rows: Iterator[tuple[Text, Text, Text]]) -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return Padding(table, (0, 0, 0, 2))
