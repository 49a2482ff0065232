// PromQL by hand: a graph or a table.

import "../shell.js";

import { ask, queryInstant, queryRange } from "../lib/api.js";
import { Chart, stepFor } from "../lib/chart.js";
import { $, copyButton, empty, fill, h, problem } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { fitting, oldestSample, RangePicker } from "../lib/range.js";

const MAX_LINES = 40;
const MAX_TABLE_ROWS = 500;
const MAX_COMPLETIONS = 12;
const EXAMPLES = [
  ["CPU by app", "sum by (app) (rate(container_cpu_usage_seconds_total[2m]))"],
  ["Memory by task", "sum by (task_name) (container_memory_working_set_bytes)"],
  ["Error lines per minute by app", '60 * sum by (app) (rate(log_lines_total{level=~"error|fatal"}[5m]))'],
  ["Targets that are down", "up == 0"],
];

const url = new URL(location.href);
const input = $("filter");
let view = url.searchParams.get("view") === "table" ? "table" : "graph";
let turn = 0;

const picker = new RangePicker($("range"), { initial: fitting(oldestSample, "1h"), onChange: () => run() });
const onZoom = (start, end) => picker.zoom(start, end);
const chart = new Chart({ unit: format.number, axisUnit: format.compact, height: 340, onZoom });
const bytesChart = new Chart({ unit: format.bytes, binary: true, height: 340, onZoom });
// what tells series apart only where nothing more telling does
const IDS = ["container_id", "task_id", "container_name", "framework", "cluster", "host", "namespace"];
const ORDER = ["__name__", "cluster", "host", "namespace", "app", "task_name"];

input.value = url.searchParams.get("expr") ?? "";

function remember() {
  const address = new URL(location.href);
  address.searchParams.set("expr", input.value.trim());
  address.searchParams.set("view", view);
  history.replaceState(null, "", address);
}

function showView() {
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === view);
}

async function run() {
  const expression = input.value.trim();
  showView();
  if (!expression) {
    fill($("result"), start());
    return;
  }
  remember();
  const mine = ++turn;
  $("result").setAttribute("aria-busy", "true");
  const began = performance.now();
  try {
    const shown = view === "graph" ? await graph(expression) : await tableOf(expression);
    if (mine !== turn) return;
    const took = Math.round(performance.now() - began);
    fill($("result"), h("p", { class: "result-head" }, `${shown.text} · ${took} ms`), shown.body);
    shown.draw?.();
  } catch (error) {
    if (mine === turn) fill($("result"), wrong(error));
  }
  if (mine === turn) $("result").setAttribute("aria-busy", "false");
}

function wrong(error) {
  const box = problem(error);
  box.classList.add("in-panel");
  return box;
}

async function graph(expression) {
  const { start, end } = picker.current();
  const step = stepFor(start, end, 300, 5);
  const range = { start: Math.floor(start / step) * step, end: Math.floor(end / step) * step, step };
  const result = await queryRange(expression, range, step);
  if (!result.length) return { text: "No series", body: empty("No data in this time", "Check the metric's name and labels, or choose a longer time range.") };
  const shown = result.slice(0, MAX_LINES);
  const telling = new Set(tellingLabels(shown.map(({ metric }) => metric)));
  const drawn = result.every(({ metric }) => metric.__name__?.endsWith("_bytes")) ? bytesChart : chart;
  const more = result.length > MAX_LINES ? `, the first ${MAX_LINES} are drawn` : "";
  return {
    text: `${format.plural(result.length, "series", "series")}${more}, step ${format.duration(step * 1000)}`,
    body: drawn.root,
    draw: () => drawn.draw(shown.map(({ metric, values }) => ({ label: seriesName(metric, telling), points: values })), range),
  };
}

async function tableOf(expression) {
  const { resultType, result } = await queryInstant(expression, picker.live ? undefined : picker.current().end);
  if (resultType === "scalar" || resultType === "string") return { text: resultType, body: table([], [{ metric: {}, value: result }]) };
  if (!result.length) return { text: "No series", body: empty("No data at this time", "Check the metric's name and labels.") };
  const rows = result.slice(0, MAX_TABLE_ROWS);
  const more = result.length > MAX_TABLE_ROWS ? `, the first ${MAX_TABLE_ROWS} are shown` : "";
  return { text: `${format.plural(result.length, "series", "series")}${more}`, body: table(tellingLabels(rows.map(({ metric }) => metric)), rows) };
}

/** The labels that tell series apart, without ids where names do; the whole series is each row's title. */
function table(names, rows) {
  return h(
    "div",
    { class: "scroll-x" },
    h(
      "table",
      { class: "list result-table" },
      h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name === "__name__" ? "metric" : name)), h("th", { scope: "col", class: "number" }, "Value"))),
      h(
        "tbody",
        {},
        rows.map(({ metric, value, values }) =>
          h(
            "tr",
            { title: seriesName(metric) },
            names.map((name) => h("td", {}, format.short(metric[name] ?? (name === "task_name" ? metric.task_id : "") ?? ""))),
            h("td", { class: "number" }, value ? valueCell(metric.__name__ ?? "", value[1]) : h("pre", {}, values.map(([t, v]) => `${v} @${t}`).join("\n"))),
          ),
        ),
      ),
    ),
  );
}

function valueCell(name, value) {
  const number = Number(value);
  if (!Number.isFinite(number)) return value;
  return [name.endsWith("_bytes") && h("span", { class: "muted" }, `${format.bytes(number)} = `), value];
}

/** The labels that differ among series; ids only where nothing else tells two of them apart. */
function tellingLabels(metrics) {
  const names = [...new Set(metrics.flatMap(Object.keys))];
  let telling = metrics.length === 1 ? names.filter((name) => name !== "__name__" && !("task_name" in metrics[0] && IDS.includes(name))) : names.filter((name) => new Set(metrics.map((metric) => metric[name])).size > 1);
  for (const id of metrics.length > 1 ? IDS : []) {
    const rest = telling.filter((name) => name !== id);
    if (rest.length && new Set(metrics.map((metric) => JSON.stringify(rest.map((name) => metric[name])))).size === metrics.length) telling = rest;
  }
  const rank = (name) => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1);
  return telling.sort((a, b) => rank(a) - rank(b));
}

/** A series as PromQL writes it; with `only`, a short form that names just these labels. */
function seriesName({ __name__: name = "", ...labels }, only = null) {
  const pairs = Object.entries(labels)
    .filter(([key]) => !only || only.has(key))
    .map(([key, value]) => `${key}="${only ? format.short(value) : value}"`);
  const shown = only && only.size && !only.has("__name__") ? "" : name;
  return pairs.length || !shown ? `${shown}{${pairs.join(", ")}}` : shown;
}

function start() {
  return empty(
    "Ask for any series in PromQL",
    "Type a metric's name and pick from the list, or start from one of these:",
    h("div", { class: "chips examples" }, EXAMPLES.map(([label, expression]) => h("button", { type: "button", class: "chip", onclick: () => ((input.value = expression), run()) }, label))),
  );
}

// ---------------------------------------------------------------- names while typing

let names = null;
let metadata = {};
let choice = 0;

async function loadNames() {
  if (names !== null) return;
  names = [];
  try {
    const [values, known] = await Promise.all([ask("/api/v1/label/__name__/values"), ask("/api/v1/metadata")]);
    names = values.data;
    metadata = known.data;
    if (document.activeElement === input) complete(); // somebody was faster than the list
  } catch {
    names = null; // typing works without completion; asked again at the next focus
  }
}

function wordAtCaret() {
  const before = input.value.slice(0, input.selectionStart);
  return /[a-zA-Z_:][\w:]*$/.exec(before)?.[0] ?? "";
}

function complete() {
  const word = wordAtCaret();
  const insideLabels = /\{[^}]*$/.test(input.value.slice(0, input.selectionStart));
  const found = word.length > 1 && names && !insideLabels
    ? names.filter((name) => name.includes(word) && name !== word).sort((a, b) => Number(b.startsWith(word)) - Number(a.startsWith(word))).slice(0, MAX_COMPLETIONS)
    : [];
  choice = 0;
  const list = $("completions");
  list.hidden = !found.length;
  fill(list, found.map((name, index) => h("li", { role: "option", "aria-selected": String(index === 0), dataset: { name }, onmousedown: (event) => (event.preventDefault(), take(name)) }, name, metadata[name]?.[0]?.help && h("small", {}, metadata[name][0].help))));
}

function take(name) {
  const at = input.selectionStart;
  const word = wordAtCaret();
  input.setRangeText(name, at - word.length, at, "end");
  $("completions").hidden = true;
  input.focus();
}

input.addEventListener("focus", loadNames);
input.addEventListener("input", complete);
input.addEventListener("blur", () => ($("completions").hidden = true));
input.addEventListener("keydown", (event) => {
  const list = $("completions");
  if ((event.ctrlKey || event.metaKey || list.hidden) && event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    list.hidden = true;
    run();
    return;
  }
  if (list.hidden) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    choice = (choice + step + list.children.length) % list.children.length;
    [...list.children].forEach((li, i) => li.setAttribute("aria-selected", i === choice));
    list.children[choice].scrollIntoView({ block: "nearest" });
  } else if (event.key === "Enter" || event.key === "Tab") {
    event.preventDefault();
    take(list.children[choice].dataset.name);
  } else if (event.key === "Escape") {
    event.stopPropagation();
    list.hidden = true;
  }
});

$("query-form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => {
    view = button.dataset.view;
    run();
  });
}
run();
