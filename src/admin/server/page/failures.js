// The feed of failed calls: the last ones that the server has, and those that happen while somebody looks.

import { clock, decisionWord, element, latency, number, plain, say, scopeWord, wait } from "/words.js";

/** As many as a person reads; the log has them all. */
const SHOWN_MAX = 100;

const list = document.getElementById("failures");
const text = document.getElementById("failure-text");
const reason = document.getElementById("failure-reason");

/** Newest first. */
let failures = [];
let missing = 0;
let drawn = false;

/** One failure as an element. */
function item(failure) {
  const line = element("li", {}, element("time", { datetime: new Date(failure.at).toISOString() }, clock(failure.at)), element("b", {}, plain(failure.reason)));
  const status = failure.status ? `HTTP ${failure.status}` : "no answer";
  const code = failure.code ? `, ${failure.code}` : "";
  const hint = failure.hint_ms ? `, asked to stay away for ${wait(failure.hint_ms)}` : "";
  line.append(`${failure.provider}/${failure.key} · ${failure.model} · ${status}${code} · blocks ${scopeWord(failure.scope)}${hint} · ${decisionWord(failure.decision)} after ${latency(failure.took_ms)}`);
  if (failure.message) line.append(element("span", { class: "message" }, failure.message));
  return line;
}

function matches(failure) {
  if (reason.value && failure.reason !== reason.value) return false;
  const wanted = text.value.trim().toLowerCase();
  const words = `${failure.provider}/${failure.key} ${failure.model} ${failure.message} ${failure.code ?? ""} ${failure.request_id ?? ""}`;
  return words.toLowerCase().includes(wanted);
}

function draw() {
  drawn = true;
  const known = new Set([...reason.options].map((option) => option.value));
  for (const failure of failures) {
    if (known.has(failure.reason)) continue;
    known.add(failure.reason);
    reason.append(element("option", { value: failure.reason }, plain(failure.reason)));
  }
  const shown = failures.filter(matches);
  list.replaceChildren(...shown.map(item));
  document.getElementById("failures-none").hidden = failures.length > 0;
  const lost = missing > 0 ? `; ${number(missing)} events were missed` : "";
  say(document.getElementById("failure-count"), failures.length > 0 ? `showing ${shown.length} of the last ${failures.length}${lost}` : "");
}

function changed() {
  if (!drawn) return;
  drawn = false;
  // A storm of failures is drawn once a second.
  setTimeout(draw, 1000);
}

text.addEventListener("input", draw);
reason.addEventListener("change", draw);

/** What the server has, after a connection was made: nothing is there twice. */
export function begin(report) {
  failures = report.failures.reverse();
  missing = report.lost;
  draw();
}

/** Something that has just happened. */
export function note(event) {
  if (event.event === "lost") missing += event.count;
  else failures = [event, ...failures].slice(0, SHOWN_MAX);
  changed();
}

/** The last failures of a key, for its dialog. */
export function ofKey(provider, key, most) {
  return failures.filter((failure) => failure.provider === provider && failure.key === key).slice(0, most).map(item);
}
