// The list of keys. Rows are made once and changed where something changed; what can't be seen isn't drawn.

import { draw, totals } from "/chart.js";
import { element, latency, many, number, say, stateClass, stateWord, why } from "/words.js";

const list = document.getElementById("keys");
const text = document.getElementById("key-text");
const status = document.getElementById("key-status");

/** Pixels of a chart, measured at one: measuring each of hundreds would lay out the page each time. */
let size = { width: 200, height: 36 };

/** By `provider/key`. */
const rows = new Map();
const visible = new Set();
let history = null;
let open = () => {};

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      visible.add(target.id);
      chart(rows.get(target.dataset.key));
    } else visible.delete(target.id);
  }
}, { rootMargin: "200px" });

new ResizeObserver(() => {
  const first = list.querySelector("li:not([hidden]) canvas");
  if (!first || first.clientWidth === 0 || first.clientWidth === size.width) return;
  size = { width: first.clientWidth, height: first.clientHeight };
  for (const row of rows.values()) if (visible.has(row.item.id)) chart(row);
}).observe(list);

function make(id, key) {
  const name = element("button", { type: "button", "aria-haspopup": "dialog" }, id);
  const small = element("small");
  const state = element("span");
  const reason = element("span", { class: "why" });
  const canvas = element("canvas", { class: "strip", role: "img" });
  const numbers = element("div", { class: "numbers soft" }, element("div"), element("div"));
  const item = element("li", {}, element("div", { class: "name" }, name, small), element("div", { class: "how" }, state, " ", reason), canvas, numbers);
  item.id = `row-${rows.size}-${Date.now()}`;
  item.dataset.key = id;
  const row = { id, key, item, small, state, reason, canvas, numbers };
  name.addEventListener("click", () => open(rows.get(id).key));
  watcher.observe(item);
  return row;
}

function chart(row) {
  const series = history?.keys.get(row?.id);
  if (!series) return;
  draw(row.canvas, series, history.providers.get(row.key.provider).most, size);
  const { calls, throttled, failed } = totals(series);
  const told = `The last minutes: ${many(calls, "call")}, ${number(throttled)} throttled, ${number(failed)} failed`;
  if (row.canvas.getAttribute("aria-label") !== told) row.canvas.setAttribute("aria-label", told);
}

/** The figures of a key's last minutes. */
export function figures(key, series) {
  const { calls, succeeded, throttled, failed } = series ? totals(series) : { calls: 0, succeeded: 0, throttled: 0, failed: 0 };
  const most = key.concurrency === null ? "" : ` of ${number(key.concurrency)}`;
  return {
    "calls, 15 min": number(calls),
    succeeded: number(succeeded),
    throttled: number(throttled),
    failed: number(failed),
    "under way": `${number(key.in_flight)}${most}`,
    p50: latency(series?.p50_ms),
    p95: latency(series?.p95_ms),
  };
}

/** The same in two lines, without what is nothing. */
function lines(key, series) {
  const { calls, throttled, failed } = series ? totals(series) : { calls: 0, throttled: 0, failed: 0 };
  const told = [many(calls, "call")];
  if (throttled > 0) told.push(`${number(throttled)} throttled`);
  if (failed > 0) told.push(`${number(failed)} failed`);
  const times = series?.p50_ms == null ? [] : [`p50 ${latency(series.p50_ms)}`, `p95 ${latency(series.p95_ms)}`];
  return [told.join(", "), [`${number(key.in_flight)} under way`, ...times].join(" · ")];
}

function update(row, now) {
  const { key } = row;
  say(row.small, [key.masked, key.quota_group].filter(Boolean).join(" · "));
  say(row.state, stateWord(key.status));
  if (row.state.className !== stateClass(key.status)) row.state.className = stateClass(key.status);
  say(row.reason, why(key, now));
  lines(key, history?.keys.get(row.id)).forEach((line, index) => say(row.numbers.children[index], line));
}

function matches({ id, key }) {
  const wanted = text.value.trim().toLowerCase();
  const words = `${id} ${key.masked ?? ""} ${key.quota_group ?? ""} ${(key.cause ?? "").replaceAll("_", " ")} ${key.cause ?? ""}`;
  const state = status.value === "troubled" ? key.status !== "active" : status.value === "" || key.status === status.value;
  return state && words.toLowerCase().includes(wanted);
}

/** Hides what isn't looked for. */
function filter() {
  let shown = 0;
  for (const row of rows.values()) {
    const wanted = matches(row);
    if (row.item.hidden === wanted) row.item.hidden = !wanted;
    if (wanted) shown += 1;
  }
  document.getElementById("keys-none").hidden = shown > 0;
  say(document.getElementById("key-count"), shown === rows.size ? `${number(rows.size)} keys` : `showing ${number(shown)} of ${number(rows.size)}`);
}

text.addEventListener("input", filter);
status.addEventListener("change", filter);

/** What to do when somebody opens a key. */
export function whenOpened(handler) {
  open = handler;
}

/** Takes a status: keys that came are added, keys that went are removed, the others stay where they are. */
export function show(keys, now) {
  const seen = new Set();
  let place = list.firstElementChild;
  for (const key of keys) {
    const id = `${key.provider}/${key.name}`;
    seen.add(id);
    const row = rows.get(id) ?? make(id, key);
    rows.set(id, row);
    row.key = key;
    update(row, now);
    if (row.item === place) place = place.nextElementSibling;
    else list.insertBefore(row.item, place);
  }
  for (const [id, row] of rows) {
    if (seen.has(id)) continue;
    watcher.unobserve(row.item);
    row.item.remove();
    rows.delete(id);
  }
  filter();
}

/** Counts down. */
export function tick(now) {
  for (const row of rows.values()) if (row.key.until) say(row.reason, why(row.key, now));
}

/** Takes new work, and draws what can be seen of it. */
export function work(now, latest) {
  history = latest;
  for (const row of rows.values()) {
    update(row, now);
    if (visible.has(row.item.id)) chart(row);
  }
}

/** A key as it is now. */
export const keyOf = (id) => rows.get(id)?.key;

/** Puts the focus back where a dialog was opened. */
export const focusOn = (id) => rows.get(id)?.item.querySelector("button").focus();
