"""How each metric follows from what one trial saw.

Records hold nanoseconds and bytes; everything here is derived on reading, so that a corrected
definition needs no new run. One process gives one value a metric: the median of its repetitions.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from operator import sub
from typing import Any

from harness.values import (
    BandwidthSeen,
    EnergySeen,
    Files,
    Hello,
    Loaded,
    LoadSeen,
    MemorySeen,
    Observation,
    Reported,
    Stretch,
    Surroundings,
    Timing,
    TrialRecord,
)

BURST_NS = 10_000_000_000
LAST_PART = 1 / 3
SHORTEST_REST_NS = 10_000_000_000
SHORTEST_ENERGY_NS = 300_000_000_000
"""Counters of energy and the temperature under load need so long to say something: 5 minutes."""


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


INTERPRETED = ("bench-executorch",)
"""Programs that are Python's: interpreter and libraries are in the process before a model is."""
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
    peak, before = peak_rss_bytes(one), one.rss_before_load_bytes
    interpreted = any(hello.program in INTERPRETED for hello in seen.get(Hello, ()))
    over = peak - before if interpreted and peak is not None and before is not None else None
    return {
        "peak_over_interpreter_bytes": over,
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
        **(_of_battery(seen[Surroundings][0], stretches) if Surroundings in seen else {}),
    }


def _of_battery(around: Surroundings, stretches: Sequence[Stretch]) -> dict[str, float | None]:
    drop = around.battery_drop_percent
    return {
        "throttled_after_s": around.throttled_after_s,
        "tokens_per_battery_percent": sum(s.generated_tokens for s in stretches) / drop if drop else None,
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


def _of_reported(seen: Seen) -> dict[str, float | None]:
    """As they were computed from another tool's words when they were imported."""
    return {name: value for one in seen[Reported] for name, value in one.values.items()}


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
    Reported: _of_reported,
}


def ratio_of_sums(name: str, numerator: float, denominator: float) -> float:
    """A metric whose items are a numerator and a denominator each; perplexities come as log-likelihoods."""
    if name in ("word_perplexity", "byte_perplexity"):
        return math.exp(-numerator / denominator)
    if name == "bits_per_byte":
        return -numerator / denominator / math.log(2)
    return numerator / denominator
