/* Everything by keyboard. */
bench.keys = (() => {
  const help = document.getElementById("help");
  const list = () => [...document.querySelectorAll("#page .card, #page .compared td a")];

  function move(step) {
    const now = bench.route.now;
    if (now.page === "series") return neighbour(step);
    const nodes = list(), at = nodes.indexOf(document.activeElement);
    const next = nodes[at < 0 ? (step > 0 ? 0 : nodes.length - 1) : Math.min(Math.max(at + step, 0), nodes.length - 1)];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
    return undefined;
  }

  function neighbour(step) {
    const all = bench.filters.chosen(), at = all.findIndex((one) => one.id === bench.route.now.id);
    const next = all[at + step];
    if (next) bench.route.go(bench.route.to("series", next.id), true);
    else bench.say(step > 0 ? "This is the last series." : "This is the first series.");
  }

  const KEYS = {
    j: () => move(1),
    k: () => move(-1),
    "/": () => { if (bench.filters.form.hidden) bench.route.go(bench.route.to("overview")); bench.filters.focus(); },
    w: () => bench.route.set({ worse: bench.route.get("worse") ? "" : "1" }),
    o: () => bench.route.go(bench.route.to("overview")),
    c: () => bench.route.go(bench.route.to("compare")),
    t: () => bench.theme(),
    "?": () => help.showModal(),
  };

  function escape() {
    const node = document.activeElement;
    if (node && node.matches("input, select, textarea")) {
      if (node.type === "search" && node.value) { node.value = ""; bench.route.set({ q: "" }, true); }
      node.blur();
    } else if (bench.route.now.page !== "overview") bench.route.go(bench.route.to("overview"));
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || !bench.all) return;
    if (event.key === "Escape") { escape(); return; }
    const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (typing) return;
    const scrolls = event.target.matches(".scroll") && event.key.startsWith("Arrow");
    if (bench.route.now.page === "series" && !scrolls && bench.pages.series.key(event.key)) { event.preventDefault(); return; }
    if (Object.hasOwn(KEYS, event.key)) { event.preventDefault(); KEYS[event.key](); }
  });
  document.getElementById("ask").addEventListener("click", () => help.showModal());
  return {};
})();
