/* The address after `#` is the whole state of the page: `#/series/ID?device=…&from=…`. */
bench.route = (() => {
  const FILTERS = ["device", "suite", "variant", "runtime", "metric", "state", "worse", "q", "span"];
  let now = parse(), seen = location.hash;

  function parse() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
    const [page, id] = path.split("/");
    const known = page === "series" || page === "compare" ? page : "overview";
    return { page: known, id: known === "series" ? id || "" : "", params: new URLSearchParams(query || "") };
  }

  function format(page, id, params) {
    const query = new URLSearchParams([...params].filter(([, value]) => value !== "")).toString();
    return `#/${page === "overview" ? "" : page}${id ? `/${encodeURIComponent(id)}` : ""}${query ? `?${query}` : ""}`;
  }

  /** The address of another page, with these filters. */
  function to(page, id = "", more = {}) {
    const params = new URLSearchParams();
    for (const name of FILTERS) if (now.params.get(name)) params.set(name, now.params.get(name));
    for (const [name, value] of Object.entries(more)) params.set(name, value);
    return format(page, id, params);
  }

  /** Changes parameters of this page; `replace` leaves no step to go back to. */
  function set(changes, replace = false) {
    const params = new URLSearchParams(now.params);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") params.delete(name);
      else params.set(name, value);
    }
    go(format(now.page, now.id, params), replace);
  }

  function go(hash, replace = false) {
    if (hash === location.hash || (hash === "#/" && location.hash === "")) return;
    history[replace ? "replaceState" : "pushState"](null, "", hash);
    arrive();
  }

  function arrive() {
    if (location.hash === seen || !bench.all) return;
    seen = location.hash;
    now = parse();
    bench.show(now);
  }

  const get = (name) => now.params.get(name) || "";
  history.scrollRestoration = "manual";
  addEventListener("popstate", arrive);
  addEventListener("hashchange", arrive);
  return { FILTERS, to, set, go, get, get now() { return now; } };
})();
