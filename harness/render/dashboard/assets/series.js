/* One series: its chart, what changed and why, and each night. */
bench.pages.series = (() => {
  const { make, link, button } = bench;
  const w = bench.words;
  const DAY = 86400;
  const RANGES = [["30 days", 30], ["90 days", 90], ["1 year", 365], ["all", 0]];
  const LONG_DAYS = 180, RECENT_DAYS = 90, BEFORE_DAYS = 45;
  let open = null;

  function show(page, now) {
    const one = bench.all.series.find((other) => other.id === now.id);
    if (!one) { leave(); page.replaceChildren(make("p", "banner", "There is no such series in this history."), link("Overview", bench.route.to("overview"))); return; }
    if (open && open.one === one && page.contains(open.root)) { update(); return; }
    leave();
    const root = make("article", "series");
    page.replaceChildren(root);
    root.append(head(one), make("p", "sub reading", "Reading…"));
    open = { one, root };
    Promise.all([bench.seriesData(one), bench.charts()]).then(
      ([data]) => { if (open && open.root === root) fill(data); },
      (error) => root.replaceChildren(head(one), bench.sorry(error)),
    );
  }

  function leave() {
    if (open && open.chart) open.chart.destroy();
    open = null;
  }

  /** Title, place in the filtered list, and its neighbours there. */
  function head(one) {
    const list = bench.filters.chosen(), at = list.indexOf(one);
    const step = (name, other) => (other ? link(name, bench.route.to("series", other.id), "step") : make("span", "step sub", name));
    const crumbs = make("nav", "crumbs", link("Overview", bench.route.to("overview")),
      make("span", "steps", step("‹ previous", at < 0 ? null : list[at - 1]), make("span", "sub", at < 0 ? "not among the filtered" : `${at + 1} of ${list.length}`), step("next ›", at < 0 ? list[0] : list[at + 1])));
    crumbs.setAttribute("aria-label", "Series");
    const facts = [["device", one.place], ["suite", one.suite], ["runtime", one.runtime], ["variant", one.variant], ["workload", one.workload], ["host", one.host.slice(0, 8)]];
    const title = one.variant ? `${one.title}, ${one.variant}` : one.title;
    return make("header", "head", crumbs, make("h2", "title", title),
      make("p", "sub where", ...facts.filter(([, text]) => text).map(([name, text]) => make("span", "", `${name} `, make("b", "", text)))), headline(one));
  }

  function headline(one) {
    const state = bench.pages.overview.WORDS[one.state][0];
    const parts = [make("span", `word ${one.state}`, state), " "];
    if (one.news) {
      const { size, span, night, nights, worse } = one.news;
      parts.push(make("strong", worse ? "lost" : "won", size), span ? ` (${span})` : "", ` since ${w.date(bench.all.nights.at[night])}, ${w.many(nights, "night")}. `);
    }
    if (one.latest && one.latest.value !== null) parts.push(`Newest: ${w.ofNight(one, one.latest.value)}. `);
    if (one.latest && one.latest.value === null && !one.gap) parts.push(make("span", "novalue", `Newest night has no value: ${one.latest.reason}. `));
    if (one.gap) parts.push(make("span", "novalue", `${one.gap.words}. `));
    if (one.spread) parts.push(make("span", "sub", `Nights differ by ${w.share(one.spread)} (one standard deviation).`));
    return make("p", "lead", ...parts);
  }

  function fill(data) {
    const { one, root } = open;
    const times = data.night.map((night) => bench.all.nights.at[night]);
    Object.assign(open, { data, times, detail: make("section", "detail"), readout: make("p", "sub readout"), chosen: -1 });
    const figure = make("figure", "chart"), host = make("div", "plot");
    host.tabIndex = 0;
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", `Chart of ${w.many(times.length, "night")}. Left and right arrow choose a night, plus and minus zoom.`);
    open.ranges = RANGES.map(([name, days]) => button(name, () => range(days)));
    const group = make("div", "spans", ...open.ranges);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Time in the chart");
    open.unit = make("span", "sub unit");
    open.detail.setAttribute("aria-live", "polite");
    const table = bench.night.table(open, choose);
    open.mark = table.mark;
    root.querySelector(".reading").remove();
    if (!times.length) { root.append(make("p", "none", "This series has no point yet.")); return; }
    figure.append(make("div", "line", open.unit, group), host, open.readout, legend());
    root.append(figure, make("div", "two", happened(), open.detail), make("h2", "small", "All nights, newest first"), ...table.nodes);
    open.chart = bench.chart.create(host, { one, data, times, zoom, choose, hover });
    open.unit.textContent = unitWords(one, data);
    update();
  }

  function unitWords(one, data) {
    const metric = bench.all.metrics[one.metric], known = data.value.filter((value) => value !== null);
    const [, unit] = w.scaled(metric, known.length ? Math.max(...known) : 0);
    return `${unit || one.metric}, ${metric.lower ? "lower" : "higher"} is better`;
  }

  function legend() {
    return make("p", "sub hint", "A dot is a night, hollow where it is doubtful; a thin line is the range of its rounds, a thick one the median between changes. Solid upright lines are alerts, dashed ones watches, dotted ones cuts; grey stands where nothing was measured, × where it failed. Drag to zoom, double-click for all, click a night for its details.");
  }

  /** The page says what the address says. */
  function update() {
    const { times, chart, data, root } = open;
    root.firstChild.replaceWith(head(open.one));
    if (!chart) return;
    const [from, to] = ["from", "to"].map((name) => Date.parse(`${bench.route.get(name)}T00:00:00Z`) / 1e3);
    const pad = Math.max((times.at(-1) - times[0]) * 0.02, DAY / 2);
    const { end } = bench.all;
    const start = Math.max(from || unasked(), times[0] - pad);
    open.shown = [start, to ? to + DAY : end + pad];
    if (open.shown[0] >= open.shown[1]) open.shown = [times[0] - pad, end + pad];
    chart.range(...open.shown);
    open.ranges.forEach((node, at) => {
      const days = RANGES[at][1], whole = open.shown[0] <= times[0] && !to;
      node.setAttribute("aria-pressed", String(days ? !whole && !to && w.day(start) === daysAgo(days) : whole));
      if (days) node.hidden = end - days * DAY <= times[0];
    });
    open.ranges.at(-1).hidden = open.ranges.slice(0, -1).every((node) => node.hidden) && !from && !to;
    const named = data.night.findIndex((night) => bench.all.nights.run[night] === bench.route.get("night"));
    pick(named < 0 ? times.length - 1 : named);
  }

  /** Where the chart begins unless asked: a long series shows its recent nights, and what to tell of it. */
  function unasked() {
    const { one, times } = open, { end } = bench.all;
    if (end - times[0] < LONG_DAYS * DAY) return times[0] - DAY;
    const recent = Date.parse(`${daysAgo(RECENT_DAYS)}T00:00:00Z`) / 1e3;
    return one.news ? Math.min(recent, bench.all.nights.at[one.news.night] - BEFORE_DAYS * DAY) : recent;
  }

  const daysAgo = (days) => w.day(bench.all.end - days * DAY);
  const range = (days) => bench.route.set({ from: days ? daysAgo(days) : w.day(open.times[0]), to: "" });

  /** Whole days in UTC, since the address is for people; null shows all. */
  function zoom(from, to) {
    if (from === null) range(0);
    else bench.route.set({ from: w.day(from), to: w.day(to) });
  }

  function choose(at) {
    bench.route.set({ night: at === open.times.length - 1 ? "" : bench.all.nights.run[open.data.night[at]] }, true);
    pick(at);
  }

  function pick(at) {
    if (open.chosen === at) return;
    open.chosen = at;
    open.chart.choose(at);
    open.mark(at);
    open.detail.replaceChildren(...bench.night.details(open, at));
    hover(null);
  }

  function hover(at) {
    const { one, data, times, chosen } = open, index = at ?? chosen;
    if (index < 0) return;
    const value = data.value[index] === null ? `no value: ${data.reasons[data.reason[index]]}` : w.ofNight(one, data.value[index]);
    const marks = data.marks[index] < 0 ? "" : `, doubtful: ${data.markWords[data.marks[index]].join("; ")}`;
    open.readout.textContent = `${w.date(times[index])}: ${value}${marks}`;
  }

  /** Changes, cuts and gaps, newest first. */
  function happened() {
    const { data } = open;
    const found = [...data.changes.map((it) => [it.at, change(it)]), ...data.cuts.map((it) => [it.at, cut(it)]), ...data.gaps.map((it) => [it.first, gap(it)])];
    found.sort((a, b) => b[0] - a[0]);
    const list = make("ol", "happened", ...found.map(([, node]) => node));
    const none = make("p", "none", "Nothing changed, nothing is missing.");
    return make("section", "", make("h2", "small", "What happened, newest first"), found.length ? list : none);
  }

  const when = (at) => (at < open.times.length ? w.date(open.times[at]) : "after the newest night");

  function change(it) {
    const kind = !it.worse ? "better" : it.acknowledged ? "acknowledged" : it.tier;
    const date = button(when(it.at), () => choose(it.at), "plain");
    const top = make("p", "", make("span", `word ${kind}`, it.worse ? it.tier : `better, ${it.tier}`), " ", date, it.stands ? "" : make("span", "sub", " undone since"));
    const size = make("p", "", make("strong", it.worse ? "lost" : "won", it.size), it.span ? ` (${it.span})` : "", `: ${it.before} → ${it.after}`, make("span", "sub", `, ${w.many(it.nights, "night")} since`));
    const where = it.earliest === it.latest ? "" : make("p", "sub", `It may lie anywhere from ${when(it.earliest)} to ${when(it.latest)}.`);
    const night = bench.all.nights.run[open.data.night[it.at]];
    const ack = it.worse && it.stands && !it.acknowledged ? make("details", "ack", make("summary", "", "It may stand?"), make("p", "sub", "Say why, and it wakes nobody any more:"), bench.copied(`bench ack ${bench.night.quoted(`${open.one.id}@${night}`)} --reason '…'`, "the command")) : "";
    const known = it.acknowledged ? make("p", "known", `Acknowledged by ${it.acknowledged.by}, ${it.acknowledged.at.slice(0, 10)}: ${it.acknowledged.reason}`) : "";
    return make("li", kind, top, size, where, make("p", "sub", it.rule), confirmation(it.confirmation), between(it.between, "Changed with it"), known, ack);
  }

  function confirmation(told) {
    if (!told) return "";
    const words = told.confirmed ? "Confirmed" : "Not confirmed";
    return make("p", "", make("span", told.confirmed ? "lost strong" : "strong", words), ` by a rerun of ${w.many(told.pairs, "pair")} side by side: ${told.ratio} of the last good artifact, bound ${told.bound}. `, make("code", "", told.run));
  }

  function between(rows, title) {
    if (!rows.length) return "";
    const side = (text) => (text === null ? make("span", "sub", "not there") : make("code", "", text));
    return make("div", "between", make("p", "sub", `${title}:`), make("dl", "facts", ...rows.flatMap(([what, before, after]) =>
      [make("dt", "", what), make("dd", "", side(before), " → ", side(after))])));
  }

  function cut(it) {
    const sides = it.before && it.after ? make("p", "", `${it.before} → ${it.after}`, make("span", "sub", ", not comparable")) : "";
    return make("li", "cut", make("p", "", make("span", "word", "cut"), " ", button(when(it.at), () => choose(Math.min(it.at, open.times.length - 1)), "plain")), sides, between(it.differences, "Begins anew, since these differ"));
  }

  function gap(it) {
    const [from] = bench.chart.gapTimes(it, open.times);
    const first = it.points === 0 ? `after ${w.date(from)}` : when(it.first);
    return make("li", it.alert ? "gap alert" : "gap", make("p", "", make("span", "word missing", it.alert ? "missing, too many" : "missing"), " ", first), make("p", "", it.words));
  }

  /** Keys of this page; whether it knew the key. */
  function key(name) {
    if (!open || !open.chart) return false;
    const { times, chosen, shown } = open, last = times.length - 1;
    const half = (shown[1] - shown[0]) / 4, middle = Math.min(Math.max(times[chosen], shown[0]), shown[1]);
    const steps = { ArrowLeft: () => choose(Math.max(chosen - 1, 0)), ArrowRight: () => choose(Math.min(chosen + 1, last)),
      "+": () => half > DAY && zoom(middle - half, middle + half), "-": () => zoom(Math.max(middle - 4 * half, times[0]), Math.min(middle + 4 * half, bench.all.end)), 0: () => zoom(null) };
    steps["="] = steps["+"];
    if (!(name in steps)) return false;
    steps[name]();
    return true;
  }

  function colours() {
    if (open && open.chart) open.chart.colours();
  }

  return { show, leave, key, colours };
})();
