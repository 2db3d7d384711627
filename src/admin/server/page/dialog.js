// One key in full, and what can be done with it.

import { draw, peak } from "/chart.js";
import { ofKey } from "/failures.js";
import { figures, focusOn, keyOf } from "/keys.js";
import { element, say, stateClass, stateWord, why } from "/words.js";

const FAILURES_MAX = 5;

const at = (id) => document.getElementById(id);
const dialog = at("key");
let shown = null;
let order = async () => {};

const idOf = (key) => `${key.provider}/${key.name}`;

/** What to do with an order. */
export function whenOrdered(handler) {
  order = handler;
}

export function open(key, now, history) {
  shown = key;
  say(at("key-wrong"), "");
  ask(false);
  say(at("key-title"), idOf(key));
  at("key-state").replaceChildren(element("span"), " ", element("span", { class: "why" }));
  if (!dialog.open) dialog.showModal();
  refresh(now, history);
}

/** Shows the key as it is now. */
export function refresh(now, history) {
  if (shown === null) return;
  shown = keyOf(idOf(shown)) ?? shown;
  const [state, reason] = at("key-state").children;
  say(state, stateWord(shown.status));
  if (state.className !== stateClass(shown.status)) state.className = stateClass(shown.status);
  say(reason, why(shown, now));
  say(at("key-message"), shown.message ?? "");
  const series = history.keys.get(idOf(shown));
  const told = { ...figures(shown, series) };
  if (shown.masked) told.secret = shown.masked;
  if (shown.fingerprint) told.fingerprint = shown.fingerprint;
  if (shown.quota_group) told["quota group"] = shown.quota_group;
  const list = at("key-facts");
  const text = JSON.stringify(told);
  if (list.dataset.told !== text) {
    list.dataset.told = text;
    list.replaceChildren(...Object.entries(told).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  }
  if (series) {
    const { up, down } = peak(series);
    const canvas = at("key-chart");
    draw(canvas, series, { up: Math.max(1, up), down: Math.max(1, down) }, { width: canvas.clientWidth, height: canvas.clientHeight });
    canvas.setAttribute("aria-label", `The last minutes: ${told["calls, 15 min"]} calls, ${told.throttled} throttled, ${told.failed} failed`);
  }
  const failed = ofKey(shown.provider, shown.name, FAILURES_MAX);
  const newest = failed.map((item) => item.textContent).join();
  if (at("key-failures").dataset.told !== newest) {
    at("key-failures").dataset.told = newest;
    at("key-failures").replaceChildren(...failed);
  }
  at("key-failures-none").hidden = failed.length > 0;
  const isOff = shown.status === "disabled";
  for (const button of at("key-actions").querySelectorAll("[data-order]")) {
    button.hidden = button.dataset.order === "enable" ? !isOff : button.dataset.order !== "reset" && isOff;
  }
  at("rest-for").parentElement.hidden = isOff;
}

/** Shows the question instead of the buttons, or the other way round. */
function ask(question) {
  at("key-confirm").hidden = !question;
  at("key-actions").hidden = question;
}

async function give(what, done) {
  const key = shown;
  say(at("key-wrong"), "");
  const buttons = dialog.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  try {
    await order(key, what, done);
    dialog.close();
  } catch (error) {
    ask(false);
    say(at("key-wrong"), `Not done: ${error.message}`);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

at("key-actions").addEventListener("click", ({ target }) => {
  const id = shown && idOf(shown);
  switch (target.dataset.order) {
    case "rest": {
      const secs = Number(at("rest-for").value);
      give({ order: "rest", duration: { secs, nanos: 0 } }, `${id} rests for ${at("rest-for").selectedOptions[0].text}`);
      break;
    }
    case "reset":
      give({ order: "reset" }, `${id} begins anew: its rests and failures are forgotten`);
      break;
    case "enable":
      give({ order: "enable" }, `${id} is used again`);
      break;
    case "disable":
      say(at("key-question"), `Disable ${id}? It is called no more until somebody enables it, also after a restart. Calls under way end by themselves.`);
      ask(true);
      at("confirm-no").focus();
      break;
    default:
  }
});
at("confirm-no").addEventListener("click", () => {
  ask(false);
  at("key-actions").querySelector("[data-order=disable]").focus();
});
at("confirm-yes").addEventListener("click", () => give({ order: "disable" }, `${idOf(shown)} is disabled`));
at("key-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  // The browser tells it later: by then it may be open again, with another key.
  if (dialog.open) return;
  const id = shown && idOf(shown);
  shown = null;
  focusOn(id);
});
