/* Two nights, variants, devices or runtimes: every series with its ratio, the worst first. */
bench.pages.compare = (() => {
  const { make, link, button } = bench;
  const w = bench.words;
  const BY = { night: ["Nights"], variant: ["Variants", "variant"], device: ["Devices", "place"], runtime: ["Runtimes", "runtime"] };
  const SAME = ["suite", "place", "runtime", "variant", "workload", "metric", "host"];
  const MOST_LOOKED_AT = 8;
  let turn = 0, lines = [];

  function show(page) {
    const by = BY[bench.route.get("by")] ? bench.route.get("by") : "night";
    const form = make("div", "sides", kinds(by), ...sides(by));
    const result = make("section", "result", make("p", "sub", "Reading…"));
    const key = bench.focused();
    page.replaceChildren(make("h2", "title", "Compare"), form, result);
    bench.refocus(key);
    const mine = ++turn;
    pairs(by).then((found) => { if (mine === turn) { fill(result, by, found); bench.refocus(key); } },
      (error) => { if (mine === turn) result.replaceChildren(bench.sorry(error)); });
  }

  function kinds(by) {
    const known = Object.entries(BY).filter(([name, [, field]]) => !field || values(field).length > 1 || name === by);
    const nodes = known.map(([name, [words]]) => {
      const node = button(words, () => bench.route.set({ by: name, a: "", b: "", show: "" }));
      node.dataset.key = `by ${name}`;
      node.setAttribute("aria-pressed", String(name === by));
      return node;
    });
    const group = make("div", "spans", ...nodes);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "What is compared");
    return group;
  }

  const values = (field) => [...new Set(bench.all.series.map((one) => one[field]).filter((text) => text !== null))].sort();
  const dates = () => [...new Set(bench.all.nights.at.map(w.day))].sort().reverse();

  /** Both sides as asked, else the two newest nights or the first two names. */
  function chosen(by) {
    const choices = by === "night" ? dates() : values(BY[by][1]);
    const [a, b] = by === "night" ? [choices[1] ?? choices[0], choices[0]] : [choices[0], choices[1] ?? choices[0]];
    return { choices, a: bench.route.get("a") || a || "", b: bench.route.get("b") || b || "", date: bench.route.get("night") || dates()[0] || "" };
  }

  function sides(by) {
    const { choices, a, b, date } = chosen(by);
    const nodes = [select("a", "A, the baseline", choices, a), button("⇄", () => bench.route.set({ a: b, b: a }), "swap"), select("b", "B", choices, b)];
    nodes[1].dataset.key = "swap";
    nodes[1].setAttribute("aria-label", "Swap A and B");
    if (by !== "night") nodes.push(select("night", "Newest run up to", dates(), date));
    return nodes;
  }

  function select(name, words, choices, value) {
    const node = make("select", "", ...choices.map((one) => new Option(one, one)));
    if (!choices.includes(value)) node.append(new Option(`${value} (not here)`, value));
    node.value = value;
    node.id = `side-${name}`;
    node.addEventListener("change", () => bench.route.set({ [name]: node.value }));
    const label = make("label", "field", make("span", "sub", words), node);
    label.htmlFor = node.id;
    return label;
  }

  /** Of each pair of series both values with what is between them. */
  async function pairs(by) {
    const { a, b, date } = chosen(by);
    const fitting = bench.filters.chosen(by === "night" ? [] : [by]);
    if (by === "night") return Promise.all(fitting.map(async (one) => ({ one, other: one, ...(await ofNights(one, a, b)) })));
    const field = BY[by][1], rest = SAME.filter((name) => name !== field && !(by === "device" && name === "host"));
    const key = (one) => JSON.stringify(rest.map((name) => one[name]));
    const second = new Map(fitting.filter((one) => one[field] === b).map((one) => [key(one), one]));
    const first = new Map(fitting.filter((one) => one[field] === a).map((one) => [key(one), one]));
    const keys = [...new Set([...first.keys(), ...second.keys()])];
    return Promise.all(keys.map(async (name) => {
      const [one, other] = [first.get(name), second.get(name)];
      const [x, y] = await Promise.all([upTo(one, date), upTo(other, date)]);
      return { one: one || other, other: other || one, ...judged(one || other, await value(one, x, a), await value(other, y, b), { run: x === y && x !== -1, spread: both(one, other) }) };
    }));
  }

  async function ofNights(one, a, b) {
    const [x, y] = await Promise.all([on(one, a), on(one, b)]);
    const [low, high] = [Math.min(x, y), Math.max(x, y)];
    const cut = x >= 0 && y >= 0 && one.cuts.some((night) => low < night && night <= high);
    const how = { spread: one.spread, apart: cut ? "a cut lies between" : "" };
    return { ...judged(one, await value(one, x, a), await value(one, y, b), how), steps: x < 0 || y < 0 ? [] : one.steps.filter(([night]) => low < night && night <= high) };
  }

  /** The spread of nights that two series have together, as if each had that of one. */
  function both(one, other) {
    if (!one || !other || one.spread === null || other.spread === null) return null;
    return Math.sqrt((one.spread ** 2 + other.spread ** 2) / 2);
  }

  function judged(one, a, b, how) {
    const metric = bench.all.metrics[one.metric];
    return { a, b, found: bench.judge.judge(metric, a, b, how), metric };
  }

  /** The series' newest night on that date; −1 for none. */
  const on = (one, date) => newest(one, (at) => w.day(at) === date);
  const upTo = async (one, date) => (one ? newest(one, (at) => w.day(at) <= date) : -1);

  /** The newest fitting night that has the series; else the newest fitting one of its suite, which says why it has not.
      A night of several devices has series of several hosts. */
  async function newest(one, fits) {
    const { at, suite, suites } = bench.all.nights;
    let first = -1, looked = 0;
    for (let night = at.length - 1; night >= 0 && looked < MOST_LOOKED_AT; night--) {
      if (!fits(at[night]) || suites[suite[night]] !== one.suite) continue;
      if ((await bench.nightData(night))[one.id]) return night;
      if (first < 0) first = night;
      looked++;
    }
    return first;
  }

  async function value(one, night, side) {
    if (!one) return { value: null, rounds: [], reason: `not measured for ${side}`, marks: [] };
    if (night < 0) return { value: null, rounds: [], reason: "no run", marks: [] };
    const row = (await bench.nightData(night))[one.id];
    if (!row) return { value: null, rounds: [], reason: "not in this run", marks: [] };
    const [found, rounds, reason, marks] = row;
    return { value: found, rounds, reason, marks };
  }

  function fill(result, by, found) {
    const { KINDS, WORDS, badness } = bench.judge;
    const order = (row) => KINDS.indexOf(row.found.kind);
    found.sort((x, y) => order(x) - order(y) || badness(y.metric, y.found, y.a) - badness(x.metric, x.found, x.a));
    const only = bench.route.get("show");
    const counts = make("div", "counts", ...KINDS.map((kind) => {
      const many = found.filter((row) => row.found.kind === kind).length;
      const node = button("", () => bench.route.set({ show: only === kind ? "" : kind }), `count ${kind}${many ? "" : " zero"}`);
      node.append(make("strong", "", String(many)), ` ${WORDS[kind]}`);
      node.dataset.key = `found ${kind}`;
      node.setAttribute("aria-pressed", String(only === kind));
      return node;
    }));
    counts.setAttribute("role", "group");
    counts.setAttribute("aria-label", "What was found");
    lines = found.filter((row) => !only || row.found.kind === only);
    const { a, b } = chosen(by);
    const box = bench.table("Comparison", ["Series", `A: ${a}`, `B: ${b}`, "B against A", "Is it so?"], lines.map((row) => cells(row, by)), [1, 2]);
    box.classList.add("compared");
    [...box.querySelectorAll("tbody tr")].forEach((node, at) => node.classList.add(lines[at].found.kind));
    result.replaceChildren(counts, make("p", "sub", how(by)), lines.length ? box : make("p", "none", "No series fits."));
  }

  function how(by) {
    const nights = "from how much the series' own nights differ (99 %)";
    const run = `Intervals are of the ratio over the rounds of one run (95 %) where both sides were measured in one; else they come ${nights}.`;
    return by === "night" ? `Intervals of ratios come ${nights}.` : run;
  }

  /** Changes between two nights: what one night leaves in doubt may be certain of many. */
  function between(steps) {
    if (!steps || !steps.length) return "";
    const words = steps.map(([night, worse, tier]) => `${worse ? tier : "better"} since ${w.shortDate(bench.all.nights.at[night])}`);
    return make("span", "sub part", `between: ${words.join(", ")}`);
  }

  function cells({ one, a, b, found, metric, steps }, by) {
    const where = [one.place, one.suite, one.runtime, one.workload].filter((text) => text && (by !== "device" || text !== one.place)).join(" · ");
    const name = link(one.variant && by !== "variant" ? `${one.title}, ${one.variant}` : one.title, bench.route.to("series", one.id));
    const doubt = [...new Set([...a.marks, ...b.marks])];
    const told = make("span", `word ${found.kind}`, bench.judge.WORDS[found.kind]);
    return [[name, make("span", "sub where", where)], side(one, a), side(one, b), [ratio(found, metric, a, b)],
      [told, found.why ? make("span", "sub", ` ${found.why}`) : "", doubt.length ? make("span", "noisy part", `noisy: ${doubt.join("; ")}`) : "", between(steps)]];
  }

  function side(one, told) {
    if (told.value === null) return [make("span", "novalue", told.reason)];
    return [w.ofNight(one, told.value)];
  }

  function ratio(found, metric, a, b) {
    if (["missing", "absent", "apart"].includes(found.kind)) return "";
    if (metric.points) return a.value === b.value ? "the same" : w.points(b.value - a.value);
    if (found.ratio === null || !(found.ratio > 0)) return "no ratio: A is 0";
    if (found.kind === "same") return "the same";
    const [words, span] = w.gain(metric, found.ratio, found.low ?? null, found.high ?? null);
    return make("span", "", words, span ? make("span", "sub", ` (${span})`) : "");
  }

  return { show };
})();
