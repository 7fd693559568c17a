/* A series as a chart: uPlot draws axes and points; levels, changes, cuts and gaps are drawn beside them. */
bench.chart = (() => {
  const HEIGHT = 340, LOW = 260, NARROW = 600, FEW = 160, CALM = 0.03;
  const COLOURS = ["ink", "muted", "rule", "wash", "accent", "base", "lost", "won", "warn", "paper"];

  /** CSS variables as colours a canvas knows. */
  function palette(host) {
    const probe = bench.make("span", "unseen");
    host.append(probe);
    const found = {};
    for (const name of COLOURS) {
      probe.style.color = `var(--${name})`;
      found[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    return found;
  }

  /** told: `{one, data, times, zoom(from, to), choose(at)}`; returns what the page needs of the chart. */
  function create(host, told) {
    const state = { ...told, chosen: -1, colours: palette(host), host, unit: unit(told) };
    const plot = new window.uPlot(options(state), columns(state), host);
    state.plot = plot;
    plot.over.addEventListener("click", () => {
      if (plot.cursor.idx !== null && plot.cursor.idx !== undefined) state.choose(state.shown[plot.cursor.idx]);
    });
    const watch = new ResizeObserver(() => plot.setSize(box(host)));
    watch.observe(host);
    return {
      choose(at) { state.chosen = at; plot.redraw(false); },
      range(from, to) { plot.setScale("x", { min: from, max: to }); },
      colours() { state.colours = palette(host); plot.redraw(false, true); },
      destroy() { watch.disconnect(); plot.destroy(); },
    };
  }

  const box = (host) => ({ width: Math.max(host.clientWidth, 240), height: host.clientWidth < NARROW ? LOW : HEIGHT });

  /** One unit for the whole chart. */
  function unit({ one, data }) {
    const known = data.value.filter((value) => value !== null);
    const [factor, name] = bench.words.scaled(bench.all.metrics[one.metric], known.length ? Math.max(...known) : 0);
    return { factor, name };
  }

  /** Times, plain values, doubtful values; nights without a value are drawn at the bottom. */
  function columns(state) {
    const { data, times, unit: { factor } } = state;
    state.shown = data.value.map((_, at) => at);
    const side = (doubtful) => data.value.map((value, at) => (value !== null && data.marks[at] >= 0 === doubtful ? value * factor : null));
    return [times, side(false), side(true)];
  }

  function options(state) {
    const c = () => state.colours, font = "12px system-ui, sans-serif";
    const points = (fill, stroke) => ({ show: true, size: size(state), width: 1.2, fill: () => fill(c()), stroke: () => stroke(c()) });
    return {
      ...box(state.host),
      tzDate: (at) => window.uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 9, width: 2, fill: () => c().paper, stroke: () => c().accent },
        y: false, bind: { dblclick: () => () => { state.zoom(null); return null; } } },
      scales: { x: { time: true, range: (plot, from, to) => [from, to] }, y: { range: (plot, low, high) => padded(state, low, high) } },
      axes: [
        { stroke: () => c().muted, font, grid: { stroke: () => c().rule, width: 1 }, ticks: { stroke: () => c().rule, width: 1, size: 5 }, values: dates },
        { stroke: () => c().muted, font, size: 58, grid: { stroke: () => c().rule, width: 1 }, ticks: { show: false }, values: (plot, at) => numbers(at) },
      ],
      series: [{},
        { paths: () => null, points: points((x) => x.accent, (x) => x.accent) },
        { paths: () => null, points: points((x) => x.paper, (x) => x.accent) }],
      hooks: {
        drawClear: [(plot) => background(plot, state)],
        draw: [(plot) => foreground(plot, state)],
        setCursor: [(plot) => state.hover(plot.cursor.idx ?? null)],
        setSelect: [(plot) => selected(plot, state)],
      },
    };
  }

  /** Dots get smaller where there are many. */
  function size(state) {
    return state.times.length > 600 ? 3.5 : state.times.length > 200 ? 4.5 : 6;
  }

  function selected(plot, state) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    state.zoom(from, to);
  }

  /** Room above and below, and no more magnification than makes sense of what stays the same. */
  function padded(state, low, high) {
    if (low === null || high === null) return [0, 1];
    const least = CALM * Math.max(Math.abs(low), Math.abs(high)) || 1;
    const extra = Math.max((high - low) * 0.1, (least - (high - low)) / 2);
    return [low - extra * 1.25, high + extra];
  }

  function dates(plot, splits) {
    const step = splits.length > 1 ? splits[1] - splits[0] : 0;
    let year = "";
    return splits.map((at) => {
      const [y, m, d] = bench.words.day(at).split("-");
      const name = bench.words.MONTHS[m - 1].slice(0, 3);
      const first = y !== year;
      year = y;
      const text = step >= 86400 * 27 ? name : `${Number(d)} ${name}`;
      return step >= 86400 * 360 ? y : first ? `${text}\n${y}` : text;
    });
  }

  function numbers(splits) {
    const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) : 1;
    const place = Math.floor(Math.log10(step) + 1e-9);
    return splits.map((value) => bench.words.number(value, place));
  }

  const x = (plot, at) => Math.round(plot.valToPos(at, "x", true));
  const y = (plot, value) => plot.valToPos(value, "y", true);

  /** Where a change may lie, and nights without a value. */
  function background(plot, state) {
    const { ctx, bbox } = plot, { data, times, colours } = state;
    clipped(plot, () => {
      for (const gap of data.gaps) {
        const [from, to] = gapTimes(gap, times);
        ctx.globalAlpha = gap.alert ? 0.22 : 0.13;
        ctx.fillStyle = gap.alert ? colours.lost : colours.base;
        ctx.fillRect(x(plot, from), bbox.top, Math.max(x(plot, to) - x(plot, from), 2), bbox.height);
      }
      ctx.globalAlpha = 0.12;
      for (const one of data.changes) {
        ctx.fillStyle = tint(one, colours);
        const [from, to] = [x(plot, times[Math.max(one.earliest - 1, 0)]), x(plot, times[Math.min(one.latest, times.length - 1)])];
        ctx.fillRect(from, bbox.top, Math.max(to - from, 2), bbox.height);
      }
    });
  }

  /** From the point before a gap to the one after it. */
  function gapTimes(gap, times) {
    const last = times.length - 1, end = bench.all.end;
    const after = gap.first + gap.points;
    return [times[Math.min(Math.max(gap.first - 1, 0), last)], after > last ? end : times[after]];
  }

  const tint = (one, colours) => (!one.worse ? colours.won : one.acknowledged ? colours.base : one.tier === "alert" ? colours.lost : colours.warn);

  function foreground(plot, state) {
    clipped(plot, () => {
      rounds(plot, state);
      levels(plot, state);
      lines(plot, state);
      failures(plot, state);
      chosen(plot, state);
    });
  }

  /** From the lowest to the highest round of a night, where there is room to see it. */
  function rounds(plot, state) {
    const { ctx } = plot, { data, times, unit: { factor }, colours } = state, { min, max } = plot.scales.x;
    const inside = times.flatMap((at, i) => (at >= min && at <= max && data.rounds[i].length > 1 ? [i] : []));
    if (inside.length > FEW) return;
    ctx.strokeStyle = colours.accent;
    ctx.globalAlpha = 0.4;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    for (const i of inside) {
      ctx.moveTo(x(plot, times[i]) + 0.5, y(plot, Math.min(...data.rounds[i]) * factor));
      ctx.lineTo(x(plot, times[i]) + 0.5, y(plot, Math.max(...data.rounds[i]) * factor));
    }
    ctx.stroke();
  }

  function levels(plot, { data, times, unit: { factor }, colours }) {
    const { ctx } = plot;
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colours.ink;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.beginPath();
    for (const [first, last, value] of data.levels) {
      ctx.moveTo(x(plot, times[first]), y(plot, value * factor));
      ctx.lineTo(x(plot, times[last]), y(plot, value * factor));
    }
    ctx.stroke();
  }

  function lines(plot, { data, times, colours }) {
    const { ctx, bbox } = plot;
    const line = (at, colour, dash, width) => {
      if (at >= times.length) return;
      ctx.strokeStyle = colour;
      ctx.lineWidth = width * devicePixelRatio;
      ctx.setLineDash(dash.map((part) => part * devicePixelRatio));
      ctx.beginPath();
      ctx.moveTo(x(plot, times[at]) + 0.5, bbox.top);
      ctx.lineTo(x(plot, times[at]) + 0.5, bbox.top + bbox.height);
      ctx.stroke();
    };
    for (const cut of data.cuts) line(cut.at, colours.muted, [2, 3], 1);
    for (const one of data.changes) line(one.at, tint(one, colours), one.tier === "alert" ? [] : [6, 3], one.tier === "alert" ? 2 : 1.5);
    ctx.setLineDash([]);
  }

  /** Nights whose cell gave no value: crosses at the bottom. */
  function failures(plot, { data, times, colours }) {
    const { ctx, bbox } = plot, r = 3 * devicePixelRatio, bottom = bbox.top + bbox.height - 2 * r;
    ctx.strokeStyle = colours.warn;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.beginPath();
    data.value.forEach((value, at) => {
      if (value !== null) return;
      const left = x(plot, times[at]);
      ctx.moveTo(left - r, bottom - r); ctx.lineTo(left + r, bottom + r);
      ctx.moveTo(left + r, bottom - r); ctx.lineTo(left - r, bottom + r);
    });
    ctx.stroke();
  }

  function chosen(plot, { data, times, chosen: at, unit: { factor }, colours }) {
    if (at < 0) return;
    const { ctx, bbox } = plot, value = data.value[at];
    ctx.strokeStyle = colours.ink;
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.beginPath();
    ctx.arc(x(plot, times[at]), value === null ? bbox.top + bbox.height - 6 * devicePixelRatio : y(plot, value * factor), 6 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.stroke();
  }

  function clipped(plot, paint) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    paint();
    ctx.restore();
  }

  return { create, gapTimes };
})();
