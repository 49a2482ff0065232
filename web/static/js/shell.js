// What every page has: theme, help, keys between pages, the number of firing alerts.

import { ask, poll } from "./lib/api.js";
import { $, fill, h } from "./lib/dom.js";
import * as keys from "./lib/keys.js";

const THEMES = ["auto", "light", "dark"];

function currentTheme() {
  return document.documentElement.dataset.theme ?? "auto";
}

function setTheme(theme) {
  try {
    if (theme === "auto") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // not kept then
  }
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  showTheme();
  document.dispatchEvent(new CustomEvent("themechange"));
}

function showTheme() {
  const label = `Colour theme: ${currentTheme()}`;
  $("theme-toggle").title = label;
  $("theme-toggle").setAttribute("aria-label", label);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.dispatchEvent(new CustomEvent("themechange"));
});
$("theme-toggle").addEventListener("click", () => {
  setTheme(THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length]);
});
showTheme();

function showHelp() {
  fill(
    $("help-keys"),
    keys.all().map(({ keys: k, text }) => [h("dt", {}, k.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, text)]),
  );
  $("help").showModal();
}
$("help-button").addEventListener("click", showHelp);
$("help").addEventListener("click", (event) => {
  if (event.target === $("help")) $("help").close();
});

for (const [key, path, name] of [
  ["t", "/", "Tasks"],
  ["l", "/logs", "Logs"],
  ["a", "/alerts", "Alerts"],
  ["q", "/query", "Query"],
  ["s", "/status", "Status"],
]) {
  keys.bind(`g ${key}`, name, () => location.assign(path));
}
keys.bind("?", "This help", showHelp);
keys.bind("/", "Filter or search", () => {
  $("filter")?.focus();
  $("filter")?.select?.();
});

poll(async (signal) => {
  const body = await ask("/api/v1/alerts", {}, { signal }).catch((error) => {
    if (error.status === 404) return { data: { alerts: [] } };
    throw error;
  });
  const firing = body.data.alerts.filter((alert) => alert.state === "firing").length;
  const badge = $("alert-badge");
  badge.hidden = firing === 0;
  badge.textContent = firing;
  badge.setAttribute("aria-label", `${firing} firing`);
}, 10);
