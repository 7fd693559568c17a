/* Which page is shown, and in which colours. */
(() => {
  const page = document.getElementById("page"), press = document.getElementById("theme");
  const THEMES = ["", "light", "dark"], KEY = "bench-theme";
  const title = document.title;
  let before = null, left = "", at = new Map();

  function start(all) {
    bench.all = all;
    document.getElementById("made").textContent = `made ${bench.words.date(all.madeAt)}, ${bench.words.clock(all.madeAt)}; ${bench.words.many(all.nights.run.length, "night")}`;
    bench.filters.build(all);
    bench.show(bench.route.now);
  }

  /** Draws the page of the address; where the overview was left, it is found again. */
  function show(now) {
    if (before) at.set(before, scrollY);
    const name = `${now.page}/${now.id}`, moved = before !== null && name !== before;
    if (now.page !== "series") bench.pages.series.leave();
    bench.filters.form.hidden = now.page === "series";
    bench.filters.fill();
    for (const other of ["overview", "compare"]) {
      const node = document.getElementById(`to-${other}`);
      node.href = bench.route.to(other);
      if (now.page === other) node.setAttribute("aria-current", "page"); else node.removeAttribute("aria-current");
    }
    document.getElementById("home").href = bench.route.to("overview");
    document.body.dataset.page = now.page;
    bench.pages[now.page].show(page, now);
    const one = now.page === "series" ? bench.all.series.find((other) => other.id === now.id) : null;
    document.title = one ? `${one.title}${one.variant ? `, ${one.variant}` : ""} – ${title}` : now.page === "compare" ? `Compare – ${title}` : title;
    if (moved) arrive(name, now);
    if (now.page === "series") left = now.id;
    before = name;
  }

  function arrive(name, now) {
    scrollTo(0, now.page === "series" ? 0 : at.get(name) || 0);
    const card = now.page === "overview" && left ? [...page.querySelectorAll(".card")].find((node) => node.hash.includes(`/${left}`)) : null;
    (card || page).focus({ preventScroll: true });
    bench.say(document.title);
  }

  /** The next of: as the system, light, dark. A browser that keeps nothing for pages on a disk forgets it. */
  function theme(name = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme || "") + 1) % THEMES.length]) {
    if (name) document.documentElement.dataset.theme = name; else delete document.documentElement.dataset.theme;
    press.lastChild.textContent = name || "system";
    try { localStorage.setItem(KEY, name); } catch (error) { if (!(error instanceof DOMException)) throw error; }
    bench.pages.series.colours();
  }

  function remembered() {
    try { return localStorage.getItem(KEY) || ""; } catch (error) { if (!(error instanceof DOMException)) throw error; return ""; }
  }

  Object.assign(bench, { start, show, theme });
  press.addEventListener("click", () => theme());
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); page.focus(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => bench.pages.series.colours());
  if (THEMES.includes(remembered()) && remembered()) theme(remembered());
})();
