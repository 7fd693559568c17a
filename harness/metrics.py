"""Each metric once: unit, direction, definition, and how it follows from what one trial saw.

Records hold nanoseconds and bytes; everything here is derived on reading, so that a corrected
definition needs no new run. One process gives one value a metric: the median of its repetitions.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from operator import sub
from typing import Any, Literal

from harness.errors import UnknownNameError
from harness.values import (
    BandwidthSeen,
    EnergySeen,
    Files,
    Loaded,
    LoadSeen,
    MemorySeen,
    Observation,
    Stretch,
    Timing,
    TrialRecord,
    Value,
)

Kind = Literal["exact", "memory", "speed", "energy", "accuracy", "distance", "device"]
BY_ROUND: frozenset[Kind] = frozenset({"memory", "speed", "energy"})
"""Kinds with one value a process, compared round by round."""
MACRO = "_macro"
BURST_NS = 10_000_000_000
LAST_PART = 1 / 3
SHORTEST_REST_NS = 10_000_000_000
SHORTEST_ENERGY_NS = 300_000_000_000
"""Counters of energy and the temperature under load need so long to say something: 5 minutes."""


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


def ratio_of_sums(name: str, numerator: float, denominator: float) -> float:
    """A metric whose items are a numerator and a denominator each; perplexities come as log-likelihoods."""
    if name in ("word_perplexity", "byte_perplexity"):
        return math.exp(-numerator / denominator)
    if name == "bits_per_byte":
        return -numerator / denominator / math.log(2)
    return numerator / denominator


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


def trial_values(record: TrialRecord) -> dict[str, float]:
    """What one trial says, by metric; accuracy comes from the items of the run instead."""
    return values_of(by_kind(record.observations))


def values_of(seen: "Seen") -> dict[str, float]:
    """As `trial_values`, of observations that are sorted by kind already."""
    values: dict[str, float | None] = {}
    for kind, function in _OF_KIND.items():
        if kind in seen:
            values.update(function(seen))
    return {name: value for name, value in values.items() if value is not None}


def prefill_tok_s(timing: Timing) -> float:
    return timing.prompt_tokens / (timing.logits_ns / 1e9)


def ttft_s(timing: Timing) -> float:
    return timing.token_ns[0] / 1e9


def decode_tok_s(timing: Timing) -> float | None:
    """None for fewer than two generated tokens: there is no interval to time."""
    if len(timing.token_ns) < 2:
        return None
    return (len(timing.token_ns) - 1) / ((timing.token_ns[-1] - timing.token_ns[0]) / 1e9)


def median(values: Iterable[float]) -> float:
    """That of the `statistics` module, at a fraction of its time: a trial takes several."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def quantile(values: Sequence[float], share: float) -> float | None:
    """Linear interpolation between order statistics (Hyndman and Fan's type 7); None for no values."""
    return _of_ordered(sorted(values), share, 1.0)


def _quantile_s(ordered_ns: Sequence[int], share: float) -> float | None:
    """The quantile of nanoseconds that are in order, in seconds."""
    return _of_ordered(ordered_ns, share, 1e9)


def _of_ordered(ordered: Sequence[float], share: float, unit: float) -> float | None:
    if not ordered:
        return None
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    below, above = ordered[low] / unit, ordered[high] / unit
    return below + (above - below) * (position - low)


def read_bytes_a_token(files: Files, loaded: Loaded, timing: Timing) -> float | None:
    """Bytes that decoding one token must read: weights once, and the KV cache at its mean depth."""
    if files.decode_bytes is None or loaded.kv_bytes is None:
        return None
    depth = timing.prefix_tokens + timing.prompt_tokens + timing.generated_tokens / 2
    return files.decode_bytes + loaded.kv_bytes / loaded.context * depth


def bandwidth_share(seen: "Seen", read_bandwidth_bytes_s: float) -> float | None:
    """The share of the read bandwidth that the decode of one trial reached."""
    files, loaded = seen.get(Files), seen.get(Loaded)
    rates = [(t, rate) for t in seen.get(Timing, ()) if (rate := decode_tok_s(t)) is not None]
    if not (files and loaded and rates):
        return None
    per_token = read_bytes_a_token(files[0], loaded[0], rates[0][0])
    rate = median(rate for _, rate in rates)
    return None if per_token is None else per_token * rate / read_bandwidth_bytes_s


def peak_rss_bytes(seen: MemorySeen) -> int | None:
    """VmHWM, or the largest RSS + swap where that is more: what a phone is judged by."""
    values = [v for v in (seen.vm_hwm_bytes, seen.peak_rss_plus_swap_bytes) if v is not None]
    return max(values) if values else None


Seen = dict[type, list[Any]]
"""Observations of one trial by kind, in their order."""


def by_kind(observations: Sequence[Observation]) -> Seen:
    """Each kind's, in their order."""
    seen: Seen = {}
    for one in observations:
        kind = type(one)
        if kind in seen:
            seen[kind].append(one)
        else:
            seen[kind] = [one]
    return seen


def _of_files(seen: Seen) -> dict[str, float | None]:
    if Loaded in seen:  # a timed trial repeats its artifact's facts; size is the size cell's
        return {}
    one: Files = seen[Files][0]
    bits = 8 * one.tensor_bytes / one.parameters if one.tensor_bytes and one.parameters else None
    return {"size_bytes": sum(f.bytes for f in one.files), "bits_per_weight": bits}


def _of_memory(seen: Seen) -> dict[str, float | None]:
    one: MemorySeen = seen[MemorySeen][0]
    return {
        "peak_rss_bytes": peak_rss_bytes(one),
        "peak_anon_bytes": one.peak_anon_bytes,
        "peak_file_bytes": one.peak_file_bytes,
        "kv_cache_bytes": seen[Loaded][0].kv_bytes if Loaded in seen else None,
    }


def _of_timings(seen: Seen) -> dict[str, float | None]:
    timings: list[Timing] = seen[Timing]
    decode = [v for t in timings if (v := decode_tok_s(t)) is not None]
    gaps: list[int] = []
    for t in timings:
        gaps += map(sub, t.token_ns[1:], t.token_ns)
    gaps.sort()
    if timings[0].idle_ns:
        return {
            "prefill_from_idle_tok_s": median(map(prefill_tok_s, timings)),
            "ttft_from_idle_s": median(map(ttft_s, timings)),
        }
    return {
        "load_warm_s": seen[Loaded][0].load_ns / 1e9 if Loaded in seen else None,
        "prefill_tok_s": median(map(prefill_tok_s, timings)),
        "ttft_s": median(map(ttft_s, timings)),
        "decode_tok_s": median(decode) if decode else None,
        "itl_p50_s": _quantile_s(gaps, 0.5),
        "itl_p95_s": _quantile_s(gaps, 0.95),
        "itl_p99_s": _quantile_s(gaps, 0.99),
    }


def _of_load(seen: Seen) -> dict[str, float | None]:
    one: LoadSeen = seen[LoadSeen][0]
    name = "load_cold_s" if one.cold else "load_warm_s"
    return {name: seen[Loaded][0].load_ns / 1e9 if Loaded in seen else None}


def _of_stretches(seen: Seen) -> dict[str, float | None]:
    stretches: list[Stretch] = seen[Stretch]
    burst = _decode_rate([s for s in stretches if s.start_ns < BURST_NS])
    late = () if why_not_sustained(stretches) else [s for s in stretches if s.start_ns >= _last_part_ns(stretches)]
    sustained = _decode_rate(late)
    return {
        "decode_burst_tok_s": burst,
        "decode_sustained_tok_s": sustained,
        "sustained_share": sustained / burst if burst and sustained else None,
        "energy_j_token": energy_j_token(seen[EnergySeen][0], stretches) if EnergySeen in seen else None,
    }


def _last_part_ns(stretches: Sequence[Stretch]) -> float:
    last = stretches[-1]
    return (1 - LAST_PART) * (last.start_ns + last.prefill_ns + last.decode_ns)


def why_not_sustained(stretches: Sequence[Stretch]) -> str | None:
    """Why the last part of this work is nothing of its own."""
    if _last_part_ns(stretches) < BURST_NS:
        return "the work was too short: its last third must begin after the first 10 s, which are the burst"
    if stretches[-1].start_ns < _last_part_ns(stretches):
        return "no prefill and decode began in the last third of the work: it needs more time or fewer tokens"
    return None


def _decode_rate(stretches: Sequence[Stretch]) -> float | None:
    rates = [(s.generated_tokens - 1) / (s.decode_ns / 1e9) for s in stretches if s.generated_tokens > 1]
    return median(rates) if rates else None


def energy_j_token(energy: EnergySeen, stretches: Sequence[Stretch]) -> float | None:
    """Idle power subtracted; None where `why_no_energy` has a reason."""
    if why_no_energy(energy) is not None:
        return None
    idle = sum(d.idle_uj for d in energy.domains) / energy.idle_ns * energy.work_ns
    work = sum(d.work_uj for d in energy.domains)
    return (work - idle) / 1e6 / sum(s.generated_tokens for s in stretches)


def why_no_energy(energy: EnergySeen) -> str | None:
    """Why these counters say nothing of a token's energy."""
    if energy.missing is not None:
        return energy.missing
    if not energy.domains:
        return "no counter of energy was seen"
    if energy.idle_ns < SHORTEST_REST_NS:
        return f"the machine rested for {energy.idle_ns / 1e9:.0f} s before: its idle power needs at least 10 s"
    if energy.work_ns < SHORTEST_ENERGY_NS:
        return f"{energy.work_ns / 1e9:.0f} s of work are too short for counters of energy: at least 300 s"
    return None


def _of_bandwidth(seen: Seen) -> dict[str, float | None]:
    windows: list[BandwidthSeen] = seen[BandwidthSeen]
    return {"read_bandwidth_bytes_s": median(w.bytes / (w.ns / 1e9) for w in windows)}


_OF_KIND: dict[type, Callable[[Seen], dict[str, float | None]]] = {
    Files: _of_files,
    MemorySeen: _of_memory,
    LoadSeen: _of_load,
    Stretch: _of_stretches,
    Timing: _of_timings,
    BandwidthSeen: _of_bandwidth,
}
