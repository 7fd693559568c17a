"""What an item says of its question: what is right, and what guessing would score."""

from types import SimpleNamespace
from typing import Any

import pytest

from harness.measure.workers.item_lines import answered, chance_of

FOUR = {"arguments": [1] * 4, "metrics": ["acc"], "acc": 1.0, "doc": {}, "target": 2, "filtered_resps": [(-3.0, 0)] * 4}
LETTER = {"arguments": [1], "metrics": ["exact_match"], "exact_match": 0.0, "target": "B."}


@pytest.mark.parametrize(
    ("sample", "chance"),
    [
        (FOUR, 0.25),
        ({**FOUR, "metrics": ["acc_norm"], "acc_norm": 0.0}, 0.25),
        ({**FOUR, "arguments": [1] * 8, "metrics": ["acc", "acc_mutual_info"], "acc_mutual_info": 0.0}, 0.25),
        ({**FOUR, "acc": 0.3}, None),
        ({**LETTER, "doc": {"choices": list("wxyz")}}, 0.25),
        ({**LETTER, "doc": {"choices": {"text": list("wxy"), "label": list("ABC")}}}, 1 / 3),
        ({**LETTER, "doc": {"choices": list("wxyz")}, "target": "forty-two"}, None),
        ({**LETTER, "doc": {}}, None),
    ],
)
def test_guessing_scores_one_in_the_number_of_choices(sample: dict[str, Any], chance: float | None) -> None:
    assert chance_of(sample) == chance


@pytest.mark.parametrize(
    ("more", "target"), [({}, 2), ({"metrics": ["acc_norm"], "acc_norm": 0.0}, 2), ({"acc": 0.3}, None)]
)
def test_a_share_of_the_mass_has_no_one_right_choice(more: dict[str, Any], target: int | None) -> None:
    task: Any = SimpleNamespace(OUTPUT_TYPE="multiple_choice", multiple_input=False, doc_to_choice=lambda doc: "wxyz")
    assert answered({**FOUR, **more}, task)["target"] == target
