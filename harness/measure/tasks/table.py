"""The table of tasks whose data files are known by name."""

from pathlib import Path
from typing import Any

from harness.values import Value

HERE = Path(__file__).parent
OWN_DATA = HERE.parent.parent / "data" / "knowledge_200.jsonl"
DERIVED = "local variant: choices derived from the generation set"


class TaskSpec(Value, frozen=True, kw_only=True):
    """How one task gets its definition and its data."""

    definition: str
    """File below lm-eval's tasks folder, or an absolute path for a task of our own."""
    files: dict[str, str]
    """Split → file below the data folder."""
    shots: dict[str, str] = {}
    """The same for a split that is read only where few-shot examples are wished."""
    protocol: dict[str, Any] = {}
    """Keys over lm-eval's own, for the protocol that the name stands for."""
    overrides: dict[str, Any] = {}
    """The same for the form of the local copy; data of the hub need none."""
    needs: tuple[str, ...] = ()
    """Python modules that lm-eval's own code for the task imports."""
    label: str = ""
    """What must be said beside scores on the local copy, such as that it is preprocessed."""
    chat: bool = False
    """Whether the published protocol sends the prompt through the model's chat template."""


class TaskFile(Value, frozen=True, kw_only=True):
    """One lm-eval task with its files found: what the worker gets."""

    name: str
    definition: str
    data_files: dict[str, str]
    """Split → path; empty: the definition's own data set, from the hub."""
    overrides: dict[str, Any] = {}
    label: str = ""
    chat: bool = False
    """Whether prompts go through the model's chat template where the suite does not say."""
    nltk_data: str = ""
    """Folder of NLTK's data; empty: not needed."""


NOT_OFFERED = dict.fromkeys(
    ("humaneval", "mbpp"), "runs code that a model wrote, and bench has no place yet where that does no harm"
)
"""Sets that people look for, and why they are no task here."""
MMLU = {"test": "mmlu/test/{part}.jsonl.gz", "dev": "mmlu/dev/{part}.jsonl.gz"}
ARC_CHALLENGE = {"test": "arc_challenge/test.jsonl.gz"}
ARC_CHALLENGE_SHOTS = {"train": "arc_challenge/train.jsonl.gz"}
ARC_EASY = {"test": "arc_easy/test.jsonl.gz"}
GSM8K = {"train": "gsm8k/train.jsonl.gz", "test": "gsm8k/test.jsonl.gz"}
TRUTHFULQA = {"validation": "truthfulqa/multiple_choice.jsonl.gz"}
IFEVAL = {"train": "ifeval/train.jsonl.gz"}
TASKS: dict[str, TaskSpec] = {
    "knowledge_200": TaskSpec(definition=str(HERE / "knowledge_200.yaml"), files={"test": str(OWN_DATA)}),
    "mmlu": TaskSpec(definition="mmlu/default/mmlu_{part}.yaml", files=MMLU, protocol={"num_fewshot": 5}),
    "mmlu_llama": TaskSpec(definition="llama3/instruct/mmlu/mmlu_{part}.yaml", files=MMLU, chat=True),
    "arc_easy": TaskSpec(definition="arc/arc_easy.yaml", files=ARC_EASY, shots={"train": "arc_easy/train.jsonl.gz"}),
    "arc_challenge": TaskSpec(definition="arc/arc_challenge.yaml", files=ARC_CHALLENGE, shots=ARC_CHALLENGE_SHOTS),
    "arc_challenge_llama": TaskSpec(
        definition="llama3/instruct/arc_challenge/arc_challenge_llama.yaml",
        files=ARC_CHALLENGE,
        chat=True,
    ),
    "hellaswag": TaskSpec(
        definition="hellaswag/hellaswag.yaml",
        files={"validation": "hellaswag/validation.jsonl.gz"},
        overrides={"process_docs": None, "doc_to_choice": "endings", "doc_to_target": "{{label|int}}"},
        label="local variant: the copy was preprocessed",
    ),
    "winogrande": TaskSpec(
        definition="winogrande/default.yaml", files={"validation": "winogrande/validation.jsonl.gz"}
    ),
    "openbookqa": TaskSpec(
        definition="openbookqa/openbookqa.yaml",
        files={"test": "openbookqa/test.jsonl.gz"},
        shots={"train": "openbookqa/train.jsonl.gz"},
    ),
    "truthfulqa_mc1": TaskSpec(definition="truthfulqa/truthfulqa_mc1.yaml", files=TRUTHFULQA, label=DERIVED),
    "truthfulqa_mc2": TaskSpec(definition="truthfulqa/truthfulqa_mc2.yaml", files=TRUTHFULQA, label=DERIVED),
    "gsm8k": TaskSpec(definition="gsm8k/gsm8k.yaml", files=GSM8K),
    "gsm8k_cot": TaskSpec(definition="gsm8k/gsm8k-cot.yaml", files={"test": GSM8K["test"]}),
    "gsm8k_cot_llama": TaskSpec(definition="gsm8k/gsm8k-cot-llama.yaml", files={"test": GSM8K["test"]}, chat=True),
    "gsm8k_llama": TaskSpec(definition="llama3/instruct/gsm8k/gsm8k.yaml", files={"test": GSM8K["test"]}, chat=True),
    "ifeval": TaskSpec(definition="ifeval/ifeval.yaml", files=IFEVAL, needs=("langdetect", "immutabledict", "nltk")),
    "wikitext": TaskSpec(
        definition="wikitext/wikitext.yaml",
        files={"test": "wikitext2_raw/test_pages.jsonl.gz"},
        label="local variant: blank lines lost",
    ),
    "tldr9": TaskSpec(definition=str(HERE / "tldr9.yaml"), files={"test": "tldr9/test.jsonl.gz"}),
    "open_rewrite": TaskSpec(definition=str(HERE / "open_rewrite.yaml"), files={"test": "open_rewrite/test.jsonl.gz"}),
}
DATASETS: dict[tuple[str, str | None], dict[str, str]] = {
    ("cais/mmlu", "*"): {split: path.replace("{part}", "{subset}") for split, path in MMLU.items()},
    ("hails/mmlu_no_train", "*"): {split: path.replace("{part}", "{subset}") for split, path in MMLU.items()},
    ("allenai/ai2_arc", "ARC-Challenge"): ARC_CHALLENGE | ARC_CHALLENGE_SHOTS,
    ("allenai/ai2_arc", "ARC-Easy"): ARC_EASY | {"train": "arc_easy/train.jsonl.gz"},
    ("openai/gsm8k", "main"): GSM8K,
    ("gsm8k", "main"): GSM8K,
    ("google/IFEval", None): IFEVAL,
}
"""Data sets of the hub whose files are known, for the other tasks of lm-eval that read them. `*`: any subset."""
