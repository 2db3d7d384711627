// Work of the last minutes as bars: up for what succeeded, down for what was throttled (hollow) or failed (filled).
// Position and shape say what colour says, too.

/** Bins on a chart; the server keeps as many, and the open one. */
export const BINS = 91;

/** Of a chart's height, what is above its base line. */
const ABOVE = 0.66;

let colours = null;

/** Reads the page's colours again, for another scheme. */
export function forgetColours() {
  colours = null;
}

function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    colours = { good: read("--accent"), throttled: read("--mixed"), bad: read("--bad"), line: read("--field") };
  }
  return colours;
}

/** The most that one bin of a series holds, upwards and downwards. */
export function peak(series) {
  let up = 0;
  let down = 0;
  for (let bin = 0; bin < series.calls.length; bin += 1) {
    up = Math.max(up, series.succeeded[bin]);
    down = Math.max(down, series.throttled[bin] + series.failed[bin]);
  }
  return { up, down };
}

/** Sums of a series. */
export function totals(series) {
  const sum = (list) => list.reduce((total, value) => total + value, 0);
  return { calls: sum(series.calls), succeeded: sum(series.succeeded), throttled: sum(series.throttled), failed: sum(series.failed) };
}

/** Draws a series; `most` is the scale, so that charts side by side can be compared. */
export function draw(canvas, series, most, size) {
  const ratio = globalThis.devicePixelRatio || 1;
  const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const { good, throttled, bad, line } = palette();
  context.clearRect(0, 0, width, height);
  const base = Math.round(height * ABOVE);
  const step = width / BINS;
  const bar = Math.max(1, step - Math.max(1, Math.round(step * 0.2)));
  // Calls are as tall above the line as below it, and even one of thousands can be seen.
  const call = Math.min((base - ratio) / most.up, (height - base - 2 * ratio) / most.down);
  const tall = (count) => (count > 0 ? Math.max(2 * ratio, count * call) : 0);
  const first = BINS - series.calls.length;
  for (let bin = 0; bin < series.calls.length; bin += 1) {
    const x = (first + bin) * step;
    const up = tall(series.succeeded[bin]);
    context.fillStyle = good;
    context.fillRect(x, base - up, bar, up);
    const wrong = tall(series.failed[bin]);
    context.fillStyle = bad;
    context.fillRect(x, base + ratio, bar, wrong);
    const slow = tall(series.throttled[bin]);
    if (slow > 0) {
      context.strokeStyle = throttled;
      context.lineWidth = Math.min(ratio, bar / 2);
      const inset = context.lineWidth / 2;
      context.strokeRect(x + inset, base + ratio + wrong + inset, Math.max(bar - 2 * inset, inset), Math.max(slow - 2 * inset, inset));
    }
  }
  context.fillStyle = line;
  context.fillRect(0, base, width, Math.max(1, Math.round(ratio / 2)));
}

/** Work by key, kept up to date by asking for what is new. */
export class History {
  constructor() {
    this.bins = [];
    this.keys = new Map();
    this.providers = new Map();
  }

  /** Since when the next question should be: the last bin was still open. */
  since() {
    return this.bins.length > 1 ? this.bins.at(-1) - 5000 : 0;
  }

  take(report) {
    // The dates of the same bin differ by a millisecond now and then.
    const kept = report.bins.length > 0 ? this.bins.filter((from) => from < report.bins[0] - report.bin_ms / 2).length : this.bins.length;
    const drop = Math.max(0, kept + report.bins.length - BINS);
    const join = (before, after) => (before ?? new Array(kept).fill(0)).slice(drop, kept).concat(after);
    const names = ["calls", "succeeded", "throttled", "failed"];
    const keys = new Map();
    for (const key of report.keys) {
      const id = `${key.provider}/${key.key}`;
      const before = this.keys.get(id);
      const series = { p50_ms: key.p50_ms, p95_ms: key.p95_ms, provider: key.provider };
      for (const name of names) series[name] = join(before?.[name], key[name]);
      keys.set(id, series);
    }
    this.keys = keys;
    this.bins = this.bins.slice(drop, kept).concat(report.bins);
    this.providers = new Map(report.providers.map((provider) => [provider.provider, this.ofProvider(provider)]));
  }

  /** The work of a provider is that of its keys. */
  ofProvider(provider) {
    const nothing = () => new Array(this.bins.length).fill(0);
    const all = { calls: nothing(), succeeded: nothing(), throttled: nothing(), failed: nothing(), most: { up: 1, down: 1 } };
    for (const series of this.keys.values()) {
      if (series.provider !== provider.provider) continue;
      const { up, down } = peak(series);
      all.most = { up: Math.max(all.most.up, up), down: Math.max(all.most.down, down) };
      for (const name of ["calls", "succeeded", "throttled", "failed"]) {
        for (let bin = 0; bin < this.bins.length; bin += 1) all[name][bin] += series[name][bin] ?? 0;
      }
    }
    return { ...all, p50_ms: provider.p50_ms, p95_ms: provider.p95_ms };
  }
}
