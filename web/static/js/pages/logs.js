// Search over the logs of all tasks, with a histogram and a live tail.

import "../shell.js";

import { ask, poll } from "../lib/api.js";
import { $ } from "../lib/dom.js";
import { Histogram } from "../lib/histogram.js";
import * as keys from "../lib/keys.js";
import { LogView } from "../lib/logview.js";
import { fitting, oldestSample, RangePicker } from "../lib/range.js";

const url = new URL(location.href);
let log = null;
let picker = null;
let pollHistogram = null;

const histogram = new Histogram($("histogram"), { onZoom: (start, end) => picker.zoom(start, end) });

picker = new RangePicker(histogram.tools, {
  initial: fitting(oldestSample, "15m"),
  onChange() {
    const { start, end } = picker.current();
    log.setRange(picker.live ? null : { start: start * 1000, end: end * 1000 });
    pollHistogram.now();
  },
});

function remember(view) {
  const address = new URL(location.href);
  const wanted = { query: view.query, level: view.level || "", at: view.at ?? "", live: view.paused ? "0" : "" };
  for (const [name, value] of Object.entries(wanted)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
}

log = new LogView($("log"), {
  base: "",
  showTask: true,
  query: url.searchParams.get("query") ?? "",
  level: url.searchParams.get("level") ?? 0,
  at: Number(url.searchParams.get("at")) || null,
  live: url.searchParams.get("live") !== "0",
  range: picker.live ? null : { start: picker.current().start * 1000, end: picker.current().end * 1000 },
  emptyText: "No task has written anything yet. Lines appear here as soon as one does.",
  onChange(view) {
    remember(view);
    pollHistogram?.now();
  },
  onLive() {
    if (!picker.live) picker.preset(picker.relative);
  },
});

pollHistogram = poll(async (signal) => {
  const { start, end } = picker.current();
  const counts = await ask("/api/logs/histogram", { query: log.fullQuery, start, end, buckets: 90 }, { signal });
  histogram.draw(counts.edges_ms, counts.counts, { start, end });
}, 15);

keys.bind("p", "Pause or resume", () => log.setPaused(!log.paused));
keys.walk(
  () => [...document.querySelectorAll(".log-row")],
  (row) => row.toggleFields(),
);
