/* Two values of a series, or of two: how far apart, and whether that is more than noise. */
bench.judge = (() => {
  const KINDS = ["worse", "missing", "apart", "unsure", "noise", "same", "better", "absent"];
  const WORDS = { worse: "worse", missing: "missing on one side", absent: "missing on both", apart: "not comparable", unsure: "unsure", noise: "within noise",
    same: "the same", better: "better" };
  const T975 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
    2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045];
  const Z995 = 2.5758;

  /** t interval of the ratio b / a over rounds of one run; null below three rounds. */
  function paired(a, b) {
    if (a.length !== b.length || a.length < 3 || [...a, ...b].some((value) => !(value > 0))) return null;
    const logs = a.map((value, at) => Math.log(b[at] / value));
    const mean = logs.reduce((x, y) => x + y, 0) / logs.length;
    const variance = logs.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (logs.length - 1);
    const half = (T975[logs.length - 2] || 1.96) * Math.sqrt(variance / logs.length);
    return [Math.exp(mean - half), Math.exp(mean + half)];
  }

  /** 99 % interval from what nights do by themselves; null where that is not known. */
  function ofNights(ratio, spread) {
    if (spread === null || !(ratio > 0)) return null;
    const half = Z995 * Math.SQRT2 * spread;
    return [ratio * Math.exp(-half), ratio * Math.exp(half)];
  }

  /** a, b: `{value, rounds, reason}`; how: the `spread` of nights, whether both are of one `run`, what sets them `apart`. */
  function judge(metric, a, b, how) {
    if (a.value === null || b.value === null) return { kind: a.value === b.value ? "absent" : "missing", ratio: null, why: "" };
    const ratio = a.value === 0 ? null : b.value / a.value;
    if (how.apart) return { kind: "apart", ratio, why: how.apart };
    if (a.value === b.value) return { kind: "same", ratio, low: ratio, high: ratio, why: "" };
    const direction = (b.value > a.value) === metric.lower ? "worse" : "better";
    if (metric.exact) return { kind: direction, ratio, low: ratio, high: ratio, why: "" };
    if (metric.kind === "accuracy" || metric.kind === "distance") {
      return { kind: "unsure", ratio, why: "only a comparison item by item can tell" };
    }
    const found = (how.run && paired(a.rounds, b.rounds)) || ofNights(ratio, how.spread);
    if (found === null) return { kind: "unsure", ratio, why: "too few nights to know their noise" };
    const [low, high] = found;
    return { kind: low <= 1 && 1 <= high ? "noise" : direction, ratio, low, high, why: "" };
  }

  /** How bad, for sorting within a kind: what B lacks is worse than what A lacked. */
  function badness(metric, one, a) {
    if (one.kind === "missing") return a.value === null ? 0 : 1;
    return one.ratio > 0 ? Math.log(one.ratio) * (metric.lower ? 1 : -1) : 0;
  }

  return { KINDS, WORDS, judge, badness, paired };
})();
