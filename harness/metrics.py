"""Each metric once: unit, direction, definition. How it follows from what was seen: `harness/derivations.py`."""

from collections.abc import Iterable
from typing import Literal

from harness.errors import UnknownNameError
from harness.values import Value

Kind = Literal["exact", "memory", "speed", "energy", "accuracy", "distance", "device"]
BY_ROUND: frozenset[Kind] = frozenset({"memory", "speed", "energy"})
"""Kinds with one value a process, compared round by round."""
MACRO = "_macro"


class Metric(Value, frozen=True):
    name: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    kind: Kind
    definition: str


def _table(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: dict[str, Metric] = _table(
    Metric(
        name="size_bytes",
        title="Size",
        unit="bytes",
        better="lower",
        kind="exact",
        definition="Bytes of the artifact's files on disk.",
    ),
    Metric(
        name="bits_per_weight",
        title="Bits per weight",
        unit="bits",
        better="lower",
        kind="exact",
        definition="8 × bytes of all tensors / number of parameters; file headers left out.",
    ),
    Metric(
        name="peak_rss_bytes",
        title="Peak memory",
        unit="bytes",
        better="lower",
        kind="memory",
        definition="VmHWM of a process that loads, prefills and decodes once, read by itself at its end; "
        "where it swapped, the largest VmRSS + VmSwap seen, if that is more.",
    ),
    Metric(
        name="peak_anon_bytes",
        title="Peak anonymous memory",
        unit="bytes",
        better="lower",
        kind="memory",
        definition="Largest RssAnon seen by a 10 ms sampler in the same pass: memory no other process shares.",
    ),
    Metric(
        name="peak_file_bytes",
        title="Peak file-backed memory",
        unit="bytes",
        better="lower",
        kind="memory",
        definition="Largest RssFile seen by the same sampler: mapped files, weights included when they are mapped.",
    ),
    Metric(
        name="peak_over_interpreter_bytes",
        title="Peak memory over the interpreter's own",
        unit="bytes",
        better="lower",
        kind="memory",
        definition="Peak memory less what the process held before it loaded anything, where it runs in an interpreter.",
    ),
    Metric(
        name="kv_cache_bytes",
        title="KV cache",
        unit="bytes",
        better="lower",
        kind="exact",
        definition="Bytes allocated for keys and values of the whole context: "
        "2 × layers × KV heads × head size × context × bytes of the KV type.",
    ),
    Metric(
        name="prefill_tok_s",
        title="Prefill",
        unit="tok/s",
        better="higher",
        kind="speed",
        definition="Prompt tokens / (submission of the token ids → logits of the last prompt token ready); "
        "no load, no tokenizer.",
    ),
    Metric(
        name="ttft_s",
        title="Time to first token",
        unit="s",
        better="lower",
        kind="speed",
        definition="Token ids in memory → first generated token id known; no load, no tokenizer.",
    ),
    Metric(
        name="decode_tok_s",
        title="Decode",
        unit="tok/s",
        better="higher",
        kind="speed",
        definition="(N − 1) / (t_N − t_1) over N generated tokens, greedy choice included, at the depth of the prompt.",
    ),
    Metric(
        name="itl_p50_s",
        title="Inter-token latency p50",
        unit="s",
        better="lower",
        kind="speed",
        definition="Median of the times between generated tokens, over all repetitions of one process.",
    ),
    Metric(
        name="itl_p95_s",
        title="Inter-token latency p95",
        unit="s",
        better="lower",
        kind="speed",
        definition="95th percentile of the times between generated tokens.",
    ),
    Metric(
        name="itl_p99_s",
        title="Inter-token latency p99",
        unit="s",
        better="lower",
        kind="speed",
        definition="99th percentile of the times between generated tokens.",
    ),
    Metric(
        name="load_warm_s",
        title="Load (page cache warm)",
        unit="s",
        better="lower",
        kind="speed",
        definition="Start of loading → context ready, with the file already in the page cache.",
    ),
    Metric(
        name="load_cold_s",
        title="Load (from storage)",
        unit="s",
        better="lower",
        kind="speed",
        definition="Start of loading → context ready, after the file was dropped from the page cache "
        "and seen to be gone.",
    ),
    Metric(
        name="prefill_from_idle_tok_s",
        title="Prefill from idle",
        unit="tok/s",
        better="higher",
        kind="speed",
        definition="As prefill_tok_s, after the loaded program has slept: clocks and caches start from idle.",
    ),
    Metric(
        name="ttft_from_idle_s",
        title="Time to first token from idle",
        unit="s",
        better="lower",
        kind="speed",
        definition="As ttft_s, after the loaded program has slept.",
    ),
    Metric(
        name="decode_burst_tok_s",
        title="Decode, burst",
        unit="tok/s",
        better="higher",
        kind="speed",
        definition="Median decode rate of the stretches that begin in the first 10 s of work without a pause.",
    ),
    Metric(
        name="decode_sustained_tok_s",
        title="Decode, sustained",
        unit="tok/s",
        better="higher",
        kind="speed",
        definition="Median decode rate of the stretches that begin in the last third of work without a pause.",
    ),
    Metric(
        name="sustained_share",
        title="Sustained share of burst",
        unit="fraction",
        better="higher",
        kind="speed",
        definition="decode_sustained_tok_s / decode_burst_tok_s of the same process.",
    ),
    Metric(
        name="energy_j_token",
        title="Energy a generated token",
        unit="J",
        better="lower",
        kind="energy",
        definition="(Energy of the processor packages and their memory at work − idle power × that time) / generated "
        "tokens, their prompts included; at least 5 minutes of work.",
    ),
    Metric(
        name="throttled_after_s",
        title="Until it slows down",
        unit="s",
        better="higher",
        kind="speed",
        definition="Work without a pause until a phone's system allows the used cores less than their clock at the "
        "start, or Android's thermal status reaches 2.",
    ),
    Metric(
        name="tokens_per_battery_percent",
        title="Tokens a percent of the battery",
        unit="tokens",
        better="higher",
        kind="energy",
        definition="Generated tokens, their prompts included / percents by which the battery's level fell; off the "
        "cable, at least 5 minutes of work and 2 %. For comparisons on one phone in one run.",
    ),
    Metric(
        name="bandwidth_share",
        title="Share of read bandwidth",
        unit="fraction",
        better="higher",
        kind="speed",
        definition="Bytes one decoded token must read (weights + KV cache at mean depth) × decode tok/s "
        "/ the read bandwidth measured in the same round.",
    ),
    Metric(
        name="read_bandwidth_bytes_s",
        title="Read bandwidth",
        unit="bytes/s",
        better="higher",
        kind="device",
        definition="Bytes read per second by as many threads on the same cores, "
        "from a buffer of at least 4 × the last-level cache.",
    ),
    Metric(
        name="acc",
        title="Accuracy",
        unit="fraction",
        better="higher",
        kind="accuracy",
        definition="Share of items whose correct choice has the highest log-likelihood (lm-eval's acc).",
    ),
    Metric(
        name="acc_macro",
        title="Accuracy, macro",
        unit="fraction",
        better="higher",
        kind="accuracy",
        definition="Mean over the tasks of a group of each task's acc: every task weighs the same.",
    ),
    Metric(
        name="acc_norm",
        title="Accuracy, length-normalised",
        unit="fraction",
        better="higher",
        kind="accuracy",
        definition="As acc, each log-likelihood divided by the choice's characters (lm-eval's acc_norm).",
    ),
    Metric(
        name="exact_match",
        title="Exact match",
        unit="fraction",
        better="higher",
        kind="accuracy",
        definition="Share of items whose extracted answer equals the gold answer (lm-eval's filter of the task).",
    ),
    Metric(
        name="perplexity",
        title="Perplexity",
        unit="",
        better="lower",
        kind="accuracy",
        definition="exp(mean negative log-likelihood a token) of a text, in windows that do not overlap; "
        "the first token of each window is given, not scored.",
    ),
    Metric(
        name="word_perplexity",
        title="Perplexity a word",
        unit="",
        better="lower",
        kind="accuracy",
        definition="exp(− sum of log-likelihoods / number of words), over all documents (lm-eval's word_perplexity).",
    ),
    Metric(
        name="byte_perplexity",
        title="Perplexity a byte",
        unit="",
        better="lower",
        kind="accuracy",
        definition="exp(− sum of log-likelihoods / number of UTF-8 bytes), over all documents.",
    ),
    Metric(
        name="bits_per_byte",
        title="Bits per byte",
        unit="bits",
        better="lower",
        kind="accuracy",
        definition="− sum of log-likelihoods / number of UTF-8 bytes / ln 2, over all documents.",
    ),
    Metric(
        name="kl_divergence",
        title="KL divergence",
        unit="nats",
        better="lower",
        kind="distance",
        definition="Mean KL(reference ‖ variant) of the next-token distributions, whole vocabulary, "
        "at seeded positions of a text.",
    ),
    Metric(
        name="top1_agreement",
        title="Top-1 agreement",
        unit="fraction",
        better="higher",
        kind="distance",
        definition="Share of the same positions where variant and reference hold the same token most likely.",
    ),
)


def metric(name: str) -> Metric:
    """The metric of that name; a task's own metric that is not in the table is a share of items.

    Accuracy metrics of lm-eval tasks may have any name.
    """
    if name in METRICS:
        return METRICS[name]
    if (micro := micro_name(name)) is not None:
        return _macro_metric(name, metric(micro))
    return Metric(
        name=name,
        title=name,
        unit="fraction",
        better="higher",
        kind="accuracy",
        definition="lm-eval's metric of that name, mean over items.",
    )


def _macro_metric(name: str, micro: Metric) -> Metric:
    definition = f"Mean over the tasks of a group of each task's {micro.name}: every task weighs the same."
    return Metric(
        name=name,
        title=f"{micro.title}, macro",
        unit=micro.unit,
        better=micro.better,
        kind=micro.kind,
        definition=definition,
    )


def macro_name(name: str) -> str:
    """The mean over tasks of a metric over items; a filter's name stays last."""
    base, comma, rule = name.partition(",")
    return f"{base}{MACRO}{comma}{rule}"


def micro_name(name: str) -> str | None:
    """The metric over items that this is the mean over tasks of; None for any other metric."""
    base, comma, rule = name.partition(",")
    return f"{base.removesuffix(MACRO)}{comma}{rule}" if base.endswith(MACRO) else None


def check_names(names: Iterable[str], extra: Iterable[str] = ()) -> tuple[str, ...]:
    """The names, if each is in the table or among `extra`.

    Raises:
        UnknownNameError: with the nearest known name.
    """
    known = {*METRICS, *extra}
    for name in names:
        if name not in known:
            raise UnknownNameError("metric", name, known)
    return tuple(names)
