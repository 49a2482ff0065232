// One task: who it is, how it fares, how it ended, what it says.

import "../shell.js";

import { ask, poll, queryRange } from "../lib/api.js";
import { badge } from "../lib/badges.js";
import { Chart, stepFor } from "../lib/chart.js";
import { $, copyButton, empty, fill, h, problem } from "../lib/dom.js";
import * as format from "../lib/format.js";
import * as keys from "../lib/keys.js";
import { LogView } from "../lib/logview.js";
import { fitting, oldestSample, RangePicker } from "../lib/range.js";
import { alertCard, taskAlerts } from "../lib/alertcard.js";

const id = $("task").dataset.taskId;
const LAST_SECONDS = 3600;
const BRIEF_MS = 30_000; // two collections
let task = null;
let picker = null;

const quoted = (text) => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
const selector = `{task_id=${quoted(id)}}`;

// ---------------------------------------------------------------- head

function showHead() {
  const { identity: i } = task;
  document.title = `${i.task_name || id} · Taskscope`;
  const since = task.ended_ms ?? (task.started_ms || task.created_ms);
  fill(
    $("task-head"),
    h(
      "div",
      { class: "task-title" },
      h("h1", {}, i.task_name || id),
      badge(task.state),
      !task.ended && (task.health.status !== "unknown" || task.health.checks.length > 0) && badge(task.health.status),
      task.health.ready === false && badge("not ready"),
      h("span", { class: "muted" }, `${task.ended_ms ? "ended" : "started"} ${format.agoText(since)}`),
    ),
    h(
      "p",
      { class: "facts" },
      fact("app", i.app && h("a", { href: `/?q=${encodeURIComponent(i.app)}` }, i.app)),
      fact("image", i.image),
      fact("host", i.host),
      fact("id", [h("code", {}, format.short(id)), copyButton(id, "task id")]),
    ),
    endedNotice(),
    sickNotice(),
  );
  $("task-head").setAttribute("aria-busy", "false");
}

function fact(name, value) {
  return value && h("span", { class: "fact" }, h("span", { class: "muted" }, name, " "), value);
}

/** The first thing somebody wants to know of a task that is gone or comes and goes. */
function endedNotice() {
  const exit = task.last_exit;
  if (!exit || (!task.ended && !exit.oom && !exit.code)) return null;
  const run = [...task.runs].reverse().find((r) => r.exit);
  const bad = exit.oom || exit.code !== 0;
  const at = run?.ended_ms;
  return h(
    "div",
    { class: `notice ${bad && task.state !== "killed" ? "bad" : ""}` },
    h("p", {}, h("b", {}, task.ended ? "Ended" : "Last run ended"), at ? ` ${format.moment(at)} (${format.agoText(at)})` : "", ": ", format.exitText(exit), exit.oom && task.memory_limit_bytes ? `; its limit is ${format.bytes(task.memory_limit_bytes)}` : "", ".", bad && lastError && ["\n", h("code", {}, lastError)]),
    at && h("button", { type: "button", class: "button", onclick: () => showLogsAt(at) }, "Its last log lines"),
  );
}

let lastError = "";

/** Learn what it said last at level error; of a stack trace, the line that names the error. */
async function loadLastError(signal) {
  const query = `task_id:${quoted(id)} AND level:(error OR fatal) AND NOT stream:event`;
  const { records } = await ask("/api/logs/search", { query, limit: 1 }, { signal });
  const lines = String(records[0]?.document.message ?? "").trimEnd().split("\n");
  const line = lines[0].startsWith("Traceback") ? lines.at(-1) : lines[0];
  if (line === lastError) return;
  lastError = line;
  if (task) showHead();
}

/** What the checks of a running task complain of. */
function sickNotice() {
  const failing = task.ended ? [] : task.health.checks.filter((check) => check.status === "unhealthy");
  if (!failing.length) return null;
  const count = ({ failures }) => (failures > 1 ? ` (${failures} times in a row)` : "");
  return h(
    "div",
    { class: "notice bad" },
    h("p", {}, failing.map((check, index) => [index > 0 && "\n", h("b", {}, `Check ${check.check} fails`), count(check), check.output && `: ${format.checkOutput(check.output)}`])),
    h("button", { type: "button", class: "button", onclick: () => showLogsAt(Math.min(...failing.map((check) => check.at_ms))) }, "Logs of that moment"),
  );
}

function showLogsAt(ms) {
  log.jumpTo(ms);
  $("logs-section").scrollIntoView({ behavior: "smooth" });
}

// ---------------------------------------------------------------- sides

const openOutputs = new Set();
const PROBES = { pass: "passed", fail: "failed", error: "could not be probed" };

function showHealth() {
  const { checks } = task.health;
  if (!checks.length) {
    fill(
      $("health"),
      task.health.status === "unknown"
        ? h("p", { class: "muted" }, "No health check. Add a ", h("code", {}, "HEALTHCHECK"), " to the image or a label ", h("code", {}, "taskscope.health.type"), ".")
        : h("p", {}, badge(task.health.status), " ", h("span", { class: "muted" }, "as the runtime says")),
    );
    return;
  }
  fill(
    $("health"),
    checks.map((check) => {
      const output = h("details", { open: openOutputs.has(check.check) }, h("summary", {}, "last output"), h("pre", {}, check.output));
      output.addEventListener("toggle", () => (output.open ? openOutputs.add(check.check) : openOutputs.delete(check.check)));
      return h(
        "div",
        { class: "check" },
        h("div", { class: "check-head" }, badge(check.status), h("b", {}, check.check), h("span", { class: "muted" }, check.kind)),
        h("div", { class: "muted" }, `${PROBES[check.probe]} ${format.agoText(check.at_ms)} in ${format.took(check.duration_seconds)}`, check.failures > 1 ? `, ${check.failures} failures in a row` : ""),
        historyStrip(check.check),
        check.output && output,
      );
    }),
  );
}

const histories = new Map();

/** The last hour of a check as a strip of passes and failures. */
function historyStrip(name) {
  const points = histories.get(name);
  if (!points?.length) return null;
  return h(
    "div",
    { class: "strip", role: "img", "aria-label": `${name}: ${points.filter(([, v]) => v < 1).length} of ${points.length} minutes with failures in the last hour` },
    points.map(([t, v]) => h("i", { "data-tone": v === null ? "quiet" : v < 1 ? "bad" : "good", title: `${format.clock(t * 1000)} ${v === null ? "no result" : v < 1 ? "failed" : "passed"}` })),
  );
}

async function loadHistories(signal) {
  const step = 60;
  const end = Math.floor(Date.now() / 1000 / step) * step;
  const start = end - 3600 + step;
  const result = await queryRange(`min by (check) (min_over_time(probe_success${selector}[1m]))`, { start, end }, step, { signal });
  histories.clear();
  for (const { metric, values } of result) {
    const at = new Map(values.map(([t, v]) => [t, Number(v)]));
    const strip = [];
    for (let t = start; t <= end; t += step) strip.push([t, at.get(t) ?? null]);
    histories.set(metric.check, strip);
  }
  if (task) showHealth();
}

function showRuns() {
  if (!task.runs.length) {
    fill($("runs"), h("p", { class: "muted" }, "It has not started yet."));
    return;
  }
  const runs = [...task.runs].reverse();
  fill(
    $("runs"),
    h("p", { class: "muted" }, task.restarts ? `${format.plural(task.restarts, "restart")}${task.runs.length <= task.restarts ? `, the last ${task.runs.length} runs are known` : ""}` : "No restarts"),
    h(
      "ol",
      { class: "runs" },
      runs.map((run) => {
        const bad = run.exit && (run.exit.oom || run.exit.code !== 0);
        return h(
          "li",
          {},
          h("span", { class: "muted run-number" }, `#${run.number}`),
          h(
            "span",
            {},
            h("span", { title: format.dateTime(run.started_ms) }, `${format.moment(run.started_ms)}`),
            h("span", { class: "muted" }, run.ended_ms ? `, ${format.duration(run.ended_ms - run.started_ms)}` : ", running"),
            run.exit && h("span", { class: `block ${bad ? "bad-text" : "muted"}` }, format.exitText(run.exit)),
          ),
          h("button", { type: "button", class: "button small", onclick: () => showLogsAt(run.ended_ms ?? run.started_ms) }, "Logs"),
        );
      }),
    ),
  );
}

function showIdentity() {
  const names = ["cluster", "host", "framework", "namespace", "app", "task_name", "task_id", "container_id", "container_name", "image"];
  const rows = names.map((name) => [name, task.identity[name]]).filter(([, value]) => value);
  if (task.address) rows.push(["address", task.address]);
  if (task.ports.length) rows.push(["ports", task.ports.map((p) => `${p.container}${p.host ? ` → ${p.host}` : ""}/${p.protocol}`).join(", ")]);
  if (task.pid) rows.push(["pid", String(task.pid)]);
  if (task.sandbox) rows.push(["sandbox", task.sandbox]);
  if (task.memory_limit_bytes) rows.push(["memory limit", format.bytes(task.memory_limit_bytes)]);
  if (task.cpu_limit) rows.push(["CPU limit", `${format.number(task.cpu_limit)} cores`]);
  rows.push(["created", format.dateTime(task.created_ms)]);
  fill(
    $("identity"),
    h("dl", { class: "identity" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, h("span", { title: value }, value), copyButton(value, name))])),
  );
}

// ---------------------------------------------------------------- graphs

/** A line where a run ended, red if it ended badly. */
const markers = () =>
  (task?.runs ?? [])
    .filter((run) => run.ended_ms)
    .map(({ ended_ms: at, exit }) => ({ t: at / 1000, color: exit && (exit.oom || exit.code) ? "--bad" : "--marker" }));

const onZoom = (start, end) => picker.zoom(start, end);
const rate = (value) => `${format.bytes(value)}/s`;

const GRAPHS = [
  {
    title: "CPU cores", unit: (v) => (v !== 0 && Math.abs(v) < 1e-4 ? "<0.0001" : format.rough(v)), description: "Cores used; throttled: share of a core it wanted and did not get.",
    queries: (w) => [
      ["used", `sum(rate(container_cpu_usage_seconds_total${selector}[${w}]))`, { fill: true, color: "--series-1" }],
      ["throttled", `sum(rate(container_cpu_cfs_throttled_seconds_total${selector}[${w}]))`, { color: "--series-3" }],
    ],
    limit: () => task?.cpu_limit,
  },
  {
    title: "Memory", unit: format.bytes, binary: true, description: "Working set: what counts against the limit and cannot be given back at once.",
    queries: () => [["working set", `sum(container_memory_working_set_bytes${selector})`, { fill: true, color: "--series-2" }]],
    limit: () => task?.memory_limit_bytes,
  },
  {
    title: "Network", unit: rate, binary: true, description: "Bytes per second of the container's network namespace.",
    queries: (w) => [
      ["received", `sum(rate(container_network_receive_bytes_total${selector}[${w}]))`, { color: "--series-4" }],
      ["sent", `sum(rate(container_network_transmit_bytes_total${selector}[${w}]))`, { color: "--series-5" }],
    ],
  },
  {
    title: "Restarts and errors", unit: format.rough, description: "Starts beyond the first, and lines with level error or fatal per minute.",
    queries: (w) => [
      ["restarts", `sum(container_restarts_total${selector})`, { color: "--series-6" }],
      ["error lines per minute", `60 * sum(rate(log_lines_total{task_id=${quoted(id)},level=~"error|fatal"}[${w}]))`, { color: "--bad" }],
    ],
  },
];

const charts = GRAPHS.map((graph) => new Chart({ ...graph, onZoom, markers }));
fill($("charts"), charts.map((chart) => chart.root));

async function loadCharts(signal) {
  const { start, end } = picker.current();
  $("logs-link").href = `/logs?${new URLSearchParams({ query: `task_id:${quoted(id)}`, from: Math.floor(start) * 1000, to: Math.ceil(end) * 1000 })}`;
  const step = stepFor(start, end);
  const window = `${Math.max(60, step * 2)}s`;
  const range = { start: Math.floor(start / step) * step, end: Math.floor(end / step) * step, step };
  const drawn = await Promise.all(
    GRAPHS.map(async (graph, index) => {
      const queries = graph.queries(window);
      try {
        const answers = await Promise.all(queries.map(([, query]) => queryRange(query, range, step, { signal })));
        const series = queries
          .map(([label, , look], i) => ({ label, ...look, points: answers[i][0]?.values ?? [] }))
          .filter((one) => one.points.length);
        const limit = graph.limit?.();
        if (series.length && limit) {
          series.push({ label: "limit", color: "--bad", dash: true, points: [[range.start, limit], ...series[0].points.map(([t]) => [t, limit]), [range.end, limit]].filter(([t], i, all) => i === 0 || t !== all[i - 1][0]) });
        }
        if (series.length) charts[index].draw(series, range);
        else charts[index].message(nothingThere());
      } catch (error) {
        if (error.name === "AbortError") throw error;
        charts[index].message(error.message, true);
        if (error.status === 0) throw error;
      }
    }),
  );
}

/** Why a graph is empty. */
function nothingThere() {
  if (task?.ended && task.ended_ms - task.created_ms < BRIEF_MS) return "It ran too briefly to be measured";
  return picker.live ? "No samples in this time" : "No samples in this time; choose another range";
}

// ---------------------------------------------------------------- all together

const log = new LogView($("log"), {
  base: `task_id:${quoted(id)}`,
  columns: ["time", "level"],
  names: { query: "q" },
  emptyText: "It has written nothing to stdout or stderr yet, or its log driver keeps no lines Taskscope may read.",
});

let askGraphs = null;

/** The end of a task that ended a while ago, as far as it is known. */
function lastHour() {
  const end = (task?.ended_ms ?? 0) / 1000;
  if (!end || Date.now() / 1000 - end < LAST_SECONDS / 6) return null;
  const start = Math.max(end - LAST_SECONDS, task.created_ms / 1000);
  const margin = Math.max(30, (end - start) / 20);
  return { start: Math.floor(start - margin), end: Math.ceil(end + margin) };
}

/** The graphs begin with a range that the task fills. */
function startGraphs() {
  const since = Math.max(task?.created_ms ?? 0, oldestSample);
  picker = new RangePicker($("range"), { initial: fitting(since, "1h"), fixed: lastHour(), onChange: () => askGraphs.now() });
  if (new URL(location.href).searchParams.has("line")) $("logs-section").scrollIntoView();
  askGraphs = poll(loadCharts, 15);
}

let shown = "";
const stop = poll(
  async (signal) => {
    const answer = await ask(`/api/tasks/${encodeURIComponent(id)}`, {}, { signal });
    if ($("task-columns").hidden) location.reload(); // it was not known before
    task = answer;
    const text = JSON.stringify([answer, Math.floor(Date.now() / 10_000)]);
    if (text !== shown && !getSelection().toString()) {
      shown = text;
      showHead();
      showHealth();
      showRuns();
      showIdentity();
    }
    if (!askGraphs) {
      startGraphs();
      showAlerts(); // now that its app is known
    }
  },
  5,
  (error) => {
    if (task !== null) return;
    $("task-head").setAttribute("aria-busy", "false");
    if (error.status === 404) {
      fill($("task-head"), empty("This task is not known any more", "Taskscope forgets ended tasks after a while; their logs may still be there.", h("p", {}, h("a", { href: `/logs?query=${encodeURIComponent(`task_id:${quoted(id)}`)}` }, "Search its logs"), " · ", h("a", { href: "/" }, "All tasks"))));
      $("task-columns").hidden = true;
      log.close();
    } else fill($("task-head"), problem(error, () => stop.now()));
  },
);
poll(loadHistories, 30);
poll(loadLastError, 15);
let alerts = [];

function showAlerts() {
  fill($("task-alerts"), taskAlerts(alerts, id, task?.identity ?? null).map((alert) => alertCard(alert, { onTask: true })));
}

poll(async (signal) => {
  alerts = (await ask("/api/v1/alerts", {}, { signal })).data.alerts;
  showAlerts();
}, 10);

keys.bind("l", "Logs of this task", () => {
  $("logs-section").scrollIntoView({ behavior: "smooth" });
  $("filter").focus({ preventScroll: true });
});
log.bindKeys(keys);
keys.bind("p", "Pause or resume the log", () => log.setPaused(!log.paused));
