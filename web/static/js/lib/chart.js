// Time series charts: uPlot in the console's colours, with a shared cursor and drag to zoom.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";

import { fill, h } from "./dom.js";
import * as format from "./format.js";

const sync = uPlot.sync("charts");
const HEIGHT = 140;
// the cursor is shared, a selection is one chart's own
const SHARED_EVENTS = new Set(["mousemove", "mouseleave", "mouseenter"]);
// axis steps for bytes: 1, 2, 4 ... of each unit
const BINARY_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);

const probe = document.head.appendChild(h("i"));

/** A colour as a canvas takes it: without variables, and light or dark as the page is. */
function plain(color) {
  probe.style.color = color;
  return getComputedStyle(probe).color;
}

const NAMED_COLORS = 8;
const MARKER_PIXELS = 8; // closer ones would hide what they mark

/** The colour of the nth line: its own, or a chosen one; beyond those hues a golden angle apart. */
function seriesColor(one, index) {
  if (one.color) return `var(${one.color})`;
  if (index < NAMED_COLORS) return `var(--series-${index + 1})`;
  const hue = Math.round(index * 137.5 + 100) % 360;
  return `light-dark(hsl(${hue} 55% 42%), hsl(${hue} 55% 68%))`;
}

function timeSplits(self, splits) {
  const span = self.scales.x.max - self.scales.x.min;
  let lastDate = "";
  return splits.map((seconds) => {
    const ms = seconds * 1000;
    const day = format.date(ms);
    const text = span <= 900 ? format.clock(ms) : format.clock(ms).slice(0, 5);
    if (span > 86_400 && day !== lastDate) {
      lastDate = day;
      return `${text}\n${day.slice(5)}`;
    }
    return text;
  });
}

/** Join series with times of their own into uPlot's columns; a missing point is null. */
export function columns(seriesPoints) {
  const times = [...new Set(seriesPoints.flatMap((points) => points.map(([t]) => t)))].sort((a, b) => a - b);
  const at = new Map(times.map((t, i) => [t, i]));
  return [
    times,
    ...seriesPoints.map((points) => {
      const column = new Array(times.length).fill(null);
      for (const [t, v] of points) {
        const value = Number(v);
        column[at.get(t)] = Number.isFinite(value) ? value : null;
      }
      return column;
    }),
  ];
}

/** Put null where a series has a hole longer than its step, so that no line bridges it. */
function withGaps(data, step) {
  const [times, ...series] = data;
  const holes = [];
  for (let i = 1; i < times.length; i += 1) if (times[i] - times[i - 1] > step * 1.5) holes.push(i);
  if (!holes.length) return data;
  const spread = (column, filler) => {
    const out = [];
    let from = 0;
    for (const hole of holes) {
      out.push(...column.slice(from, hole), filler(hole));
      from = hole;
    }
    out.push(...column.slice(from));
    return out;
  };
  return [spread(times, (i) => times[i - 1] + step), ...series.map((c) => spread(c, () => null))];
}

/**
 * One chart with a title and a legend that shows the values under the cursor.
 * `options`: {title, description, unit: function, axisUnit: function of its own for the axis, binary: true for bytes, onZoom(start, end), height, markers: () => [{t, color}] in order of time}.
 */
export class Chart {
  constructor(options) {
    this.options = options;
    this.plot = null;
    this.shown = null;
    this.body = h("div", { class: "chart-body" });
    this.legend = h("div", { class: "chart-legend" });
    this.root = h(
      "figure",
      { class: "chart", "aria-label": options.title ?? "Graph" },
      options.title && h("figcaption", { title: options.description ?? "" }, h("span", {}, options.title)),
      this.body,
      this.legend,
    );
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.body);
    document.addEventListener("themechange", () => this.shown && this.draw(...this.shown, true));
  }

  resize() {
    const width = this.body.clientWidth;
    if (this.plot && width && Math.abs(width - this.plot.width) > 1) this.plot.setSize({ width, height: this.height });
  }

  get height() {
    return this.options.height ?? HEIGHT;
  }

  message(text, bad = false) {
    this.plot?.destroy();
    this.plot = null;
    this.shown = null;
    fill(this.body, h("p", { class: bad ? "chart-message bad-text" : "chart-message" }, text));
    fill(this.legend);
  }

  /** Show series [{label, points: [[seconds, "v"]], color?, dash?, fill?}] over a range in seconds. */
  draw(series, range, anew = false) {
    this.shown = [series, range];
    const data = withGaps(columns(series.map((one) => one.points)), range.step);
    const key = JSON.stringify(series.map((one) => [one.label, one.dash, one.color]));
    if (this.plot && this.key === key && !anew) {
      this.range = range;
      this.plot.setData(data, false);
      this.plot.setScale("x", { min: range.start, max: range.end });
      this.showLegend(null);
      return;
    }
    this.key = key;
    this.range = range;
    this.plot?.destroy();
    fill(this.body);
    this.series = series;
    this.plot = new uPlot(this.settings(series), data, this.body);
    this.plot.setScale("x", { min: range.start, max: range.end });
    this.buildLegend();
  }

  settings(series) {
    const axis = {
      stroke: plain("var(--muted)"),
      font: "11px system-ui, sans-serif",
      grid: { stroke: plain("var(--grid)"), width: 1 },
      ticks: { show: false },
    };
    return {
      width: Math.max(this.body.clientWidth, 200),
      height: this.height,
      padding: [8, 28, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: sync.key, filters: { sub: (type) => SHARED_EVENTS.has(type) } }, drag: { x: true, y: false, setScale: false }, points: { size: 6 }, focus: { prox: 24 } },
      scales: {
        x: { time: true, range: (self, min, max) => [min, max] },
        y: { range: (self, min, max) => yRange(min, max) },
      },
      axes: [
        { ...axis, values: timeSplits, space: 60, size: 28 },
        {
          ...axis,
          values: (self, splits) => splits.map((v) => (this.options.axisUnit ?? this.options.unit)(v)),
          incrs: this.options.binary ? BINARY_STEPS : undefined,
          size: 66,
          space: 30,
        },
      ],
      series: [
        {},
        ...series.map((one, index) => {
          const color = seriesColor(one, index);
          return {
            label: one.label,
            stroke: plain(color),
            width: one.dash ? 1.25 : 1.5,
            dash: one.dash ? [5, 4] : undefined,
            fill: one.fill ? plain(`color-mix(in srgb, ${color} 12%, transparent)`) : undefined,
            points: { show: false },
            spanGaps: false,
          };
        }),
      ],
      hooks: {
        setCursor: [(self) => this.showLegend(self.cursor.idx)],
        setSelect: [(self) => this.zoomed(self)],
        draw: [(self) => this.drawMarkers(self)],
      },
    };
  }

  zoomed(self) {
    if (self.select.width < 4) return;
    const start = self.posToVal(self.select.left, "x");
    const end = self.posToVal(self.select.left + self.select.width, "x");
    self.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.options.onZoom?.(start, end);
  }

  drawMarkers(self) {
    const markers = this.options.markers?.() ?? [];
    const { ctx } = self;
    const { left, top, width, height } = self.bbox;
    ctx.save();
    ctx.setLineDash([4, 3]);
    ctx.lineWidth = devicePixelRatio;
    ctx.globalAlpha = 0.6; // they come second to the values
    let last = -Infinity;
    for (const { t, color } of markers) {
      const x = self.valToPos(t, "x", true);
      if (x < left || x > left + width || x - last < MARKER_PIXELS * devicePixelRatio) continue;
      last = x;
      ctx.strokeStyle = plain(`var(${color})`);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
    }
    ctx.restore();
  }

  buildLegend() {
    this.values = this.series.map(() => h("b", {}));
    this.time = h("time", { class: "chart-time" });
    fill(
      this.legend,
      this.series.map((one, index) => {
        const swatch = h("i", { class: one.dash ? "swatch dashed" : "swatch" });
        swatch.style.setProperty("--color", seriesColor(one, index));
        const entry = h("button", { type: "button", class: "legend-entry", title: one.label, "aria-pressed": "true" }, swatch, h("span", {}, one.label), this.values[index]);
        entry.addEventListener("click", () => {
          const show = !this.plot.series[index + 1].show;
          this.plot.setSeries(index + 1, { show });
          entry.setAttribute("aria-pressed", show);
        });
        return entry;
      }),
      this.time,
    );
    this.showLegend(null);
  }

  showLegend(index) {
    if (!this.plot || !this.values) return;
    const [times, ...series] = this.plot.data;
    series.forEach((column, i) => {
      let at = index ?? column.length - 1;
      if (index === null || index === undefined) while (at > 0 && column[at] === null) at -= 1;
      const value = column[at];
      const text = value === null || value === undefined ? "–" : this.options.unit(value);
      if (this.values[i] && this.values[i].textContent !== text) this.values[i].textContent = text;
    });
    const time = index === null || index === undefined ? "" : format.moment(times[index] * 1000);
    if (this.time.textContent !== time) this.time.textContent = time;
  }
}

/** From zero where values are not negative; never a flat scale. */
function yRange(min, max) {
  if (min === null || max === null) return [0, 1];
  const low = min < 0 ? min * 1.08 : 0;
  const high = max > 0 ? max * 1.08 : 0;
  return low === high ? [0, 1] : [low, high];
}

/** A step that gives about `points` points, a multiple of the scrape interval. */
export function stepFor(start, end, points = 240, least = 15) {
  const steps = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400];
  const wanted = Math.max(least, (end - start) / points);
  return steps.find((step) => step >= wanted) ?? Math.ceil(wanted);
}
