"""Logs of ExecuTorch's `llama_main`: one line `PyTorchObserver {…}` a generated text, times in milliseconds."""

import json
import re
from collections.abc import Iterator
from typing import Any

from harness.errors import InputError
from harness.measure.foreign.told import Machine, Told, ToldTrial, name_of, number, whole, words
from harness.values import Reported, Runtime, Speed

TOOL = "ExecuTorch"
LINE = re.compile(r"PyTorchObserver\s*(\{.*\})")
UNITS = "SCALING_FACTOR_UNITS_PER_SECOND"


def holds_lines(text: str) -> bool:
    return LINE.search(text) is not None


def read(text: str, file: str) -> Told:
    """Each line is a trial; lines of the same numbers of tokens are its rounds.

    Raises:
        InputError: a line is none, or its times run backwards.
    """
    trials = tuple(_trial(told, f"{file}: line {place}", file) for place, told in _lines(text, file))
    return Told(tool=TOOL, trials=trials)


def _lines(text: str, file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for place, line in enumerate(text.splitlines(), 1):
        found = LINE.search(line)
        if found is None:
            continue
        try:
            told = json.loads(found[1])
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{file}: line {place}: what PyTorchObserver says is no JSON: {error}") from error
        if isinstance(told, dict):
            yield place, told


def _trial(told: dict[str, Any], where: str, file: str) -> ToldTrial:
    prompt, generated = whole(told, "prompt_tokens", where, least=1), whole(told, "generated_tokens", where, least=1)
    per_second = number(told, UNITS, where, least=1) if UNITS in told else 1000.0

    def seconds(start: str, end: str) -> float | None:
        if start not in told or end not in told:
            return None
        took = (number(told, end, where) - number(told, start, where)) / per_second
        if took < 0:
            raise InputError(f"{where}: `{end}` is before `{start}`")
        return took or None  # less than a tick of its clock

    begin, first, end = "inference_start_ms", "first_token_ms", "inference_end_ms"
    prefill, ttft = seconds(begin, "prompt_eval_end_ms"), seconds(begin, first)
    decode, load = seconds(first, end), seconds("model_load_start_ms", "model_load_end_ms")
    values = {
        "prefill_tok_s": None if prefill is None else prompt / prefill,
        "ttft_s": ttft,
        "decode_tok_s": None if decode is None or generated < 2 else (generated - 1) / decode,
        "load_warm_s": load,
    }
    return ToldTrial(
        variant=name_of(re.sub(r"\.(txt|log|json|jsonl)$", "", file)),
        model_file=file,
        runtime=Runtime(name="executorch"),
        machine=Machine(),
        workload=Speed(prompt_tokens=prompt, generated_tokens=generated, context=prompt + generated),
        reported=Reported(
            tool=TOOL, values={name: one for name, one in values.items() if one is not None}, told=words(told)
        ),
    )
