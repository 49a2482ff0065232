// What a query gave, as a table.

import { fill, h } from "./dom.js";
import * as format from "./format.js";

const MAX_TABLE_ROWS = 500;
// what tells series apart only where nothing more telling does
const IDS = ["container_id", "task_id", "container_name", "framework", "cluster", "host", "namespace"];
const ORDER = ["__name__", "cluster", "host", "namespace", "app", "task_name"];

/** How many rows of a result are shown. */
export const rowsShown = (result) => Math.min(result.length, MAX_TABLE_ROWS);

/** A table of an instant query's data: {resultType, result}. */
export function resultTable({ resultType, result }) {
  if (resultType === "scalar" || resultType === "string") return table([], [{ metric: {}, value: result }]);
  const rows = result.slice(0, MAX_TABLE_ROWS);
  return table(tellingLabels(rows.map(({ metric }) => metric)), rows);
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
        rows.map((row) =>
          h(
            "tr",
            { title: seriesName(row.metric) },
            names.map((name) => h("td", {}, format.short(row.metric[name] ?? (name === "task_name" ? row.metric.task_id : "") ?? ""))),
            h("td", { class: "number" }, cell(row)),
          ),
        ),
      ),
    ),
  );
}

function cell({ metric, value, values = [], histogram, histograms = [] }) {
  if (value) return valueCell(metric.__name__ ?? "", value[1]);
  if (histogram) return histogramCell(histogram[1]);
  return [
    values.length > 0 && h("pre", {}, values.map(([t, v]) => `${v} @${t}`).join("\n")),
    histograms.map(([t, one]) => h("div", {}, histogramCell(one), h("span", { class: "muted" }, ` @${t}`))),
  ];
}

function valueCell(name, value) {
  const number = Number(value);
  if (!Number.isFinite(number)) return value;
  return [name.endsWith("_bytes") && h("span", { class: "muted" }, `${format.bytes(number)} = `), value];
}

/** Count and sum of a native histogram, and its buckets as bars. */
function histogramCell({ count, sum, buckets = [] }) {
  const most = Math.max(...buckets.map(([, , , n]) => Number(n)));
  const bars = buckets.map(([, lower, upper, n]) => {
    const bar = h("i", { title: `${lower} to ${upper}: ${n}` });
    bar.style.height = `${Math.max(6, (Number(n) / most) * 100)}%`;
    return bar;
  });
  return h("span", { class: "histogram-cell" }, `count ${count}, sum ${sum}`, bars.length > 0 && h("span", { class: "bars", role: "img", "aria-label": `${bars.length} buckets` }, bars));
}

/** The labels that differ among series; ids only where nothing else tells two of them apart. */
export function tellingLabels(metrics) {
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
export function seriesName({ __name__: name = "", ...labels }, only = null) {
  const pairs = Object.entries(labels)
    .filter(([key]) => !only || only.has(key))
    .map(([key, value]) => `${key}="${only ? format.short(value) : value}"`);
  const shown = only && only.size && !only.has("__name__") ? "" : name;
  return pairs.length || !shown ? `${shown}{${pairs.join(", ")}}` : shown;
}

/** Warnings and infos of an answer; they may be many. */
export function remarks({ warnings = [], infos = [] }) {
  return [...warnings.map((text) => ["warn", text]), ...infos.map((text) => ["", text])].map(([tone, text]) =>
    h("p", { class: `notice in-panel ${tone}`, role: "status" }, text.replace(/^PromQL (?:warning|info): /, "")),
  );
}

/** Mark places of an input's text on the layer behind it: [{start, end, tone}]. */
export function underline(layer, text, places) {
  const parts = [];
  let at = 0;
  for (const { start, end, tone } of [...places].sort((a, b) => a.start - b.start)) {
    if (start < at) continue;
    // at the end of a text there is no character to stand on
    parts.push(text.slice(at, start), h("mark", { dataset: { tone } }, text.slice(start, end) || "\u00a0"));
    at = end;
  }
  fill(layer, ...parts, text.slice(at));
}
