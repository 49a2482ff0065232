// PromQL by hand: queries one below the other, each a graph or a table. They are part of the page's address.

import "../shell.js";

import { $, copyButton, empty, fill, h } from "../lib/dom.js";
import { QueryRow } from "../lib/queryrow.js";
import { fitting, oldestSample, RangePicker } from "../lib/range.js";

const MAX_HISTORY = 30;
const EXAMPLES = [
  ["CPU by app", "sum by (app) (rate(container_cpu_usage_seconds_total[2m]))"],
  ["Memory by task", "sum by (task_name) (container_memory_working_set_bytes)"],
  ["Error lines per minute by app", '60 * sum by (app) (rate(log_lines_total{level=~"error|fatal"}[5m]))'],
  ["Targets that are down", "up == 0"],
];

const url = new URL(location.href);
const rows = [];
let made = 0;
const picker = new RangePicker($("range"), { initial: fitting(oldestSample, "1h"), onChange: () => rows.forEach((row) => row.run()) });

function add(expr = "", view = "graph") {
  made += 1;
  const row = new QueryRow({ number: made, expr, view, picker, start, onRun: ran, onRemove: remove });
  rows.push(row);
  $("queries").append(row.root);
  showRemovable();
  return row;
}

function remove(row) {
  rows.splice(rows.indexOf(row), 1);
  row.root.remove();
  showRemovable();
  address();
  rows[0].input.focus();
}

function showRemovable() {
  for (const row of rows) row.removeButton.hidden = rows.length === 1;
}

/** The address says what is asked, so that it can be kept or sent to somebody. */
function address() {
  const now = new URL(location.href);
  for (const name of ["expr", "view"]) now.searchParams.delete(name);
  for (const row of rows) {
    if (!row.expr) continue;
    now.searchParams.append("expr", row.expr);
    now.searchParams.append("view", row.view);
  }
  history.replaceState(null, "", now);
}

function ran(expr) {
  address();
  if (!expr) return;
  keep([expr, ...kept().filter((one) => one !== expr)].slice(0, MAX_HISTORY));
}

// ---------------------------------------------------------------- what was asked before

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem("query.history") ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

function keep(list) {
  try {
    localStorage.setItem("query.history", JSON.stringify(list));
  } catch {
    // not kept then
  }
}

function showHistory() {
  const list = kept();
  const choose = (expr) => {
    $("history").open = false;
    const row = rows.find((one) => one.root.contains(lastInput)) ?? rows[0];
    ask(row, expr);
  };
  fill(
    $("history-list"),
    list.length
      ? [list.map((expr) => h("button", { type: "button", class: "history-entry", onclick: () => choose(expr) }, expr)), h("button", { type: "button", class: "button small", onclick: () => (keep([]), showHistory()) }, "Forget these")]
      : h("p", { class: "muted" }, "What you run is listed here, in this browser only."),
  );
}

let lastInput = null;
$("queries").addEventListener("focusin", (event) => (lastInput = event.target));
$("history").addEventListener("toggle", showHistory);
document.addEventListener("click", (event) => {
  if (!$("history").contains(event.target)) $("history").open = false;
});

function ask(row, expr) {
  row.input.value = expr;
  row.edited();
  row.submit();
}

function start(row) {
  return empty(
    "Ask for any series in PromQL",
    "Type a metric's name and pick from the list, or start from one of these:",
    h("div", { class: "chips examples" }, EXAMPLES.map(([label, expr]) => h("button", { type: "button", class: "chip", onclick: () => ask(row, expr) }, label))),
  );
}

$("add-query").addEventListener("click", () => {
  const row = add();
  row.run();
  row.input.focus();
});
$("share").addEventListener("click", (event) => {
  event.preventDefault();
  address();
  copyButton(location.href, "link").click();
});

const views = url.searchParams.getAll("view");
const asked = url.searchParams.getAll("expr");
for (const [index, expr] of (asked.length ? asked : [""]).entries()) add(expr, views[index] ?? views[0]);
rows.forEach((row) => row.run());
