/* The chosen night of a series, and the table of all of them. */
bench.night = (() => {
  const { make, link, copied, tableRow } = bench;
  const w = bench.words;
  const ROWS = 30;
  /** A word that a shell takes as it stands; anything else is quoted. */
  const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);

  /** told: `{one, data, times}` and which point. */
  function details({ one, data, times }, at) {
    const nights = bench.all.nights, night = data.night[at], run = nights.run[night];
    const rows = [["Value", [...valueNodes(one, data, at), ...exactly(one, data.value[at])]]];
    if (data.rounds[at].length) rows.push(["Rounds", w.several(bench.all.metrics[one.metric], data.rounds[at])]);
    if (data.marks[at] >= 0) rows.push(["Doubtful", data.markWords[data.marks[at]].map((mark) => make("span", "noisy part", mark))]);
    rows.push(["Run", [copied(run, "the run's name")]]);
    if (nights.link[night]) rows.push(["Files", [link(nights.link[night], nights.link[night])]]);
    rows.push(["Artifact", data.artifact[at] < 0 ? ["not known"] : [copied(data.artifacts[data.artifact[at]], "the artifact's sha256")]]);
    if (data.command && at === times.length - 1) rows.push(["Again", [copied(data.command, "the command")]]);
    rows.push(["Its report", [copied(`bench report ${quoted(run)}`, "the command")]]);
    const list = make("dl", "facts", ...rows.flatMap(([name, inside]) => [make("dt", "", name), make("dd", "", ...[inside].flat())]));
    return [make("h2", "small", `${w.date(times[at])}, ${w.clock(times[at])}`), list, environment(data, at)];
  }

  function valueNodes(one, data, at) {
    const value = data.value[at];
    if (value === null) return [make("span", "novalue", `no value: ${data.reasons[data.reason[at]]}`)];
    return [w.ofNight(one, value)];
  }

  /** A count of bytes also to the last one: two files may differ where their rounded sizes do not. */
  function exactly(one, value) {
    const { exact, unit } = bench.all.metrics[one.metric];
    return exact && unit === "bytes" && value !== null ? [make("span", "sub", ` ${w.whole(value)} bytes`)] : [];
  }

  function environment(data, at) {
    const found = data.environments[data.conditions[at]] || {};
    const before = data.environments[at ? data.conditions[at - 1] : -1] || found;
    const names = Object.keys(found);
    if (!names.length) return make("p", "sub", "Nothing is known of the environment.");
    const list = make("dl", "facts", ...names.flatMap((name) => {
      const changed = before[name] !== found[name];
      const was = changed ? make("span", "sub", ` was ${before[name] ?? "not there"}`) : "";
      return [make("dt", "", name), make("dd", changed ? "changed" : "", found[name], was)];
    }));
    return make("details", "environment", make("summary", "", `Environment, ${w.many(names.length, "fact")}`), list);
  }

  /** Newest first, some at a time; `choose` is called with a point. */
  function table(told, choose) {
    const { data, times } = told;
    const box = bench.table("Nights", ["Night", "Value", "Rounds", "Doubtful", "Artifact", "Run"], [], [1]);
    box.classList.add("nights");
    const body = box.querySelector("tbody");
    const more = bench.button("", () => add(), "more");
    let next = times.length - 1;
    function add() {
      const rows = [];
      for (let left = ROWS; left && next >= 0; left--, next--) rows.push(row(told, next, choose));
      body.append(...rows);
      more.hidden = next < 0;
      more.textContent = `Show ${Math.min(ROWS, next + 1)} more of ${w.many(next + 1, "older night")}`;
    }
    add();
    return { nodes: [box, more], mark: (at) => marked(body, at) };
  }

  function row({ one, data, times }, at, choose) {
    const run = bench.all.nights.run[data.night[at]];
    const pick = bench.button(w.date(times[at]), () => choose(at), "plain");
    const notes = data.marks[at] >= 0 ? data.markWords[data.marks[at]].join("; ") : "";
    const node = tableRow([pick, valueNodes(one, data, at), spread(one, data.rounds[at]), make("span", "noisy", notes),
      make("code", "", data.artifact[at] < 0 ? "" : data.artifacts[data.artifact[at]].slice(0, 8)), make("code", "", run)], [1]);
    node.dataset.at = at;
    return node;
  }

  function spread(one, values) {
    if (!values.length) return "";
    const range = [Math.min(...values), Math.max(...values)];
    return `${values.length}: ${w.several(bench.all.metrics[one.metric], range, " to ")}`;
  }

  function marked(body, at) {
    for (const node of body.querySelectorAll("[aria-current]")) node.removeAttribute("aria-current");
    const node = body.querySelector(`[data-at="${at}"]`);
    if (node) node.setAttribute("aria-current", "true");
  }

  return { details, table, quoted };
})();
