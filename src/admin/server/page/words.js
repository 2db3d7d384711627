// Words and numbers for people. Whatever comes from outside becomes text, never markup.

/** Makes an element with text inside; `children` are elements or strings. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Sets a text if it is another one, so that nothing is laid out for nothing. */
export function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

const STATES = { active: "active", rate_limited: "rate limited", failed: "failed", disabled: "disabled", resting: "resting" };

export const stateWord = (state) => STATES[state] ?? state;

/** A class that is known, for a state that may be of a later version. */
export const stateClass = (state) => (state in STATES ? `state ${state}` : "state");

export const plain = (word) => word.replaceAll("_", " ");

const SCOPES = { key: "the key", group: "its quota group", lane: "one model", provider: "the provider", request: "the request", us: "ourselves" };

export const scopeWord = (scope) => SCOPES[scope] ?? scope;

const DECISIONS = { rotate: "tried again", fall_back: "fell back", return: "given back to the caller" };

export const decisionWord = (decision) => DECISIONS[decision] ?? decision;

const whole = new Intl.NumberFormat("en");

export const number = (value) => whole.format(value);

/** A number of things. */
export const many = (count, thing) => `${number(count)} ${thing}${count === 1 ? "" : "s"}`;

export function latency(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms === 0) return "under 1 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
}

/** A time still to wait, to the second below an hour. */
export function wait(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** The time of day, with the date if it isn't today. */
export function clock(ms) {
  const date = new Date(ms);
  const time = date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString()} ${time}`;
}

/** Why a key isn't active, what is blocked, and until when. */
export function why(key, now) {
  if (key.status === "active" && !key.scope) return "";
  const parts = [];
  if (key.status === "active") parts.push("its provider rests");
  if (key.cause) parts.push(plain(key.cause));
  if (key.scope && key.status !== "active" && key.cause !== "configuration") parts.push(scopeWord(key.scope));
  if (key.until) parts.push(key.until > now ? `for ${wait(key.until - now)}, until ${clock(key.until)}` : "about to be tried");
  else if (key.status !== "active") parts.push("until somebody acts");
  return parts.join(" · ");
}
