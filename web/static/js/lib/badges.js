// States and levels: always a word and a shape, never a colour alone.

import { h } from "./dom.js";

const TONES = {
  running: "good", healthy: "good", finished: "quiet", staging: "info", starting: "info",
  restarting: "warn", paused: "warn", unknown: "quiet", failed: "bad", unhealthy: "bad",
  killed: "quiet", lost: "warn", firing: "bad", pending: "warn", inactive: "quiet",
  ok: "good", up: "good", down: "bad", err: "bad", error: "bad", warn: "warn",
  pass: "good", fail: "bad",
};
const SHAPES = { good: "●", bad: "✕", warn: "▲", info: "◐", quiet: "○" };

export const tone = (word) => TONES[word] ?? "quiet";

export function badge(word, title = "") {
  const element = h("span", { class: "state" });
  setBadge(element, word, title);
  return element;
}

/** Change a badge only if its word changed. */
export function setBadge(element, word, title = "") {
  if (element.dataset.word === word && element.title === title) return;
  element.dataset.word = word;
  element.dataset.tone = tone(word);
  element.title = title;
  element.replaceChildren(h("i", { "aria-hidden": "true" }, SHAPES[tone(word)]), word);
}
