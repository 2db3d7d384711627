// The page: asks for the state of things, hears what happens, and gives orders. Everything comes from the same
// address, and whatever is shown is text.

import { draw, forgetColours, History } from "/chart.js";
import * as failures from "/failures.js";
import * as keyDialog from "/dialog.js";
import * as keys from "/keys.js";
import { element, latency, number, say, stateClass, stateWord, wait } from "/words.js";

const POLL_MS = 2000;
const HISTORY_MS = 10000;
const ANSWER_WITHIN_MS = 10000;
/** An event is followed by a look at the status, and a storm of them by few looks. */
const AFTER_EVENT_MS = 250;
const RETRY_MS = 3000;
const TOLD_MS = 20000;

const at = (id) => document.getElementById(id);
const history = new History();
const cards = new Map();
let status = null;
let ahead = 0;
let events = null;
let polling = null;
let historyAt = 0;
let telling = null;
let draining = false;

/** Now, by the server's clock. */
const now = () => Date.now() + ahead;

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Asks the server; an answer that isn't one is an error with its words. */
async function ask(path, body) {
  const post = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body ?? {}) };
  const options = body === undefined ? {} : post;
  const answer = await fetch(path, { ...options, signal: AbortSignal.timeout(path === "/v1/reload" ? 60000 : ANSWER_WITHIN_MS) });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, told.error ?? `the server answers with ${answer.status}`);
  return told;
}

/** Tells a result, aloud too, for long enough to be read. */
function tell(words) {
  clearTimeout(telling);
  say(at("told"), "");
  // Said again it must be another text, or nobody hears it.
  requestAnimationFrame(() => say(at("told"), words));
  telling = setTimeout(() => say(at("told"), ""), TOLD_MS);
}

function line(kind, words) {
  if (at("line").className !== `line ${kind}`) at("line").className = `line ${kind}`;
  say(at("line"), words);
}

function tiles(report) {
  const sum = (list, value) => list.reduce((total, item) => total + value(item), 0);
  const all = report.providers.flatMap((provider) => provider.keys);
  const count = (state) => all.filter((key) => key.status === state).length;
  const minute = [...history.providers.values()].reduce((total, series) => {
    const last = (list) => list.slice(-7).reduce((sum, value) => sum + value, 0);
    return { calls: total.calls + last(series.calls), succeeded: total.succeeded + last(series.succeeded) };
  }, { calls: 0, succeeded: 0 });
  const told = {
    "calls, last minute": number(minute.calls),
    "of them succeeded": number(minute.succeeded),
    "under way": number(sum(report.providers, (provider) => provider.in_flight)),
    "waiting": number(sum(report.providers, (provider) => provider.queued)),
    "fell back": number(sum(report.providers, (provider) => provider.fell_over)),
    "keys active": number(count("active")),
    "rate limited": number(count("rate_limited")),
    "failed": number(count("failed")),
    "disabled": number(count("disabled")),
  };
  facts(at("tiles"), told);
}

/** Fills a list of names and values, changing what changed. */
function facts(list, told) {
  const names = Object.keys(told);
  if (list.childElementCount !== names.length) {
    list.replaceChildren(...names.map((name) => element("div", {}, element("dt", {}, name), element("dd"))));
  }
  names.forEach((name, index) => {
    const [term, value] = list.children[index].children;
    say(term, name);
    say(value, told[name]);
  });
}

function card(id) {
  const parts = { state: element("span"), why: element("span", { class: "why" }), canvas: element("canvas", { class: "strip", role: "img" }), facts: element("dl", { class: "facts" }) };
  parts.item = element("li", {}, element("div", { class: "top" }, element("h3", {}, id), parts.state, parts.why), parts.facts, parts.canvas);
  cards.set(id, parts);
  return parts;
}

function provider(report) {
  const parts = cards.get(report.id) ?? card(report.id);
  say(parts.state, stateWord(report.state));
  if (parts.state.className !== stateClass(report.state)) parts.state.className = stateClass(report.state);
  say(parts.why, report.until && report.until > now() ? `for ${wait(report.until - now())}` : "");
  const series = history.providers.get(report.id);
  const active = report.keys.filter((key) => key.status === "active").length;
  facts(parts.facts, {
    "keys active": `${number(active)} of ${number(report.keys.length)}`,
    "under way": number(report.in_flight),
    "waiting": number(report.queued),
    "fell back": number(report.fell_over),
    p50: latency(series?.p50_ms),
    p95: latency(series?.p95_ms),
  });
  return parts.item;
}

function charts() {
  for (const [id, { canvas }] of cards) {
    const series = history.providers.get(id);
    if (!series) continue;
    const most = { up: Math.max(1, ...series.succeeded), down: Math.max(1, ...series.throttled.map((count, bin) => count + series.failed[bin])) };
    draw(canvas, series, most, { width: canvas.clientWidth, height: canvas.clientHeight });
    const sum = (list) => number(list.reduce((total, value) => total + value, 0));
    canvas.setAttribute("aria-label", `The last minutes: ${sum(series.calls)} calls, ${sum(series.throttled)} throttled, ${sum(series.failed)} failed`);
  }
}

function show(report) {
  status = report;
  ahead = report.at - Date.now();
  at("login").hidden = true;
  at("board").hidden = false;
  at("reload").hidden = false;
  at("logout").hidden = sessionStorage.getItem("token-shown") === null;
  const { verb, pid, since } = report.source;
  say(at("process"), `keywheel ${verb}, process ${pid}, for ${wait(Math.max(0, report.at - since))}`);
  at("notice").hidden = report.not_durable === null;
  if (report.not_durable !== null) say(at("notice"), `Nothing is kept for the next start: ${report.not_durable}`);
  tiles(report);
  const items = report.providers.map(provider);
  const list = at("providers");
  if (items.length !== list.childElementCount || items.some((item, index) => list.children[index] !== item)) list.replaceChildren(...items);
  keys.show(report.providers.flatMap(({ id, keys }) => keys.map((key) => ({ ...key, provider: id }))), now());
  keyDialog.refresh(now(), history);
}

function logIn() {
  stop();
  at("board").hidden = true;
  at("reload").hidden = true;
  at("login").hidden = false;
  line("waiting", "Not logged in");
  at("token").focus();
}

function lost(error) {
  draining = false;
  if (error instanceof Refusal && error.code === 401) return logIn();
  line("lost", "Connection lost: what is shown may be old. Trying again…");
  return undefined;
}

/** Asks for status, and for work if it is time. */
async function look() {
  clearTimeout(polling);
  polling = null;
  try {
    if (Date.now() - historyAt >= HISTORY_MS) {
      history.take(await ask(`/v1/history?since=${Math.floor(history.since())}`));
      historyAt = Date.now();
      keys.work(now(), history);
      show(await ask("/v1/status"));
      charts();
    } else show(await ask("/v1/status"));
    if (draining) line("lost", "Draining: nothing new is taken, and keywheel is about to end");
    else if (events?.readyState === EventSource.OPEN) line("live", "Live");
    else follow();
  } catch (error) {
    lost(error);
    if (at("login").hidden) polling = setTimeout(look, RETRY_MS);
    return;
  }
  if (!document.hidden) polling = setTimeout(look, POLL_MS);
}

let afterEvent = null;

function happened(event) {
  if (event.event === "draining") {
    draining = true;
    events.close();
  }
  if (event.event === "call_failed" || event.event === "lost") failures.note(event);
  if (event.event === "reloaded") historyAt = 0;
  afterEvent ??= setTimeout(() => {
    afterEvent = null;
    if (polling !== null) look();
  }, AFTER_EVENT_MS);
}

/** Hears what happens, from the moment on at which the last failures are known. */
function follow() {
  if (events !== null && events.readyState !== EventSource.CLOSED) return;
  events = new EventSource("/v1/events");
  events.onopen = async () => {
    try {
      failures.begin(await ask("/v1/failures"));
      line("live", "Live");
    } catch (error) {
      lost(error);
    }
  };
  events.onmessage = (message) => happened(JSON.parse(message.data));
  events.onerror = () => line("lost", "Connection lost: what is shown may be old. Trying again…");
}

function stop() {
  clearTimeout(polling);
  polling = null;
  events?.close();
  events = null;
}

at("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  say(at("login-wrong"), "");
  try {
    await ask("/v1/login", { token: at("token").value });
    at("token").value = "";
    sessionStorage.setItem("token-shown", "yes");
    historyAt = 0;
    await look();
    at("keys-title").focus();
  } catch (error) {
    say(at("login-wrong"), `Not logged in: ${error.message}`);
    at("token").focus();
  }
  button.disabled = false;
});

at("logout").addEventListener("click", async () => {
  await ask("/v1/logout", {}).catch(() => {});
  sessionStorage.removeItem("token-shown");
  logIn();
});

at("reload").addEventListener("click", async () => {
  at("reload").disabled = true;
  try {
    const { changes } = await ask("/v1/reload", {});
    tell(changes.length > 0 ? `The configuration was read again: ${changes.join("; ")}` : "The configuration was read again: nothing has changed");
    historyAt = 0;
    await look();
  } catch (error) {
    tell(`The configuration stays as it was: ${error.message}`);
  }
  at("reload").disabled = false;
});

keys.whenOpened((key) => keyDialog.open(key, now(), history));
keyDialog.whenOrdered(async (key, order, done) => {
  const { not_durable: why } = await ask("/v1/order", { key: { provider: key.provider, key: key.name }, order });
  tell(why === null ? done : `${done}, until the next start: ${why}`);
  await look();
});

document.addEventListener("visibilitychange", () => !document.hidden && at("login").hidden && look());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  forgetColours();
  keys.work(now(), history);
  charts();
  keyDialog.refresh(now(), history);
});
setInterval(() => {
  if (document.hidden || status === null) return;
  keys.tick(now());
  keyDialog.refresh(now(), history);
  for (const report of status.providers) if (report.until) provider(report);
}, 1000);
look();
