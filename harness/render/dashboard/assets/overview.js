/* Counts, tiles of devices and suites, and a card with a sparkline for each series. */
bench.pages.overview = (() => {
  const { make, draw, button, link } = bench;
  const w = bench.words;
  const WORDS = { alert: ["alert", "alerts"], missing: ["missing", "missing"], watch: ["watch", "watches"],
    acknowledged: ["acknowledged", "acknowledged"], better: ["better", "better"], untouched: ["untouched", "untouched"] };
  const STALE_S = 48 * 3600, CELL = 8;
  const cards = new Map();
  let parts = null;

  function show(page) {
    if (spanNow() === "all" && !bench.all.sparks) { bench.sparks().then(() => bench.show(bench.route.now), (error) => page.replaceChildren(bench.sorry(error))); return; }
    if (!parts || !page.contains(parts.cards)) build(page);
    const chosen = bench.filters.chosen(), beside = bench.filters.chosen(["state", "worse"]);
    const key = bench.focused();
    parts.counts.replaceChildren(...bench.all.states.map((state) => count(state, beside)));
    parts.tiles.replaceChildren(...tiles(bench.filters.chosen(["device", "suite"])));
    for (const [span, node] of Object.entries(parts.spans)) node.setAttribute("aria-pressed", String(span === spanNow()));
    parts.many.textContent = `${w.whole(chosen.length)} of ${w.many(bench.all.series.length, "series", "series")}`;
    parts.cards.replaceChildren(...chosen.map(card));
    parts.none.hidden = chosen.length > 0;
    bench.refocus(key);
  }

  const spanNow = () => (bench.route.get("span") === "all" ? "all" : "recent");

  function build(page) {
    const spans = {
      recent: button(`last ${bench.all.recentDays} days`, () => bench.route.set({ span: "" })),
      all: button("all nights", () => bench.route.set({ span: "all" })),
    };
    parts = { counts: make("div", "counts"), tiles: make("ul", "tiles"), cards: make("ul", "cards"), spans,
      many: make("p", "sub many"), none: make("p", "none", "No series fits these filters.") };
    parts.counts.setAttribute("role", "group");
    parts.counts.setAttribute("aria-label", "States");
    parts.many.setAttribute("role", "status");
    const group = make("div", "spans", spans.recent, spans.all);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Time in the pictures");
    page.replaceChildren(...banners(), parts.counts, heading("Devices and suites"), parts.tiles,
      make("div", "line", heading("Series"), parts.many, group, legend()), parts.none, parts.cards);
  }

  const heading = (text) => make("h2", "small", text);

  /** What must be known before any number is read. */
  function banners() {
    const { all } = bench, found = [];
    const age = Date.now() / 1e3 - all.madeAt;
    if (age > STALE_S) found.push(`This page was made ${w.many(Math.floor(age / 86400), "day")} ago: nothing newer can be seen here.`);
    const quiet = all.madeAt - all.newest;
    if (all.nights.run.length && quiet > STALE_S) found.push(`The newest night, ${w.date(all.newest)}, was ${w.many(Math.floor(quiet / 86400), "day")} old when this page was made.`);
    if (!all.nights.run.length) found.push("There is no night yet.");
    const nodes = [...found, ...all.troubles].map((text) => make("p", "banner", text));
    if (all.unreadable.length) {
      const list = make("ul", "", ...all.unreadable.map((text) => make("li", "", text)));
      nodes.push(make("details", "banner", make("summary", "", `${w.many(all.unreadable.length, "run")} could not be read`), list));
    }
    return nodes;
  }

  function count(state, beside) {
    const found = beside.filter((one) => one.state === state).length;
    const node = button("", () => bench.route.set({ state: bench.route.get("state") === state ? "" : state }), `count ${state}`);
    node.dataset.key = `count ${state}`;
    node.append(make("strong", "", w.whole(found)), ` ${WORDS[state][found === 1 ? 0 : 1]}`);
    node.setAttribute("aria-pressed", String(bench.route.get("state") === state));
    if (!found) node.classList.add("zero");
    return node;
  }

  function legend() {
    const items = [["change wa", "worse, alert"], ["change ww", "worse, watch"], ["change ba", "better"], ["cut", "not comparable beyond"], ["gap", "nothing measured"]];
    return make("p", "sub legend", ...items.map(([name, text]) => make("span", "", mark(name), text)));
  }

  function mark(name) {
    const node = draw("svg", { viewBox: "0 0 10 10", "aria-hidden": "true", class: "spark" });
    if (name === "gap") node.append(draw("rect", { class: "gap", x: 0, y: 3, width: 10, height: 4 }));
    else node.append(draw("path", { class: name, d: "M5 0V10" }));
    return node;
  }

  function tiles(series) {
    const found = bench.all.tiles.map((tile) => {
      const ours = series.filter((one) => one.place === tile.place && one.suite === tile.suite);
      const counts = bench.all.states.map((state) => ours.filter((one) => one.state === state).length);
      return { tile, counts, ours };
    }).filter((one) => one.ours.length);
    found.sort((a, b) => compareCounts(a.counts, b.counts));
    return found.map(tileNode);
  }

  function compareCounts(a, b) {
    for (let at = 0; at < a.length - 1; at++) if (a[at] !== b[at]) return b[at] - a[at];
    return 0;
  }

  function tileNode({ tile, counts, ours }) {
    const { place, suite } = tile, states = bench.all.states;
    const worst = states[counts.findIndex((many) => many > 0)];
    const pressed = bench.route.get("device") === place && bench.route.get("suite") === suite;
    const node = button("", () => bench.route.set(pressed ? { device: "", suite: "" } : { device: place, suite }), `tile ${worst}`);
    node.setAttribute("aria-pressed", String(pressed));
    node.dataset.key = `tile ${place} ${suite}`;
    const said = states.flatMap((state, at) => (counts[at] ? [make("span", `word ${state}`, `${counts[at]} ${WORDS[state][counts[at] === 1 ? 0 : 1]}`)] : []));
    const news = ours.find((one) => one.news && one.news.worse && !one.news.known);
    node.append(make("span", "name", place), make("span", "sub", suite), make("span", "words", ...said), strip(tile),
      make("span", "worst", news ? `${news.title}${news.variant ? `, ${news.variant}` : ""}: ${since(news)}` : ""));
    return make("li", "", node);
  }

  /** One cell a night: what began in it, what failed, and whether there was a run. */
  function strip(tile) {
    const node = draw("svg", { viewBox: `0 0 ${tile.strip.length * CELL} 16`, class: "strip", role: "img", preserveAspectRatio: "none" });
    const first = Date.parse(`${tile.first}T00:00:00Z`) / 1e3;
    let lost = 0;
    tile.strip.forEach((night, at) => {
      const [name, text] = nightWords(night);
      if (night === null) lost += 1;
      const cell = draw("rect", { x: at * CELL + 1, y: night === null ? 11 : 2, width: CELL - 2, height: night === null ? 3 : 12, class: name });
      cell.append(draw("title", {}, `${w.date(first + at * 86400)}: ${text}`));
      node.append(cell);
    });
    const failed = tile.strip.filter((night) => night && night[1]).length;
    node.setAttribute("aria-label", `The last ${tile.strip.length} days: ${lost} without a run, ${failed} with failed cells`);
    return node;
  }

  function nightWords(night) {
    if (night === null) return ["no-run", "no run"];
    const [values, failures, alerts, watches] = night;
    const said = `${values} measured${failures ? `, ${failures} without a value` : ""}`;
    if (alerts) return ["began-alert", `${said}; ${w.many(alerts, "alert")} began`];
    if (!values) return ["all-failed", said];
    if (watches) return ["began-watch", `${said}; ${w.many(watches, "watch", "watches")} began`];
    return failures ? ["some-failed", said] : ["fine", said];
  }

  const since = (one) => `${one.news.size} since ${w.shortDate(bench.all.nights.at[one.news.night])}`;

  /** Cards are made once for each span; what changes is which are shown. */
  function card(one) {
    const key = `${spanNow()} ${one.id}`;
    if (!cards.has(key)) cards.set(key, cardNode(one));
    const node = cards.get(key);
    node.firstChild.href = bench.route.to("series", one.id);
    return node;
  }

  function cardNode(one) {
    const name = make("span", "name", one.title, one.variant ? " " : "", one.variant ? make("span", "variant", one.variant) : "");
    const state = one.state === "untouched" ? "" : make("span", `word ${one.state}`, WORDS[one.state][0]);
    const where = [one.place, one.suite, one.runtime, one.workload].filter(Boolean).join(" · ");
    const node = link("", "", `card ${one.state}`);
    node.append(make("span", "top", name, state), make("span", "sub where", where), sparkline(one), make("span", "bottom", ...latest(one)));
    const said = news(one);
    if (said) node.append(make("span", `news ${!one.news.worse ? "won" : one.news.known ? "sub" : one.news.tier === "alert" ? "lost" : "warned"}`, said));
    if (one.gap) node.append(make("span", "gapped", one.gap.words));
    return make("li", "", node);
  }

  function latest(one) {
    if (!one.latest) return [make("span", "novalue", "no value yet")];
    if (one.latest.value === null) return [make("span", "novalue", one.gap ? "no value" : `no value: ${one.latest.reason}`)];
    const value = make("span", "value", w.ofNight(one, one.latest.value));
    const noisy = one.latest.marks.length ? make("span", "noisy", "noisy") : "";
    if (noisy) noisy.title = one.latest.marks.join("; ");
    return [value, noisy, make("span", "sub", w.shortDate(bench.all.nights.at[one.latest.night]))];
  }

  function news(one) {
    if (!one.news || (one.state === "untouched" && !one.news.worse)) return "";
    const others = one.news.others ? ` (+${one.news.others} more)` : "";
    return since(one) + others;
  }

  function sparkline(one) {
    const { line, band, levels, changes, cuts, gaps, end } = spanNow() === "all" ? bench.all.sparks[one.id] : one.spark;
    const node = draw("svg", { viewBox: "0 0 240 40", class: "spark", "aria-hidden": "true", preserveAspectRatio: "none" });
    for (const [from, to, alert] of gaps) {
      node.append(draw("rect", { class: alert ? "gap alert" : "gap", x: from, y: 34, width: Math.max(to - from, 2), height: 6 }));
    }
    if (band) node.append(draw("path", { class: "band", d: band }));
    for (const x of cuts) node.append(draw("path", { class: "cut", d: `M${x} 0V40` }));
    if (line) node.append(draw("path", { class: "drawn", d: line }));
    if (levels) node.append(draw("path", { class: "levels", d: levels }));
    for (const [x, kind] of changes) node.append(draw("path", { class: `change ${kind}`, d: `M${x} 0V40` }));
    if (end) node.append(draw("path", { class: "end", d: `M${end[0]} ${end[1]}h0` }));
    return node;
  }

  return { show, WORDS };
})();
