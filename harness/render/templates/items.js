"use strict";
(() => {
  const ROW = 56, SPARE = 8, PAUSE_MS = 120;
  const data = JSON.parse(document.getElementById("data").textContent);
  const [TASK, ID, HEAD, PROMPT, CHOICES, TARGET] = [0, 1, 2, 3, 4, 5];
  const items = data.items.map((one) => ({
    task: data.tasks[one[TASK]], id: one[ID], head: one[HEAD] < 0 ? "" : data.heads[one[HEAD]], prompt: one[PROMPT],
    choices: one[CHOICES] < 0 ? [] : data.choices[one[CHOICES]], target: one[TARGET],
    baseline: side(one, 6), variant: side(one, 10),
  }));
  items.forEach((one) => { one.kind = kindOf(one); one.moved = divergence(one); });
  const haystack = items.map((one) =>
    [one.task, one.id, one.prompt, ...one.choices, one.target, one.baseline.text, one.variant.text]
      .filter((part) => part !== null).join("\n").toLowerCase());

  function side(one, at) {
    return { right: one[at] === 1, answer: one[at + 1], logprobs: one[at + 2], text: one[at + 3] };
  }

  /** lost, won, other (both wrong, another answer), changed (both right, another text), same */
  function kindOf(one) {
    const { baseline: b, variant: v } = one;
    if (b.right !== v.right) return b.right ? "lost" : "won";
    if (b.answer === null || v.answer === null || b.answer === v.answer) return "same";
    return b.right ? "changed" : "other";
  }

  /** Where answers were not kept, nobody knows which wrong ones changed. */
  function counted(name, many) {
    if (kept || !["changed", "other"].includes(name)) return numbers.format(many);
    return name === "other" && many === 0 ? "not kept" : `≥ ${numbers.format(many)}`;
  }

  function softmax(logprobs) {
    const most = Math.max(...logprobs);
    const powers = logprobs.map((value) => Math.exp(value - most));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((value) => value / sum);
  }

  /** KL(baseline ‖ variant) over the choices in nats; −1 where it is not known */
  function divergence(one) {
    const [p, q] = [one.baseline.logprobs, one.variant.logprobs];
    if (!p || !q || p.length !== q.length) return -1;
    const [a, b] = [softmax(p), softmax(q)];
    return Math.max(0, a.reduce((sum, x, i) => sum + (x > 0 ? x * Math.log(x / Math.max(b[i], 1e-300)) : 0), 0));
  }

  const FILTERS = [
    ["all", "all", () => true],
    ["changed", "changed", (one) => one.kind !== "same"],
    ["lost", "right → wrong", (one) => one.kind === "lost"],
    ["won", "wrong → right", (one) => one.kind === "won"],
    ["other", "wrong → other wrong", (one) => one.kind === "other"],
  ];
  const ORDERS = {
    asked: () => 0,
    changed: (a, b) => (items[a].kind === "same") - (items[b].kind === "same"),
    moved: (a, b) => items[b].moved - items[a].moved,
  };
  const kept = items.every((one) => one.baseline.answer !== null && one.variant.answer !== null);
  const byId = (id) => document.getElementById(id);
  const [list, rows, detail, search, sort, count] = ["list", "rows", "detail", "search", "sort", "count"].map(byId);
  let shown = [], chosen = 0, filter = "all", waiting = 0, drawn = new Map();

  function make(tag, name, text) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function letter(one, index) {
    const short = one.choices.every((choice) => choice.trim().length <= 12);
    return short ? one.choices[index].trim() : String.fromCharCode(65 + index);
  }

  function named(one, answer) {
    if (answer === null) return "not kept";
    if (Number.isInteger(answer) && one.choices[answer] !== undefined) return letter(one, answer);
    const text = String(answer).trim().replace(/\s+/g, " ");
    return text.length > 40 ? text.slice(0, 40) + "…" : text || "nothing";
  }

  function verdict(one) {
    const words = { lost: "right → wrong", won: "wrong → right", other: "wrong → other wrong", changed: "right → right" };
    const [a, b] = [named(one, one.baseline.answer), named(one, one.variant.answer)];
    const known = one.baseline.answer !== null && one.variant.answer !== null;
    if (one.kind === "same") return `both ${one.baseline.right ? "right" : "wrong"}${known ? `: ${a}` : ""}`;
    return known ? `${words[one.kind]}: ${a} → ${b}` : words[one.kind];
  }

  function firstLine(text) {
    return text.trimStart().split("\n", 1)[0];
  }

  const numbers = new Intl.NumberFormat("en-US");

  /** Which items fit filter and search, in order; counts of every filter under this search. */
  function choose() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (let i = 0; i < items.length; i++) {
      if (words.every((word) => haystack[i].includes(word))) found.push(i);
    }
    for (const [name, , fits] of FILTERS) {
      const many = found.filter((i) => fits(items[i])).length;
      byId(`filter-${name}`).lastElementChild.textContent = counted(name, many);
    }
    const fits = FILTERS.find(([name]) => name === filter)[2];
    shown = found.filter((i) => fits(items[i])).sort(ORDERS[sort.value]);
    count.textContent = `${numbers.format(shown.length)} of ${numbers.format(items.length)} questions`;
    rows.style.height = `${shown.length * ROW}px`;
    rows.replaceChildren();
    drawn = new Map();
    list.scrollTop = 0;
    pick(0);
  }

  /** Only rows that can be seen, and a few beside them, are in the document. */
  function draw() {
    waiting = 0;
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
    for (const [at, node] of drawn) {
      if (at < first || at >= last) { node.remove(); drawn.delete(at); }
    }
    for (let at = first; at < last; at++) {
      if (!drawn.has(at)) { drawn.set(at, row(at)); rows.append(drawn.get(at)); }
      drawn.get(at).setAttribute("aria-selected", String(at === chosen));
    }
    if (drawn.has(chosen)) list.setAttribute("aria-activedescendant", `row-${chosen}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function later() {
    if (!waiting) waiting = requestAnimationFrame(draw);
  }

  function row(at) {
    const one = items[shown[at]];
    const node = make("div", "row");
    node.id = `row-${at}`;
    node.setAttribute("role", "option");
    node.setAttribute("aria-setsize", shown.length);
    node.setAttribute("aria-posinset", at + 1);
    node.style.top = `${at * ROW}px`;
    const top = make("p", "top");
    top.append(make("span", "where", `${one.task} · ${one.id}`), make("span", `what ${one.kind}`, verdict(one)));
    node.append(top, make("p", "ask", firstLine(one.prompt)));
    node.addEventListener("click", () => pick(at));
    return node;
  }

  function pick(at) {
    chosen = Math.max(0, Math.min(shown.length - 1, at));
    const top = chosen * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    draw();
    show(shown.length ? items[shown[chosen]] : null);
  }

  function show(one) {
    detail.scrollTop = 0;
    if (!one) { detail.replaceChildren(make("p", "none", "No question fits.")); return; }
    const parts = [make("h2", "", `${one.task} · ${one.id}`), make("p", `verdict what ${one.kind}`, verdict(one))];
    if (!one.baseline.right && !one.variant.right && one.target !== null) {
      parts[1].textContent += `, right is ${named(one, one.target)}`;
    }
    if (one.head) {
      const fold = make("details");
      fold.append(make("summary", "", "What stands before it in the prompt"), make("pre", "", one.head));
      parts.push(fold);
    }
    parts.push(make("pre", "prompt", one.prompt.trim()));
    detail.replaceChildren(...parts, ...(one.choices.length ? choicesOf(one) : textsOf(one)));
  }

  function choicesOf(one) {
    const shares = {};
    for (const who of ["baseline", "variant"]) shares[who] = one[who].logprobs && softmax(one[who].logprobs);
    const title = one.moved < 0
      ? "Choices; their log-likelihoods were not kept"
      : `Choices, with their shares of the likelihood. KL divergence ${one.moved.toFixed(4)} nats`;
    const box = make("div", "choices");
    one.choices.forEach((choice, index) => {
      const node = make("div", index === one.target ? "choice gold" : "choice");
      const said = make("p", "said", inPrompt(one, choice.trim()));
      if (index === one.target) said.append(make("span", "tag", "✓ the right one"));
      const body = make("div");
      const known = ["baseline", "variant"].filter((who) => shares[who] || one[who].answer !== null);
      body.append(said, ...known.map((who) => bar(one[who], who, index, shares[who])));
      node.append(make("span", "mark", letter(one, index) === choice.trim() ? "" : letter(one, index)), body);
      box.append(node);
    });
    return [make("h3", "", title), box];
  }

  /** `B. 42` where the choice is a letter of the prompt's own list */
  function inPrompt(one, choice) {
    if (choice.length > 2) return choice;
    return one.prompt.split("\n").find((line) => line.startsWith(`${choice}. `)) ?? choice;
  }

  /** Nothing stands where a share is not known: an empty bar would say 0. */
  function bar(given, who, index, shares) {
    const node = make("div", `bar ${who}${given.answer === index ? " chosen" : ""}`);
    node.append(make("span", "who", data[who]));
    const share = shares ? shares[index] : undefined;
    if (share === undefined) {
      node.append(make("span", "much", given.answer === index ? "◂ the answer" : ""));
      return node;
    }
    const track = make("div", "track"), fill = make("div", "fill"), much = make("span", "much");
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    const nats = make("span", "nats", `(${given.logprobs[index].toFixed(2).replace("-", "−")})`);
    much.append(`${(100 * share).toFixed(1)} % `, nats, given.answer === index ? " ◂" : "");
    node.append(track, much);
    return node;
  }

  function textsOf(one) {
    const box = make("div", "texts");
    for (const who of ["baseline", "variant"]) {
      const given = one[who], part = make("div");
      part.append(make("h3", "", `${data[who]}, ${given.right ? "right" : "wrong"}`));
      part.append(make("pre", "", given.text ?? "The text was not kept."));
      if (given.answer !== null) part.append(make("h3", "", `Taken for the answer: ${named(one, given.answer)}`));
      box.append(part);
    }
    return one.target === null ? [box] : [make("h3", "", "Right answer"), make("pre", "", String(one.target)), box];
  }

  for (const [name, words] of FILTERS) {
    const button = make("button", "", words);
    button.type = "button";
    button.id = `filter-${name}`;
    button.append(make("span"));
    button.setAttribute("aria-pressed", String(name === filter));
    button.addEventListener("click", () => {
      byId(`filter-${filter}`).setAttribute("aria-pressed", "false");
      filter = name;
      button.setAttribute("aria-pressed", "true");
      choose();
    });
    byId("filters").append(button);
  }
  let pause = 0;
  search.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(choose, PAUSE_MS); });
  sort.addEventListener("change", choose);
  list.addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later);
  list.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -shown.length, End: shown.length };
    if (!(event.key in step)) return;
    event.preventDefault();
    pick(chosen + step[event.key]);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
    if (event.key === "Escape" && document.activeElement === search) { search.value = ""; choose(); list.focus(); }
  });
  choose();
})();
