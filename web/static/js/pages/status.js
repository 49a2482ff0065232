// What Taskscope found on this host, where data goes, and how it fares itself.

import "../shell.js";

import { ask, poll } from "../lib/api.js";
import { badge } from "../lib/badges.js";
import { $, fill, h, problem } from "../lib/dom.js";
import * as format from "../lib/format.js";

// Sections of /api/status that are lists of {name, state, detail, figures}, with their titles.
const SECTIONS = [
  ["sources", "Discovery"],
  ["sinks", "Where logs go"],
  ["stores", "Stores"],
  ["self", "Taskscope itself"],
];
let shown = "";

function show(status) {
  const text = JSON.stringify(status);
  if (text === shown) return;
  shown = text;
  const about = [
    ["Version", status.version],
    ["Mode", status.mode],
    ["Cluster", status.cluster],
    ["Host", status.host],
    ["Data directory", status.data_dir],
    ["Started", status.started_ms && `${format.dateTime(status.started_ms)}, ${format.ago(status.started_ms)} ago`],
  ].filter(([, value]) => value);
  fill(
    $("status"),
    status.problems?.length > 0 && status.problems.map((one) => h("div", { class: "notice bad", role: "alert" }, h("p", {}, one))),
    status.problems?.length > 0 && h("div", { class: "gap" }),
    h(
      "div",
      { class: "status-grid" },
      panel("What Taskscope found", sentences(status.found), status.next?.length > 0 && [h("h3", { class: "next" }, "What to do next"), sentences(status.next)]),
      panel("About", h("dl", { class: "identity" }, about.map(([name, value]) => [h("dt", {}, name), h("dd", {}, h("span", { title: value }, value))]))),
      SECTIONS.filter(([key]) => status[key]?.length).map(([key, title]) => panel(title, status[key].map(item))),
      targetsPanel,
    ),
  );
  $("status").setAttribute("aria-busy", "false");
}

const panel = (title, ...body) => h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", {}, title)), h("div", { class: "panel-body" }, body));

const sentences = (list) => h("ul", {}, (list?.length ? list : ["Nothing yet."]).map((one) => h("li", {}, one)));

function item({ name, state, detail, figures }) {
  return h(
    "div",
    { class: "status-item" },
    h("div", {}, h("b", {}, name), " ", state && badge(state)),
    h("p", { class: "muted" }, detail ?? ""),
    figures && h("div", { class: "figures" }, Object.entries(figures).map(([key, value]) => h("span", {}, `${words(key)} `, h("b", {}, figure(key, value))))),
  );
}

// what a figure is stands in the end of its name: disk_bytes, lag_seconds, cpu_ratio, series
const UNITS = [
  ["_bytes", format.bytes],
  ["_seconds", (v) => (v < 60 ? `${format.number(v)} s` : format.duration(v * 1000))],
  ["_ms", (v) => (v ? format.dateTime(v) : "–")],
  ["_ratio", format.percent],
  ["_cores", format.cores],
];

const unitOf = (key) => UNITS.find(([end]) => key.endsWith(end));

const words = (key) => (unitOf(key) ? key.slice(0, -unitOf(key)[0].length) : key).replaceAll("_", " ");

const figure = (key, value) => (typeof value !== "number" ? String(value) : unitOf(key) ? unitOf(key)[1](value) : value.toLocaleString("en"));

const targetsPanel = h("section", { class: "panel", hidden: true });

function showTargets(targets) {
  targetsPanel.hidden = !targets.length;
  fill(
    targetsPanel,
    h("div", { class: "panel-head" }, h("h2", {}, "Scrape targets")),
    h(
      "div",
      { class: "panel-body" },
      targets.map((target) =>
        item({
          name: `${target.labels.job ?? target.scrapePool} ${target.labels.instance ?? ""}`,
          state: target.health,
          detail: target.lastError || target.scrapeUrl,
        }),
      ),
    ),
  );
}

const stop = poll(
  async (signal) => show(await ask("/api/status", {}, { signal })),
  5,
  (error) => shown || fill($("status"), problem(error, () => stop.now())),
);
poll(async (signal) => {
  const body = await ask("/api/v1/targets", {}, { signal }).catch((error) => {
    if (error.status === 404) return { data: { activeTargets: [] } };
    throw error;
  });
  showTargets(body.data.activeTargets);
}, 10);
