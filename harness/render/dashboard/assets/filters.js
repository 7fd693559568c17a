/* Which series are shown: selects, a search and a switch, all kept in the address. */
bench.filters = (() => {
  const { make, button } = bench;
  const SELECTS = [["device", "Device", "place"], ["suite", "Suite", "suite"], ["variant", "Variant", "variant"],
    ["runtime", "Runtime", "runtime"], ["metric", "Metric", "metric"]];
  const BAD = ["alert", "missing", "watch", "acknowledged"];
  const NONE = "none";
  const PAUSE_MS = 120;
  const NARROW = matchMedia("(max-width: 640px)");
  const form = document.getElementById("filters");
  let fields = new Map(), haystack = new Map(), pause = 0;

  /** A name of a series, or what stands for none. */
  const named = (one, field) => one[field] ?? NONE;

  function build(all) {
    form.replaceChildren();
    form.append(field("q", "Search", search()));
    const selects = SELECTS.map(([name, words, key]) => {
      const values = [...new Set(all.series.map((one) => named(one, key)))].sort();
      return field(name, words, choice(name, values));
    });
    const fold = make("details", "fold", make("summary", "", "Filters"), make("div", "folded", ...selects));
    fold.open = !NARROW.matches;
    NARROW.addEventListener("change", () => { fold.open = !NARROW.matches; });
    form.append(fold);
    const worse = make("input");
    worse.type = "checkbox";
    worse.addEventListener("change", () => bench.route.set({ worse: worse.checked ? "1" : "" }));
    form.append(field("worse", "Only worse or missing", worse));
    form.append(button("Clear", clear, "clear"));
    form.addEventListener("submit", (event) => event.preventDefault());
    haystack = new Map(all.series.map((one) => [one.id,
      [one.title, one.metric, one.place, one.host, one.suite, one.variant, one.runtime, one.workload, one.state]
        .filter(Boolean).join("\n").toLowerCase()]));
  }

  function search() {
    const node = make("input");
    node.type = "search";
    node.placeholder = "any words";
    node.autocomplete = "off";
    node.spellcheck = false;
    node.addEventListener("input", () => {
      clearTimeout(pause);
      pause = setTimeout(() => bench.route.set({ q: node.value }, true), PAUSE_MS);
    });
    return node;
  }

  function choice(name, values) {
    const node = make("select", "", new Option("all", ""), ...values.map((value) => new Option(title(name, value), value)));
    node.addEventListener("change", () => bench.route.set({ [name]: node.value }));
    return node;
  }

  /** Metrics are chosen by the words that stand on their cards. */
  const title = (name, value) => (name === "metric" ? bench.all.metrics[value].title : value);

  function field(name, words, node) {
    node.id = `f-${name}`;
    fields.set(name, node);
    const label = make("label", `field ${name}`, make("span", "sub", words), node);
    label.htmlFor = node.id;
    return label;
  }

  function clear() {
    bench.route.set(Object.fromEntries(bench.route.FILTERS.filter((name) => name !== "span").map((name) => [name, ""])));
  }

  /** The form says what the address says. */
  function fill() {
    for (const [name, node] of fields) {
      const value = bench.route.get(name);
      if (node.type === "checkbox") node.checked = value === "1";
      else if (node.value !== value && document.activeElement !== node) set(node, value);
      else if (node.type !== "search") set(node, value);
    }
    const used = bench.route.FILTERS.some((name) => name !== "span" && bench.route.get(name));
    form.querySelector(".clear").hidden = !used;
    if (SELECTS.some(([name]) => bench.route.get(name))) form.querySelector(".fold").open = true;
  }

  /** A value that nobody knows, from an old link, is shown and not dropped. */
  function set(node, value) {
    if (node.options && ![...node.options].some((one) => one.value === value)) node.append(new Option(`${value} (not here)`, value));
    node.value = value;
  }

  /** Whether a series fits; `but` names parameters that do not count. */
  function fits(one, but = []) {
    const get = (name) => (but.includes(name) ? "" : bench.route.get(name));
    for (const [name, , key] of SELECTS) {
      if (get(name) && named(one, key) !== get(name)) return false;
    }
    if (get("state") && one.state !== get("state")) return false;
    if (get("worse") === "1" && !BAD.includes(one.state)) return false;
    return get("q").toLowerCase().split(/\s+/).filter(Boolean).every((word) => haystack.get(one.id).includes(word));
  }

  const chosen = (but) => bench.all.series.filter((one) => fits(one, but));
  return { build, fill, chosen, form, focus: () => fields.get("q").focus(), field: (name) => fields.get(name) };
})();
