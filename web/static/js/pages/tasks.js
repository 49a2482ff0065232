// The task list.

import "../shell.js";

import { ask, poll, queryRange } from "../lib/api.js";
import { badge, setBadge } from "../lib/badges.js";
import { $, arrange, empty, fill, h, problem, setAttribute, setText } from "../lib/dom.js";
import * as format from "../lib/format.js";
import * as keys from "../lib/keys.js";
import { sparkline } from "../lib/spark.js";

const SPARK_SECONDS = 1800;
const SPARK_STEPS = [15, 30];
const SPARK_YOUNG_SECONDS = 600; // finer steps, and a shorter axis, while there are few samples
const SPARK_LEAST_SECONDS = 90;
const RECENT_MS = 15 * 60_000;
const CPU = "sum by (task_id) (rate(container_cpu_usage_seconds_total[1m]))";
const MEMORY = "sum by (task_id) (container_memory_working_set_bytes)";

const COLUMNS = [
  ["name", "Task", (t) => t.identity.task_name || t.id, "text"],
  ["state", "State", (t) => STATE_ORDER.indexOf(t.state), "text"],
  ["health", "Health", (t) => HEALTH_ORDER.indexOf(t.health.status), "text"],
  ["cpu", "CPU cores", (t) => -(t.cpu_cores ?? -1), "number"],
  ["memory", "Memory", (t) => -(t.memory_bytes ?? -1), "number"],
  ["restarts", "Restarts", (t) => -t.restarts, "number"],
  ["since", "Since", (t) => -(t.ended_ms ?? t.started_ms ?? t.created_ms), "number"],
];
const STATE_ORDER = ["failed", "restarting", "lost", "staging", "paused", "running", "killed", "finished"];
const HEALTH_ORDER = ["unhealthy", "starting", "healthy", "unknown"];
const CHIPS = [
  ["all", "All", () => true],
  ["running", "Running", (t) => !t.ended],
  ["trouble", "Trouble", (t) => isTrouble(t)],
  ["ended", "Ended", (t) => t.ended],
];

const isBad = (exit) => exit !== null && (exit.oom || exit.code !== 0);

/** What somebody should look at: it failed, starts again and again, or is unhealthy. */
function isTrouble(task) {
  if (["failed", "restarting", "lost"].includes(task.state)) return true;
  if (task.ended) return false;
  const lastEnd = Math.max(0, ...task.runs.map((run) => run.ended_ms ?? 0));
  return task.health.status === "unhealthy" || (isBad(task.last_exit) && Date.now() - lastEnd < RECENT_MS);
}

const url = new URL(location.href);
const view = {
  tasks: null,
  filter: url.searchParams.get("q") ?? "",
  chip: url.searchParams.get("show") ?? "all",
  sort: url.searchParams.get("sort") ?? "",
  reverse: url.searchParams.get("desc") === "1",
  group: url.searchParams.has("group") ? url.searchParams.get("group") === "1" : keptGroup(),
  sparks: new Map(),
  sparkStep: SPARK_STEPS[0],
  sparkRange: { start: 0, end: 0 },
};
const rows = new Map();
const heads = new Map();

function keptGroup() {
  try {
    return localStorage.getItem("tasks.group") === "1";
  } catch {
    return false;
  }
}

const body = h("tbody");
const headCells = COLUMNS.map(([key, label, , kind]) => {
  const button = h("button", { type: "button", class: "sort", onclick: () => sortBy(key) }, label);
  return h("th", { scope: "col", class: `col-${key} ${kind}` }, button);
});
const table = h("table", { class: "list tasks" }, h("thead", {}, h("tr", {}, headCells)), body);

function sortBy(key) {
  if (view.sort !== key) [view.sort, view.reverse] = [key, false];
  else if (!view.reverse) view.reverse = true;
  else [view.sort, view.reverse] = ["", false];
  keep();
  show();
}

function keep() {
  const parameters = new URLSearchParams();
  if (view.filter) parameters.set("q", view.filter);
  if (view.chip !== "all") parameters.set("show", view.chip);
  if (view.sort) parameters.set("sort", view.sort);
  if (view.reverse) parameters.set("desc", "1");
  if (view.group) parameters.set("group", "1");
  const text = parameters.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

/** A row and the function that brings it up to date. */
function makeRow(id) {
  const link = h("a", { href: `/tasks/${encodeURIComponent(id)}`, class: "task-link" });
  const where = h("span", { class: "muted sub" });
  const state = badge("unknown");
  const how = h("span", { class: "sub how" });
  const health = badge("unknown");
  const said = h("span", { class: "sub how bad-text" });
  const cpu = h("span", { class: "figure" });
  const cpuSpark = sparkline("CPU, last 30 minutes");
  const memory = h("span", { class: "figure" });
  const meter = h("span", { class: "meter" }, h("i"));
  const memorySpark = sparkline("Memory, last 30 minutes");
  const restarts = h("span", { class: "figure" });
  const since = h("time");
  const row = h(
    "tr",
    { dataset: { id } },
    h("td", { class: "col-name" }, link, where),
    h("td", { class: "col-state" }, state, how),
    h("td", { class: "col-health" }, health, said),
    h("td", { class: "col-cpu number", "data-label": "CPU" }, h("span", { class: "with-spark" }, cpuSpark.root, cpu)),
    h("td", { class: "col-memory number", "data-label": "Memory" }, h("span", { class: "with-spark" }, memorySpark.root, h("span", { class: "stack" }, memory, meter))),
    h("td", { class: "col-restarts number", "data-label": "Restarts" }, restarts),
    h("td", { class: "col-since number", "data-label": "Since" }, since),
  );
  row.addEventListener("click", (event) => {
    if (event.target.closest("a, button") || getSelection().toString()) return;
    link.click();
  });
  let lastSparks = null;
  return {
    row,
    update(task, now) {
      setText(link, task.identity.task_name || task.id);
      link.title = task.id;
      setText(where, [view.group ? "" : task.identity.app, task.identity.image, task.identity.host].filter(Boolean).join(" · "));
      setBadge(state, task.state);
      const ended = task.last_exit && (task.ended || isBad(task.last_exit));
      setText(how, ended ? `${task.ended ? "" : "last: "}${format.exitText(task.last_exit)}` : "");
      setAttribute(how, "class", isBad(task.last_exit) && task.state !== "killed" ? "sub how bad-text" : "sub how muted");
      const noHealth = task.health.status === "unknown" && task.health.checks.length === 0;
      health.hidden = noHealth || task.ended;
      setBadge(health, task.health.status, healthTitle(task.health));
      const failing = task.ended ? null : task.health.checks.find((check) => check.status === "unhealthy");
      setText(said, failing ? format.checkOutput(failing.output) : "");
      said.title = said.textContent;
      setText(cpu, task.ended ? "" : format.cores(task.cpu_cores));
      setText(memory, task.ended ? "" : format.bytes(task.memory_bytes));
      const share = task.memory_limit_bytes && task.memory_bytes !== null ? task.memory_bytes / task.memory_limit_bytes : null;
      meter.hidden = share === null || task.ended;
      if (share !== null) {
        meter.title = `${format.percent(share)} of ${format.bytes(task.memory_limit_bytes)}`;
        meter.dataset.tone = share > 0.9 ? "bad" : share > 0.75 ? "warn" : "good";
        meter.firstChild.style.width = `${Math.min(100, share * 100).toFixed(1)}%`;
      }
      setText(restarts, task.restarts || "");
      setAttribute(restarts, "class", task.restarts > 2 ? "figure bad-text" : "figure");
      const at = task.ended_ms ?? (task.started_ms || task.created_ms);
      setText(since, format.ago(at, now));
      since.title = `${task.ended_ms ? "ended" : "started"} ${format.dateTime(at)}`;
      since.dateTime = new Date(at).toISOString();
      setAttribute(row, "class", [task.ended ? "ended" : "", row.classList.contains("current") ? "current" : ""].join(" ").trim());
      const sparks = view.sparks.get(task.id);
      if (sparks && sparks !== lastSparks) {
        lastSparks = sparks;
        const { start, end } = view.sparkRange;
        cpuSpark.draw(sparks.cpu, start, end, view.sparkStep, Math.max(0.05, ...sparks.cpu.map(([, v]) => v)));
        memorySpark.draw(sparks.memory, start, end, view.sparkStep, Math.max(1, task.memory_limit_bytes || 0, ...sparks.memory.map(([, v]) => v)));
      }
    },
  };
}

function healthTitle(health) {
  if (health.status === "unknown") return "no result yet, or none could be had";
  return health.checks
    .filter((check) => check.status !== "healthy")
    .map((check) => `${check.check}: ${check.output || check.status}`)
    .join("\n");
}

const COLLATOR = new Intl.Collator("en", { numeric: true });

function compare(a, b) {
  const column = COLUMNS.find(([key]) => key === view.sort);
  let order = 0;
  if (column) {
    const [x, y] = [column[2](a), column[2](b)];
    order = typeof x === "string" ? COLLATOR.compare(x, y) : x - y;
    if (view.reverse) order = -order;
  } else if (a.ended && b.ended) order = (b.ended_ms ?? 0) - (a.ended_ms ?? 0);
  else order = Number(a.ended) - Number(b.ended) || Number(isTrouble(b)) - Number(isTrouble(a));
  return order || COLLATOR.compare(a.identity.app, b.identity.app) || COLLATOR.compare(a.identity.task_name, b.identity.task_name) || (a.id < b.id ? -1 : 1);
}

/** Every word of the filter must be somewhere in what identifies the task. */
function matches(task) {
  const i = task.identity;
  const text = [i.app, i.task_name, i.task_id, i.container_name, i.container_id, i.image, i.host, i.namespace, i.framework, task.state, task.health.status].join(" ").toLowerCase();
  return view.filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function show() {
  if (view.tasks === null) return;
  const now = Date.now();
  const chip = CHIPS.find(([key]) => key === view.chip) ?? CHIPS[0];
  const found = view.tasks.filter((t) => matches(t));
  const visible = found.filter(chip[2]).sort(compare);
  showChips(found);
  COLUMNS.forEach(([key], index) => {
    const direction = key === "name" ? ["ascending", "descending"] : ["descending", "ascending"];
    setAttribute(headCells[index], "aria-sort", view.sort === key ? direction[Number(view.reverse)] : null);
  });
  for (const task of visible) {
    if (!rows.has(task.id)) rows.set(task.id, makeRow(task.id));
    rows.get(task.id).update(task, now);
  }
  arrange(body, view.group ? grouped(visible) : visible.map((task) => rows.get(task.id).row));
  const known = new Set(view.tasks.map((task) => task.id));
  for (const id of rows.keys()) if (!known.has(id)) rows.delete(id);
  const panel = $("tasks");
  panel.setAttribute("aria-busy", "false");
  if (!view.tasks.length) fill(panel, nothingYet());
  else if (!visible.length) fill(panel, empty("No task matches", "Change the filter, or show all tasks.", h("button", { type: "button", class: "button", onclick: reset }, "Show all")));
  else if (table.parentNode !== panel) fill(panel, table);
  setText($("tasks-foot"), visible.length === view.tasks.length ? format.plural(visible.length, "task") : `${visible.length} of ${format.plural(view.tasks.length, "task")}`);
}

function nothingYet() {
  return empty(
    "No tasks on this host yet",
    "Taskscope lists every container and every process it started. Start one and it appears here within seconds:",
    h("pre", {}, "docker run -d --name hello busybox sh -c 'while true; do date; sleep 1; done'\ntaskscope run --name hello -- ping localhost\ntaskscope demo"),
    h("p", {}, "If you expected containers here, ", h("a", { href: "/status" }, "Status"), " says whether Docker answers."),
  );
}

function reset() {
  view.filter = "";
  view.chip = "all";
  $("filter").value = "";
  keep();
  show();
}

function showChips(found) {
  const root = $("state-chips");
  if (!root.firstChild) {
    fill(
      root,
      CHIPS.map(([key, label]) =>
        h("button", { type: "button", class: "chip", dataset: { key }, onclick: () => ((view.chip = key), keep(), show()) }, label, h("b", {})),
      ),
    );
  }
  CHIPS.forEach(([key, , test], index) => {
    const button = root.children[index];
    const count = found.filter(test).length;
    setText(button.lastChild, count);
    setAttribute(button, "aria-pressed", view.chip === key);
    if (key === "trouble") setAttribute(button, "data-tone", count ? "bad" : null);
  });
}

/** Rows under a heading for each app. */
function grouped(visible) {
  const apps = new Map();
  for (const task of visible) {
    const key = `${task.identity.namespace}\n${task.identity.app}`;
    if (!apps.has(key)) apps.set(key, []);
    apps.get(key).push(task);
  }
  return [...apps].flatMap(([key, tasks]) => [groupHead(key, tasks), ...tasks.map((task) => rows.get(task.id).row)]);
}

function groupHead(key, tasks) {
  if (!heads.has(key)) {
    const name = h("b", {});
    const sums = h("span", { class: "muted" });
    heads.set(key, { name, sums, row: h("tr", { class: "group" }, h("th", { colspan: COLUMNS.length, scope: "rowgroup" }, name, sums)) });
  }
  const head = heads.get(key);
  const [namespace, app] = key.split("\n");
  const running = tasks.filter((task) => task.state === "running");
  const sum = (pick) => running.reduce((total, task) => total + (pick(task) ?? 0), 0);
  setText(head.name, app || "(no app)");
  const used = running.length > 0 ? [`${format.cores(sum((t) => t.cpu_cores))} cores`, format.bytes(sum((t) => t.memory_bytes))] : [];
  setText(head.sums, [namespace, running.length ? `${running.length} of ${format.plural(tasks.length, "task")} running` : "none running", ...used].filter(Boolean).join(" · "));
  return head.row;
}

/** Lines of the last half hour; of a host seen for minutes only, what there is, in finer steps. */
async function loadSparks(signal) {
  const step = SPARK_STEPS[Number(view.sparkRange.end - view.sparkRange.start > SPARK_YOUNG_SECONDS)];
  const end = Math.floor(Date.now() / 1000 / step) * step;
  const range = { start: end - (step === SPARK_STEPS[0] ? SPARK_YOUNG_SECONDS + step : SPARK_SECONDS), end };
  const [cpu, memory] = await Promise.all([CPU, MEMORY].map((query) => queryRange(query, range, step, { signal })));
  const sparks = new Map();
  const put = (result, name) => {
    for (const { metric, values } of result) {
      if (!sparks.has(metric.task_id)) sparks.set(metric.task_id, { cpu: [], memory: [] });
      sparks.get(metric.task_id)[name] = values.map(([t, v]) => [t, Number(v)]).filter(([, v]) => Number.isFinite(v));
    }
  };
  put(cpu, "cpu");
  put(memory, "memory");
  const first = Math.min(range.end, ...[...sparks.values()].flatMap(({ cpu: c, memory: m }) => [c[0]?.[0], m[0]?.[0]]).filter(Boolean));
  const isFirst = view.sparkRange.end === 0;
  view.sparkRange = { start: Math.min(first, range.end - SPARK_LEAST_SECONDS), end: range.end };
  if (isFirst && first === range.start) {
    await loadSparks(signal); // not young: the first look was at too little
    return;
  }
  view.sparks = sparks;
  view.sparkStep = step;
  show();
}

$("filter").value = view.filter;
$("filter").addEventListener("input", (event) => {
  view.filter = event.target.value.trim();
  keep();
  show();
});
$("group").checked = view.group;
$("group").addEventListener("change", (event) => {
  view.group = event.target.checked;
  try {
    localStorage.setItem("tasks.group", view.group ? "1" : "0");
  } catch {
    // not kept then
  }
  keep();
  show();
});

keys.walk(
  () => [...body.querySelectorAll("tr[data-id]")],
  (row) => row.querySelector("a").click(),
);

const stop = poll(
  async (signal) => {
    view.tasks = await ask("/api/tasks", {}, { signal });
    show();
  },
  5,
  (error) => {
    if (view.tasks === null) fill($("tasks"), problem(error, () => stop.now()));
  },
);
poll(loadSparks, 15);
