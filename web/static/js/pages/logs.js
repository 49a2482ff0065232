// Search over the logs of all tasks, with a histogram, facets and a live tail.

import "../shell.js";

import { ask, poll } from "../lib/api.js";
import { $ } from "../lib/dom.js";
import { Facets } from "../lib/facets.js";
import { Histogram } from "../lib/histogram.js";
import * as keys from "../lib/keys.js";
import { LogView } from "../lib/logview.js";
import { fitting, oldestSample, RangePicker } from "../lib/range.js";

const NARROW_PIXELS = 1100;
const MOST_BUCKETS = 120;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400]; // seconds

let log = null;
let picker = null;
let pollHistogram = null;
let facets = null;

const histogram = new Histogram($("histogram"), { onZoom: (start, end) => picker.zoom(start, end) });
const inMs = ({ start, end }) => ({ start: start * 1000, end: end * 1000 });

picker = new RangePicker(histogram.tools, {
  initial: fitting(oldestSample, "15m"),
  least: 1,
  onChange() {
    log.setRange(picker.live ? null : inMs(picker.current()));
  },
});

log = new LogView($("log"), {
  base: "",
  columns: ["time", "level", "task"],
  names: { query: "query" },
  range: picker.live ? null : inMs(picker.current()),
  span: () => inMs(picker.current()),
  emptyText: "No task has written anything yet. Lines appear here as soon as one does.",
  onChange() {
    pollHistogram?.now();
    facets?.now();
  },
  onLive() {
    if (!picker.live) picker.preset(picker.relative);
  },
});

facets = new Facets($("facets"), { view: log, span: () => picker.current() });
const side = $("facets-side");
side.open = innerWidth > NARROW_PIXELS;

/** The time of the histogram, in bars of whole seconds that stay where they are while the time goes on. */
function bars({ start, end }) {
  const step = STEPS.find((one) => (end - start) / one <= MOST_BUCKETS) ?? Math.ceil((end - start) / MOST_BUCKETS / 86_400) * 86_400;
  if (!picker.live) return { start, end, buckets: Math.max(1, Math.round((end - start) / step)) };
  const [first, last] = [Math.floor(start / step), Math.ceil(end / step)];
  return { start: first * step, end: last * step, buckets: last - first };
}

pollHistogram = poll(async (signal) => {
  const { start, end, buckets } = bars(picker.current());
  const [counts, who] = await Promise.all([
    ask("/api/logs/histogram", { query: log.fullQuery, start, end, buckets }, { signal }),
    ask("/api/logs/facets", { query: log.fullQuery, start, end, fields: "task_id,app", limit: 20 }, { signal }),
  ]);
  histogram.draw(counts.edges_ms, counts.counts, { start, end });
  showWay(who.facets, { start, end });
}, 15, (error) => {
  if (error.status === 400) histogram.draw([], {}, picker.current(), "");
});

/** The way from these lines to the graphs of the same time: of the one task, or of the apps. */
function showWay({ task_id: tasks, app: apps }, { start, end }) {
  const link = $("graphs-link");
  const time = `from=${Math.floor(start) * 1000}&to=${Math.ceil(end) * 1000}`;
  link.hidden = !tasks.length || (tasks.length > 1 && (!apps.length || apps.length >= 20));
  if (link.hidden) return;
  if (tasks.length === 1) {
    link.href = `/tasks/${encodeURIComponent(tasks[0].value)}?${time}`;
    link.textContent = "The task at this time";
    return;
  }
  const wanted = apps.map(({ value }) => value.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|");
  const query = `sum by (task_name) (rate(container_cpu_usage_seconds_total{app=~${JSON.stringify(wanted)}}[2m]))`;
  link.href = `/query?expr=${encodeURIComponent(query)}&${time}`;
  link.textContent = "Graphs of this time";
}

keys.bind("p", "Pause or resume", () => log.setPaused(!log.paused));
keys.bind("f", "Filters", () => (side.open = !side.open));
log.bindKeys(keys);
