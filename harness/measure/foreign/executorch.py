"""Logs of ExecuTorch's `llama_main`: one line `PyTorchObserver {…}` a generated text, times in milliseconds."""

import json
from collections.abc import Iterator
from typing import Any

from harness.errors import InputError
from harness.measure.foreign.told import Machine, Told, ToldTrial, name_of, number, whole, words
from harness.values import Reported, Runtime, Speed

TOOL = "ExecuTorch"
MARK = "PyTorchObserver"
LONGEST_LINE = 100_000
UNITS = "SCALING_FACTOR_UNITS_PER_SECOND"
BEGIN, FIRST, END, PROMPT_END = "inference_start_ms", "first_token_ms", "inference_end_ms", "prompt_eval_end_ms"
CONDITIONS = {"prefill holds": "the tokenizer's time too"}


def holds_lines(text: str) -> bool:
    return MARK in text


def read(text: str, file: str) -> Told:
    """Each line is a trial; lines of the same numbers of tokens are its rounds.

    Raises:
        InputError: a line is none, or its times run backwards.
    """
    variant = name_of(file.rpartition(".")[0] or file)
    trials = tuple(_trial(told, f"{file}: line {place}", variant, file) for place, told in _lines(text, file))
    return Told(tool=TOOL, trials=trials)


def _lines(text: str, file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for place, line in enumerate(text.splitlines(), 1):
        _, mark, rest = line[:LONGEST_LINE].partition(MARK)
        if not mark or not rest.lstrip().startswith("{"):
            continue
        try:
            told = json.loads(rest[: rest.rfind("}") + 1])
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file}: line {place}: what {MARK} says is no JSON: {error}") from error
        yield place, told


def _trial(told: dict[str, Any], where: str, variant: str, file: str) -> ToldTrial:
    # llama_main's count leaves out the token that prefill gives.
    prompt, after_first = whole(told, "prompt_tokens", where, least=1), whole(told, "generated_tokens", where)
    per_second = number(told, UNITS, where, least=1) if UNITS in told else 1000.0

    def seconds(start: str, end: str) -> float | None:
        """None for less than a tick of its clock."""
        took = (number(told, end, where) - number(told, start, where)) / per_second
        if took < 0:
            raise InputError(f"{where}: `{end}` is before `{start}`")
        return took or None

    prefill, ttft, decode = seconds(BEGIN, PROMPT_END), seconds(BEGIN, FIRST), seconds(FIRST, END)
    values = {
        "prefill_tok_s": None if prefill is None else prompt / prefill,
        "ttft_s": ttft,
        "decode_tok_s": None if decode is None or not after_first else after_first / decode,
    }
    return ToldTrial(
        variant=variant,
        model_file=file,
        runtime=Runtime(name="executorch"),
        machine=Machine(),
        workload=Speed(prompt_tokens=prompt, generated_tokens=after_first + 1, context=prompt + after_first + 1),
        reported=Reported(
            tool=TOOL,
            values={name: one for name, one in values.items() if one is not None},
            conditions=CONDITIONS,
            told=words(told),
        ),
    )
