/* Numbers as harness/render/words.py says them; a test holds the two against each other. */
bench.words = (() => {
  const MOST_DIGITS = 3, DIGITS_WITHOUT_INTERVAL = 2, EXACT_DIGITS = 3, FINE_MANTISSA = 1.5, SMALL_NATS = 1e-3;
  const MULTIPLES_FROM = 1.5, WIDTH = 2;
  const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December"];

  const power = (value) => (value ? Math.floor(Math.log10(Math.abs(value))) : 0);

  /** Half to even where the decimals are exactly a half, as Python rounds. */
  function fixed(value, digits) {
    const long = Math.abs(value).toFixed(Math.min(100, digits + 40));
    const cut = long.length - Math.min(100, digits + 40) + digits;
    const head = long.slice(0, digits ? cut : cut - 1), tail = long.slice(cut).replace(".", "");
    const even = "02468".includes(head.at(-1));
    const text = /^50*$/.test(tail) && even ? head : Math.abs(value).toFixed(digits);
    const up = /^50*$/.test(tail) && !even ? String((Number(head) + 10 ** -digits).toFixed(digits)) : text;
    return (value < 0 && Number(up) !== 0 ? "-" : "") + up;
  }

  /** Rounded to a power of ten, as a number. */
  function rounded(value, place) {
    return place <= 0 ? Number(fixed(value, -place)) : Number(fixed(value / 10 ** place, 0)) * 10 ** place;
  }

  function number(value, place) {
    const text = fixed(rounded(value, place), Math.max(0, -place));
    const [whole, part] = text.split(".");
    return (whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part === undefined ? "" : `.${part}`)).replace("-", "−");
  }

  function lastPlace(value, low, high, empty = null, exact = false) {
    const size = power(value);
    if (exact) return size - EXACT_DIGITS + 1;
    if (low === null || high === null) return size - DIGITS_WITHOUT_INTERVAL + 1;
    const half = (high - low) / 2;
    if (half <= 0) return size - EXACT_DIGITS + 1;
    const finest = Math.max(size, power(half)) - MOST_DIGITS + 1;
    const fine = half / 10 ** power(half) < FINE_MANTISSA ? 1 : 0;
    const place = Math.max(power(half) - fine, finest);
    return hides(place, low, high, empty) ? Math.max(place - 1, finest) : place;
  }

  function hides(place, low, high, empty) {
    const [a, b] = [rounded(low, place), rounded(high, place)];
    if (a === b) return true;
    return empty !== null && !(low <= empty && empty <= high) && a <= empty && empty <= b;
  }

  function span(low, high, place) {
    const [a, b] = [number(low, place), number(high, place)];
    return (a + b).includes("−") ? `${a} to ${b}` : `${a}–${b}`;
  }

  /** [factor, unit] of a metric at about this value. */
  function scaled(metric, value) {
    const [from, factor, unit] = metric.scale[0];
    return from && value >= from ? [factor, unit] : metric.scale[1].slice(1);
  }

  function quantity(metric, value, low = null, high = null) {
    let [factor, unit] = scaled(metric, value);
    if (unit === "nats" && Math.abs(value) > 0 && Math.abs(value) < SMALL_NATS) {
      const exponent = power(value);
      [factor, unit] = [10 ** -exponent, `× 10${[...String(exponent)].map((c) => SUPERSCRIPT[c]).join("")} nats`];
    }
    const shown = value * factor;
    let place = lastPlace(shown, low === null ? null : low * factor, high === null ? null : high * factor, null, metric.counted);
    if (shown) place = Math.min(place, power(shown));
    return `${number(shown, place)} ${unit}`.trim();
  }

  /** Several values with one unit: `19.6, 19.5, 19.8 tok/s`, with the digits that tell them apart. */
  function several(metric, values, between = ", ") {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const [factor, unit] = scaled(metric, high);
    const half = Math.max(high - low, Math.abs(high) * 0.002) * factor / 2;
    const place = lastPlace(high * factor, high * factor - half, high * factor + half, null, metric.counted);
    return `${values.map((value) => number(value * factor, place)).join(between)} ${unit}`.trim();
  }

  /** One night's value, with the digits that the spread from night to night leaves. */
  function ofNight(series, value) {
    const metric = bench.all.metrics[series.metric];
    if (!series.spread) return quantity(metric, value);
    const half = Math.abs(value) * WIDTH * series.spread;
    return quantity(metric, value, value - half, value + half);
  }

  /** A small share in percent, with two digits. */
  const share = (value) => `${number(100 * value, lastPlace(100 * value, null, null))} %`;

  function times(ratio, low, high, exact = false) {
    const place = lastPlace(ratio, low, high, 1, exact);
    if (low === null || high === null || exact) return `${number(ratio, place)}×`;
    return `${number(ratio, place)}× (${span(low, high, place)})`;
  }

  function points(diff) {
    const d = 100 * diff, place = lastPlace(d, null, null, 0);
    const word = Math.abs(rounded(d, place)) === 1 ? "point" : "points";
    return `${rounded(d, place) > 0 ? "+" : ""}${number(d, place)} ${word}`;
  }

  /** What a ratio means: [phrase, interval in the same terms or null]. */
  function gain(metric, ratio, low, high) {
    if (metric.exact && ratio === 1) return ["the same", null];
    if (!metric.exact && low !== null && high !== null && low <= 1 && 1 <= high) {
      const place = lastPlace(ratio, low, high);
      return [`no difference seen: ${number(ratio, place)}×`, span(low, high, place)];
    }
    const [better, worse] = metric.words;
    const word = (ratio < 1) === metric.lower ? better : worse;
    const factor = ratio >= 1 ? ratio : ratio > 0 ? 1 / ratio : 1;
    if (metric.multiples && factor >= MULTIPLES_FROM) return multiple(metric, factor, ratio, low, high, word);
    let percent = 100 * (ratio - 1), [a, b] = low === null || high === null ? [null, null] : [100 * (low - 1), 100 * (high - 1)];
    if (percent < 0) [percent, a, b] = [-percent, b === null ? null : -b, a === null ? null : -a];
    const place = lastPlace(percent, a, b, 0, metric.exact);
    return [`${number(percent, place)} % ${word}`, metric.exact || a === null ? null : span(a, b, place)];
  }

  function multiple(metric, factor, ratio, low, high, word) {
    const known = low !== null && high !== null;
    const [a, b] = !known ? [null, null] : ratio >= 1 ? [low, high] : [1 / high, 1 / low];
    const place = lastPlace(factor, a, b, 1, metric.exact);
    return [`${number(factor, place)}× ${word}`, known && !metric.exact ? span(a, b, place) : null];
  }

  const iso = (at) => new Date(at * 1e3).toISOString();
  const day = (at) => iso(at).slice(0, 10);
  const clock = (at) => `${iso(at).slice(11, 16)} UTC`;

  function date(at) {
    const [year, month, number] = day(at).split("-").map(Number);
    return `${number} ${MONTHS[month - 1]} ${year}`;
  }

  /** `14 Nov`, with the year where it is not the one of the page. */
  function shortDate(at) {
    const [year, month, number] = day(at).split("-").map(Number);
    const same = day(bench.all.end).startsWith(`${year}-`);
    return `${number} ${MONTHS[month - 1].slice(0, 3)}${same ? "" : ` ${year}`}`;
  }

  const whole = (count) => number(count, 0);
  const many = (count, one, more) => `${whole(count)} ${count === 1 ? one : more || `${one}s`}`;

  return { MONTHS, quantity, several, ofNight, share, times, points, gain, number, lastPlace, scaled, day, date, shortDate, clock, whole, many };
})();
