// What Taskscope found on this host, where data goes, and how it fares itself.

import "../shell.js";

import { ask, poll, queryInstant } from "../lib/api.js";
import { badge } from "../lib/badges.js";
import { $, fill, h, problem, setText } from "../lib/dom.js";
import * as format from "../lib/format.js";

const KINDS = { up: "everything in one process", server: "the server half", agent: "the agent half" };

const SHOWN_PROBLEMS = 5; // many of one kind must not hide everything else

let shown = "";
let moreOpen = false;

const problemNotice = (text) => h("div", { class: "notice bad", role: "alert" }, h("p", {}, text));

const panel = (title, ...body) => h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", {}, title)), h("div", { class: "panel-body" }, body));

function item({ name, state, detail, figures = [] }) {
  return h(
    "div",
    { class: "status-item" },
    h("div", {}, h("b", {}, name), " ", state && badge(state)),
    h("p", { class: "muted" }, detail ?? ""),
    figures.length > 0 && h("div", { class: "figures" }, figures.map(([label, value]) => h("span", {}, `${label} `, h("b", {}, value)))),
  );
}

const count = (n) => Number(n).toLocaleString("en");

function show(status) {
  const text = JSON.stringify(status);
  if (text === shown) return;
  shown = text;
  const problems = [...(status.problems ?? []), ...(status.rule_problems ?? [])];
  const about = [
    ["version", status.version],
    ["kind", status.kind && `${status.kind}: ${KINDS[status.kind] ?? ""}`],
    ["listens on", status.listen],
    ["cluster", status.cluster],
    ["host", status.host],
    ["data in", status.data_dir],
  ].filter(([, value]) => value);
  fill(
    $("status"),
    problems.slice(0, SHOWN_PROBLEMS).map(problemNotice),
    problems.length > SHOWN_PROBLEMS &&
      h("details", { class: "more-problems", open: moreOpen, ontoggle: (event) => (moreOpen = event.target.open) }, h("summary", {}, `${problems.length - SHOWN_PROBLEMS} more problems`), problems.slice(SHOWN_PROBLEMS).map(problemNotice)),
    problems.length > 0 && h("div", { class: "gap" }),
    h(
      "div",
      { class: "status-grid" },
      status.sources && panel("What Taskscope found", status.sources.map(sourceItem), nothingFound(status)),
      (status.sinks || status.logs) && panel("Logs", logItems(status)),
      status.tsdb && panel("Series", seriesItems(status.tsdb)),
      selfPanel,
      targetsPanel,
      panel("About", h("dl", { class: "identity" }, about.map(([name, value]) => [h("dt", {}, name), h("dd", {}, h("span", { title: value }, value))]))),
    ),
  );
  $("status").setAttribute("aria-busy", "false");
}

const sourceItem = ({ name, ok, message, counts = {} }) =>
  item({ name, state: ok ? "up" : "down", detail: message, figures: Object.entries(counts).map(([state, n]) => [state, count(n)]) });

function nothingFound(status) {
  const tasks = status.sources.flatMap(({ counts }) => Object.values(counts ?? {})).reduce((a, b) => a + b, 0);
  return tasks === 0 && h("p", { class: "muted next" }, "No tasks yet. Start a container, run a program with ", h("code", {}, "taskscope run --name NAME -- COMMAND"), ", or start the sample cluster with ", h("code", {}, "taskscope demo"), ".");
}

function logItems({ sinks = [], streams, logs }) {
  return [
    ...sinks.map(({ name, ok, message }) => item({ name, state: ok ? "up" : "down", detail: message })),
    item({ name: "searched in", detail: logs === "elasticsearch" ? "Elasticsearch" : logs === "embedded" ? "the embedded store" : "", figures: streams === undefined ? [] : [["streams read", count(streams)]] }),
  ];
}

function seriesItems(tsdb) {
  const figures = [
    ["series", count(tsdb.series)],
    ["blocks", count(tsdb.blocks)],
    ["on disk", format.bytes(tsdb.block_bytes + tsdb.wal_bytes)],
    ["oldest sample", tsdb.min_time_ms ? format.dateTime(tsdb.min_time_ms) : "–"],
  ];
  const top = Object.entries(tsdb.metric_series ?? {});
  return [
    item({ name: "embedded store", state: "ok", figures }),
    top.length > 0 && h("details", {}, h("summary", { class: "muted" }, "metrics with the most series"), h("dl", { class: "identity" }, top.map(([name, n]) => [h("dt", {}, h("code", {}, name)), h("dd", {}, count(n))]))),
  ];
}

// ---------------------------------------------------------------- Taskscope's own figures, from its own series

const SELF = [
  ["memory", 'process_resident_memory_bytes{job="taskscope"}', format.bytes],
  ["CPU cores", 'rate(process_cpu_seconds_total{job="taskscope"}[2m])', format.cores],
  ["samples per second", "sum(rate(taskscope_storage_samples_appended_total[2m]))", format.rough],
  ["log records per second", "sum(rate(taskscope_logship_received_records_total[2m]))", format.rough],
  ["oldest log line not delivered", "max(taskscope_logship_lag_seconds)", (v) => format.duration(v * 1000)],
  ["log records dropped", "sum(taskscope_logship_dropped_records_total) or vector(0)", format.number],
  ["slowest rule group", "max(taskscope_alerting_group_duration_seconds)", format.took],
  ["notifications that failed", "sum(taskscope_alerting_notification_failures_total) or vector(0)", format.number],
];

const selfValues = SELF.map(([label]) => h("b", { "aria-label": label }, "–"));
const selfPanel = panel("Taskscope itself", h("dl", { class: "identity" }, SELF.map(([label], index) => [h("dt", {}, label), h("dd", {}, selfValues[index])])));

async function loadSelf(signal) {
  await Promise.all(
    SELF.map(async ([, query, show_], index) => {
      const { result } = await queryInstant(query, undefined, { signal });
      setText(selfValues[index], result.length ? show_(Number(result[0].value[1])) : "–");
    }),
  );
}

// ---------------------------------------------------------------- targets

const targetsPanel = h("section", { class: "panel", hidden: true });

function showTargets(targets) {
  targetsPanel.hidden = !targets.length;
  const order = { down: 0, unknown: 1, up: 2 };
  fill(
    targetsPanel,
    h("div", { class: "panel-head" }, h("h2", {}, "Scrape targets")),
    h(
      "div",
      { class: "panel-body" },
      targets
        .sort((a, b) => order[a.health] - order[b.health] || (a.scrapeUrl < b.scrapeUrl ? -1 : 1))
        .map((target) => item({ name: `${target.labels.job ?? target.scrapePool} ${target.labels.instance ?? ""}`, state: target.health, detail: target.lastError || target.scrapeUrl })),
    ),
  );
}

const stop = poll(
  async (signal) => show(await ask("/api/status", {}, { signal })),
  5,
  (error) => shown || fill($("status"), problem(error, () => stop.now())),
);
poll(loadSelf, 15, (error) => (selfPanel.hidden = error.status === 404));
poll(async (signal) => {
  const body = await ask("/api/v1/targets", {}, { signal }).catch((error) => {
    if (error.status === 404) return { data: { activeTargets: [] } };
    throw error;
  });
  showTargets(body.data.activeTargets);
}, 10);
