// How many log lines over time, stacked by level; drag over it to zoom in.

import { fill, h, s } from "./dom.js";
import * as format from "./format.js";

const ORDER = ["fatal", "error", "warn", "info", "debug", "trace", ""];
const HEIGHT = 64;
const SEEN = new Set(["fatal", "error", "warn"]); // one of them among thousands of others can still be seen
const SEEN_HEIGHT = 1.5;

export class Histogram {
  constructor(root, { onZoom }) {
    this.root = root;
    this.onZoom = onZoom;
    this.head = h("div", { class: "histogram-head" });
    this.svg = s("svg", { preserveAspectRatio: "none", role: "img", "aria-label": "Log lines over time by level" });
    this.select = h("div", { class: "histogram-select", hidden: true });
    this.plot = h("div", { class: "histogram-plot" }, this.svg, this.select);
    this.axis = h("div", { class: "histogram-axis" });
    this.tools = h("span", {});
    this.legend = h("span", { class: "histogram-head" });
    fill(this.head, this.legend, h("span", { class: "spacer" }), this.tools);
    this.legend.style.margin = "0";
    fill(root, this.head, this.plot, this.axis);
    this.listen();
  }

  listen() {
    let from = null;
    const at = (event) => {
      const box = this.plot.getBoundingClientRect();
      return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    };
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.range) return;
      from = at(event);
      this.plot.setPointerCapture(event.pointerId);
    });
    this.plot.addEventListener("pointermove", (event) => {
      if (from === null) {
        this.hover(at(event));
        return;
      }
      const to = at(event);
      this.select.hidden = false;
      this.select.style.left = `${Math.min(from, to) * 100}%`;
      this.select.style.width = `${Math.abs(to - from) * 100}%`;
    });
    this.plot.addEventListener("pointerleave", () => from === null && this.showLegend(null));
    this.plot.addEventListener("pointercancel", () => {
      from = null;
      this.select.hidden = true;
    });
    this.plot.addEventListener("pointerup", (event) => {
      if (from === null) return;
      let [low, high] = [from, at(event)].sort((a, b) => a - b);
      from = null;
      this.select.hidden = true;
      // whole bars: what is shown next then begins and ends with whole ones too
      const bars = Math.max(1, this.edges.length);
      const isClick = high - low < 0.5 / bars;
      low = (isClick ? Math.floor(low * bars) : Math.round(low * bars)) / bars;
      high = isClick ? low + 1 / bars : Math.max(low + 1 / bars, Math.round(high * bars) / bars);
      const { start, end } = this.range;
      this.onZoom(start + low * (end - start), start + high * (end - start));
    });
  }

  /** Show counts by level for bucket starts in ms; the range is in seconds; `nothing` is said where all counts are 0. */
  draw(edges, counts, range, nothing = "No lines in this time") {
    this.nothing = nothing;
    this.edges = edges;
    this.counts = counts;
    this.range = range;
    this.levels = ORDER.filter((level) => counts[level]?.some((n) => n > 0));
    const totals = edges.map((_, i) => this.levels.reduce((sum, level) => sum + counts[level][i], 0));
    const top = Math.max(1, ...totals);
    this.svg.setAttribute("viewBox", `0 0 ${edges.length} ${HEIGHT}`);
    const bars = this.levels.map((level) => s("path", { class: "level-fill", "data-level": level, d: "" }));
    const paths = this.levels.map(() => "");
    edges.forEach((_, i) => {
      let y = HEIGHT;
      this.levels.forEach((level, j) => {
        if (!counts[level][i]) return;
        const share = (counts[level][i] / top) * (HEIGHT - 2 - SEEN.size * SEEN_HEIGHT);
        const height = SEEN.has(level) ? Math.max(SEEN_HEIGHT, share) : share;
        y -= height;
        paths[j] += `M${i + 0.06} ${y.toFixed(2)}h0.88v${height.toFixed(2)}h-0.88z`;
      });
    });
    bars.forEach((bar, j) => bar.setAttribute("d", paths[j]));
    fill(this.svg, bars);
    const middle = (range.start + range.end) / 2;
    fill(this.axis, [range.start, middle, range.end].map((t) => h("span", {}, format.moment(t * 1000))));
    this.showLegend(null);
  }

  hover(share) {
    if (this.edges) this.showLegend(Math.min(this.edges.length - 1, Math.floor(share * this.edges.length)));
  }

  showLegend(index) {
    if (!this.levels) return;
    const count = (level) => (index === null ? this.counts[level].reduce((a, b) => a + b, 0) : this.counts[level][index]);
    fill(
      this.legend,
      (index !== null || !this.levels.length) && h("span", { class: "muted" }, index === null ? this.nothing : format.moment(this.edges[index])),
      this.levels.map((level) =>
        h("span", { class: "legend" }, h("i", { class: "level-fill", "data-level": level }), `${level || "no level"} `, h("b", {}, count(level).toLocaleString("en"))),
      ),
    );
  }
}
