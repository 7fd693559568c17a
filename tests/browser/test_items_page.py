"""The page of single questions in a real browser: 20,000 items, few rows, search, filters, keyboard."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.analyse.drill import DrillDown, Drilled, Given
from harness.analyse.findings import PairedItems
from harness.analyse.questions import Asked
from harness.render.items_page import items_page
from harness.stats import Interval
from tests.browser.test_page import COLOURS, contrast

pytestmark = pytest.mark.chromium
SCREENSHOTS = Path(os.environ.get("BENCH_SCREENSHOTS", "build/screenshots"))
COUNT = 20_000
MOST_ROWS = 200
EXAMPLES = "The following are questions.\n\nWhat is one?\nA. 1\nB. 2\nAnswer: A\n\n"
CHOICES = (" A", " B", " C", " D")


def drilled(number: int) -> Drilled:
    """Of ten questions one is lost, one is won, one has another wrong answer; the rest stay."""
    kind = number % 10
    target = number % 4
    wrong, other = (target + 1) % 4, (target + 2) % 4
    base, ours = {0: (target, wrong), 1: (wrong, target), 2: (wrong, other), 3: (wrong, wrong)}.get(kind, (target,) * 2)
    question = f"Question {number}: what is {number} × 3?\nA. {number}\nB. {number * 3}\nC. none\nD. all\nAnswer:"
    return Drilled(
        task=f"subject_{number % 57}",
        id=number,
        asked=Asked(EXAMPLES, question, CHOICES, 4 * number),
        target=target,
        variant=given(ours, target),
        baseline=given(base, target),
    )


def written(number: int) -> Drilled:
    """The same, of answers that were generated."""
    one, story = drilled(number), f"Step {number}: three times {number} is counted on and on. " * 8
    sides = [
        Given(side.right, str(side.answer), (), f"{story}\nThe answer of {name} is {side.answer}.")
        for name, side in (("int4", one.variant), ("bf16", one.baseline))
    ]
    return Drilled("gsm8k", number, Asked(EXAMPLES, f"Problem {number}?", (), number), str(one.target), *sides)


def given(answer: int, target: int) -> Given:
    logprobs = [-3.0] * 4
    logprobs[answer] = -1.0
    return Given(answer == target, answer, tuple(logprobs), None)


def paired(**changes: Any) -> PairedItems:
    values: dict[str, Any] = {
        "run": "r", "variant": "int4-ptq", "runtime": "llama.cpp", "device": "local", "workload": "mmlu",
        "baseline": "bf16", "metric": "acc", "of": None,
        "items": COUNT, "value": 0.7, "baseline_value": 0.7, "diff": 0.0,
        "interval": Interval(low=-0.006, high=0.006), "clustered": None, "clusters": 57, "right_to_wrong": 2000,
        "wrong_to_right": 2000, "mcnemar_p": 1.0, "answers_changed": 6000, "choice_kl": 0.1,
        "choice_kl_interval": None, "recovery": 1.0, "recovery_low": 0.99, "recovery_high": 1.01,
        "one_point": "excluded", "near_chance": False, **changes,
    }  # fmt: skip
    return PairedItems(**values)


TEXTS = (
    Drilled(
        task="gsm8k",
        id=0,
        asked=Asked("", "Question: <b>how many</b>?\nAnswer:", (), 0),
        target="18",
        variant=Given(False, "17", (), "There are 17.\n#### 17"),
        baseline=Given(True, "18", (), "There are <i>18</i>.\n#### 18"),
    ),
    Drilled(
        task="old",
        id=0,
        asked=Asked("", "Which?", (" this one", " that other one"), 8),
        target=None,
        variant=Given(True, None, (), None),
        baseline=Given(False, None, (), None),
    ),
    Drilled("gsm8k", 1, Asked("", "Another?", (), 1), None, Given(True, None, (), None), Given(True, None, (), None)),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("items")
    made = {
        "many": items_page(DrillDown(paired(), tuple(map(drilled, range(COUNT))))),
        "written": items_page(DrillDown(paired(workload="gsm8k"), tuple(map(written, range(COUNT))))),
        "texts": items_page(DrillDown(paired(workload="gsm8k", near_chance=True, items=2), TEXTS)),
    }
    for name, page in made.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.fixture(params=["many"])
def opened(browser: Any, files: dict[str, Path], request: Any) -> Iterator[Any]:
    """The page of 20,000 items; at its end nothing was asked for and nothing was complained of."""
    place = files[request.param]
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    said: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(place.as_uri())
    yield page
    assert said == []
    assert requests == [place.as_uri()]
    page.close()


def row_count(page: Any) -> int:
    return int(page.evaluate("document.querySelectorAll('.row').length"))


def searched(page: Any, text: str, count: str) -> None:
    page.fill("#search", text)
    counted(page, count)


def counted(page: Any, count: str) -> None:
    """Wait until the list holds so many."""
    from playwright.sync_api import expect

    expect(page.locator("#count")).to_have_text(f"{count} of 20,000 questions")


@pytest.mark.parametrize("opened", ["many", "written"], indirect=True)
def test_few_rows_are_in_the_document_wherever_one_scrolls(opened: Any) -> None:
    assert 10 < row_count(opened) < MOST_ROWS
    for share in (0.25, 0.5, 0.9):
        opened.evaluate(f"list.scrollTop = {share} * list.scrollHeight")
        opened.wait_for_function(
            """() => {
              const box = list.getBoundingClientRect();
              return document.elementFromPoint(box.left + 40, box.top + 200).closest('.row') !== null;
            }"""
        )
        assert 10 < row_count(opened) < MOST_ROWS


def test_the_end_shows_the_last_item(opened: Any) -> None:
    opened.select_option("#sort", "asked")
    opened.evaluate("list.scrollTop = list.scrollHeight")
    opened.wait_for_selector(f"#row-{COUNT - 1}")
    last = opened.locator(f"#row-{COUNT - 1}")
    assert f"Question {COUNT - 1}:" in last.inner_text()
    box, row = opened.locator("#list").bounding_box(), last.bounding_box()
    assert row["y"] + row["height"] <= box["y"] + box["height"] + 1


@pytest.mark.parametrize("opened", ["written"], indirect=True)
def test_of_20000_generated_answers_each_is_found_with_both_texts(opened: Any) -> None:
    counts = {name: opened.inner_text(f"#filter-{name} span") for name in ("all", "lost", "won", "other")}
    assert counts == {"all": "20,000", "lost": "2,000", "won": "2,000", "other": "2,000"}
    opened.select_option("#sort", "asked")
    opened.locator("#list").press("End")
    assert f"Problem {COUNT - 1}?" in opened.inner_text("#detail .prompt")
    right = (COUNT - 1) % 4
    texts = [text.splitlines()[-1] for text in opened.locator(".texts pre").all_inner_texts()]
    assert texts == [f"The answer of bf16 is {right}.", f"The answer of int4 is {right}."]
    searched(opened, "problem 17000?", "1")
    assert opened.locator(".texts pre").first.inner_text().startswith("Step 17000: ")


def test_filters_count_and_choose(opened: Any) -> None:
    counts = {name: opened.inner_text(f"#filter-{name} span") for name in ("all", "changed", "lost", "won", "other")}
    assert counts == {"all": "20,000", "changed": "6,000", "lost": "2,000", "won": "2,000", "other": "2,000"}
    opened.click("#filter-other")
    assert opened.inner_text("#count") == "2,000 of 20,000 questions"
    assert opened.get_attribute("#filter-other", "aria-pressed") == "true"
    assert opened.get_attribute("#filter-all", "aria-pressed") == "false"
    kinds = opened.locator(".row .what").all_inner_texts()
    assert kinds and all(kind.startswith("wrong → other wrong") for kind in kinds)


def test_changed_ones_come_first(opened: Any) -> None:
    first = opened.locator("#row-0 .what").inner_text()
    assert first == "right → wrong: A → B"
    opened.select_option("#sort", "asked")
    assert "subject_0 · 0" in opened.inner_text("#row-0")
    assert "subject_3 · 3" in opened.inner_text("#row-3")
    opened.select_option("#sort", "moved")
    assert "→" in opened.locator("#row-0 .what").inner_text()


def test_search_finds_words_of_question_and_choices(opened: Any) -> None:
    searched(opened, "WHAT IS 17000 ×", "1")
    assert "Question 17000:" in opened.inner_text("#detail")
    assert opened.inner_text("#filter-lost span") == "1"
    searched(opened, "51,000", "0")
    assert opened.inner_text("#detail") == "No question fits."
    searched(opened, "b. 51000", "1")
    both = sum("19" in f"{n} {3 * n}" for n in range(56, COUNT, 57))
    searched(opened, "subject_56 19", str(both))
    opened.keyboard.press("Escape")
    counted(opened, "20,000")


def test_the_detail_shows_prompt_choices_and_both_distributions(opened: Any) -> None:
    detail = opened.locator("#detail")
    assert opened.inner_text("#detail pre.prompt").startswith("Question 0: what is 0 × 3?")
    assert not opened.locator("#detail details pre").is_visible()
    opened.click("#detail summary")
    assert opened.locator("#detail details pre").inner_text().startswith("The following are questions.")
    assert opened.locator(".choice").count() == 4 and opened.locator(".bar").count() == 8
    gold = opened.locator(".choice.gold").inner_text()
    assert "A. 0" in gold and "✓ the right one" in gold
    # softmax of (−1, −3, −3, −3): 71.1 % and 9.6 %
    assert "71.1 %" in opened.locator(".choice.gold .bar.baseline").inner_text()
    assert "9.6 %" in opened.locator(".choice.gold .bar.variant").inner_text()
    widths = [opened.evaluate("(n) => n.style.width", n) for n in opened.query_selector_all(".choice.gold .fill")]
    assert [round(float(w.rstrip("%")), 1) for w in widths] == [71.1, 9.6]
    assert opened.locator(".bar.chosen").count() == 2
    share = 1 / (1 + 3 * math.exp(-2))
    moved = 2 * (share - (1 - share) / 3)  # both ways by two nats
    assert f"{moved:.4f} nats" in detail.inner_text()


def test_it_can_be_used_with_a_keyboard(opened: Any) -> None:
    opened.keyboard.press("/")
    assert opened.evaluate("document.activeElement.id") == "search"
    opened.keyboard.press("Escape")
    assert opened.evaluate("document.activeElement.id") == "list"
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("ArrowDown")
    assert opened.get_attribute("#list", "aria-activedescendant") == "row-2"
    assert opened.get_attribute("#row-2", "aria-selected") == "true"
    opened.keyboard.press("End")
    assert opened.get_attribute("#list", "aria-activedescendant") == f"row-{COUNT - 1}"
    assert f"subject_{(COUNT - 1) % 57} · {COUNT - 1}" in opened.inner_text("#detail h2")
    opened.keyboard.press("Home")
    assert opened.get_attribute("#list", "aria-activedescendant") == "row-0"
    assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_texts_stand_side_by_side_and_are_text(browser: Any, files: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(files["texts"].as_uri())
    assert "Question: <b>how many</b>?" in page.inner_text("#detail .prompt")
    texts = page.locator(".texts pre").all_inner_texts()
    assert texts == ["There are <i>18</i>.\n#### 18", "There are 17.\n#### 17"]
    counts = {name: page.inner_text(f"#filter-{name} span") for name in ("all", "changed", "lost", "other")}
    assert counts == {"all": "3", "changed": "≥ 2", "lost": "1", "other": "not kept"}, "unseen is no 0"
    assert "right → wrong: 18 → 17" in page.inner_text("#detail .verdict")
    assert "cannot be told from guessing" in page.inner_text(".banner")
    page.click("#row-1")
    assert "wrong → right" in page.inner_text("#detail .verdict")
    assert page.locator("#detail .said").all_inner_texts() == ["this one", "that other one"]
    assert page.locator("#detail .fill").count() == 0
    assert "were not kept" in page.inner_text("#detail")
    page.click("#row-2")
    assert "both right" in page.inner_text("#detail")
    page.close()


@pytest.mark.parametrize("name", ["many", "texts", "written"])
@pytest.mark.parametrize("width", [320, 400, 768, 1400])
def test_nothing_is_wider_than_the_screen(browser: Any, files: dict[str, Path], name: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(files[name].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["many", "texts"])
def test_all_text_has_contrast(browser: Any, files: dict[str, Path], name: str, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    page.goto(files[name].as_uri())
    page.evaluate(
        "document.getElementById('data').remove(); document.querySelectorAll('script').forEach((n) => n.remove())"
    )
    pairs = page.evaluate(COLOURS)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"items-{name}-{scheme}.png")
    page.close()
    assert len(pairs) >= 5
    for front, behind, text in pairs:
        assert contrast(front, behind) >= 4.5, (text, front, behind)
