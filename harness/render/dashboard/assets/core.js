"use strict";
/* Everything hangs on one name, since modules cannot be loaded from a disk. */
const bench = (() => {
  const kept = new Map(), waiting = new Map();
  const SVG = "http://www.w3.org/2000/svg";
  const UPLOT = document.currentScript.dataset.uplot;

  /** Called by every file of data. */
  function put(key, data) {
    kept.set(key, data);
    if (key === "overview") bench.start(data);
  }

  /** What a file of data handed over; each is loaded once. */
  function load(key, file) {
    if (kept.has(key)) return Promise.resolve(kept.get(key));
    return script(file).then(() => {
      if (!kept.has(key)) throw new Error(`${file} does not hold ${key}`);
      return kept.get(key);
    });
  }

  function script(file) {
    if (!waiting.has(file)) {
      waiting.set(file, new Promise((done, failed) => {
        const node = document.createElement("script");
        node.src = file;
        node.addEventListener("load", done);
        node.addEventListener("error", () => { waiting.delete(file); failed(new Error(`${file} cannot be read`)); });
        document.head.append(node);
      }));
    }
    return waiting.get(file);
  }

  /** A page that has been open for a night does not know the nights of newer files. */
  const seriesData = (one) => load(`series/${one.id}`, `data/series-${one.id}.js?${one.version}`).then((data) => {
    if (data.nights !== bench.all.nights.numbered) throw new Error("The dashboard was written anew since this page was opened");
    return data;
  });

  /** What is shown in place of what could not be read. */
  function sorry(error) {
    return make("p", "banner", `${error.message}. `, button("Load the page again", () => location.reload()));
  }

  /** Pictures of all nights, which few ask for. */
  const sparks = () => load("sparks", `data/sparks.js?${bench.all.sparksVersion}`).then((found) => { bench.all.sparks = found; });
  const charts = () => (window.uPlot ? Promise.resolve() : script(UPLOT));

  function nightData(index) {
    const { key, version } = bench.all.nights;
    return load(`night/${key[index]}`, `data/night-${key[index]}.js?${version[index]}`);
  }

  function make(tag, name, ...inside) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    node.append(...inside.filter((one) => one !== null && one !== undefined && one !== ""));
    return node;
  }

  function draw(tag, attributes, ...inside) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  }

  function button(text, press, name) {
    const node = make("button", name || "", text);
    node.type = "button";
    node.addEventListener("click", press);
    return node;
  }

  function link(text, href, name) {
    const node = make("a", name || "", text);
    node.href = href;
    return node;
  }

  /** What has the focus, by a name that outlives being drawn anew. */
  function focused() {
    const node = document.activeElement;
    return node ? node.id || node.dataset.key || "" : "";
  }

  /** Gives the focus back after what had it was drawn anew. */
  function refocus(key) {
    if (!key || document.activeElement !== document.body) return;
    const node = document.getElementById(key) || document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (node) node.focus({ preventScroll: true });
  }

  /** Text with a button that copies it. */
  function copied(text, what) {
    const press = button("Copy", () => {
      copy(text).then(() => { press.textContent = "Copied"; say(`${what} copied`); }, () => select(code));
      setTimeout(() => { press.textContent = "Copy"; }, 1500);
    }, "copy");
    press.setAttribute("aria-label", `Copy ${what}`);
    const code = make("code", "", text);
    return make("span", "copied", code, press);
  }

  /** A page on a disk may have no clipboard of its own; then the old way. */
  function copy(text) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const field = make("textarea", "unseen");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("no clipboard"));
  }

  function select(node) {
    getSelection().selectAllChildren(node);
  }

  function say(text) {
    document.getElementById("said").textContent = text;
  }

  /** A table in a box that scrolls by itself; `rows` are arrays of nodes or texts. */
  function table(label, header, rows, numeric = []) {
    const head = make("tr", "", ...header.map((text, at) => {
      const cell = make("th", numeric.includes(at) ? "num" : "", text);
      cell.scope = "col";
      return cell;
    }));
    const body = make("tbody", "", ...rows.map((row) => tableRow(row, numeric)));
    const box = make("div", "scroll", make("table", "", make("thead", "", head), body));
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", label);
    return box;
  }

  function tableRow(row, numeric) {
    return make("tr", "", ...row.map((inside, at) => make("td", numeric.includes(at) ? "num" : "", ...[inside].flat())));
  }

  if (location.hash.startsWith("#/series/")) charts();
  return { put, load, sparks, seriesData, sorry, nightData, charts, make, draw, button, link, focused, refocus, copied, say, table, tableRow, pages: {} };
})();
