// One query of the query page: its input with completion and underlined errors, and what it gave.

import { ask } from "./api.js";
import { Chart, stepFor } from "./chart.js";
import { Completer } from "./completer.js";
import { empty, fill, h, problem } from "./dom.js";
import * as format from "./format.js";
import { placeOf } from "./promql.js";
import { promqlWords } from "./promqlwords.js";
import { logsAddress } from "./ways.js";
import { remarks, resultTable, rowsShown, seriesName, tellingLabels, underline } from "./result.js";

const MAX_LINES = 40;
const HEIGHT = 340;
const VIEWS = [["graph", "Graph"], ["table", "Table"]];

export class QueryRow {
  /**
   * `options`: {number from 1, expr, view, picker, onRun(expr), onRemove(row), start() for what an empty query shows}.
   */
  constructor(options) {
    this.options = options;
    this.view = options.view === "table" ? "table" : "graph";
    this.turn = 0;
    const suffix = options.number > 1 ? `-${options.number}` : "";
    const onZoom = (start, end) => options.picker.zoom(start, end);
    this.chart = new Chart({ unit: format.number, axisUnit: format.compact, height: HEIGHT, onZoom });
    this.bytesChart = new Chart({ unit: format.bytes, binary: true, height: HEIGHT, onZoom });
    this.build(suffix);
    this.completer = new Completer(this.input, this.list, promqlWords);
    this.input.value = options.expr ?? "";
    this.bind();
    this.edited();
  }

  get expr() {
    return this.input.value.trim();
  }

  build(suffix) {
    const id = `filter${suffix}`;
    this.input = h("textarea", { id, rows: "1", spellcheck: "false", autocomplete: "off", autocapitalize: "off", placeholder: "PromQL, for example: sum by (app) (rate(container_cpu_usage_seconds_total[2m]))" });
    this.marks = h("div", { class: "underlines", "aria-hidden": "true" });
    this.list = h("ul", { id: `completions${suffix}`, class: "completions", role: "listbox", "aria-label": "What could be typed next", hidden: true });
    this.views = VIEWS.map(([name, text]) => h("button", { type: "button", dataset: { view: name }, onclick: () => this.show(name) }, text));
    this.removeButton = h("button", { type: "button", class: "button", onclick: () => this.options.onRemove(this) }, "Remove");
    this.form = h(
      "form",
      { class: "query-form" },
      h("label", { class: "visually-hidden", for: id }, suffix ? `PromQL expression ${this.options.number}` : "PromQL expression"),
      h("div", { class: "query-input" }, this.marks, this.input, this.list),
      h(
        "div",
        { class: "toolbar tight" },
        h("button", { class: "button primary", type: "submit" }, "Run ", h("kbd", {}, "Ctrl ↵")),
        h("div", { class: "segments", role: "group", "aria-label": "Show as" }, this.views),
        h("button", { type: "button", class: "button", title: "Write it in PromQL's usual form", onclick: () => this.format() }, "Format"),
        h("div", { class: "spacer" }),
        this.removeButton,
      ),
    );
    this.result = h("div", { id: `result${suffix}`, class: "query-result" });
    this.root = h("section", { class: "panel query", "aria-label": `Query ${this.options.number}` }, this.form, this.result);
  }

  bind() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    for (const kind of ["input", "change"]) this.input.addEventListener(kind, () => this.edited());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      this.submit();
    });
    let width = 0;
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width === width) return;
      width = contentRect.width;
      requestAnimationFrame(() => this.fit()); // not within the observer's own round
    }).observe(this.input.parentElement);
  }

  /** What is underlined holds for the text that was asked only. */
  edited() {
    this.fit();
    if (this.marked && this.input.value !== this.marked) this.mark([]);
  }

  fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight + 2}px`;
  }

  mark(places) {
    this.marked = places.length ? this.input.value : "";
    underline(this.marks, this.input.value, places);
  }

  show(view) {
    this.view = view;
    this.submit();
  }

  submit() {
    this.completer.close();
    this.options.onRun(this.expr);
    return this.run();
  }

  async format() {
    if (!this.expr) return;
    try {
      const { data } = await ask("/api/v1/format_query", { query: this.input.value }, { post: true });
      this.input.focus();
      this.input.select();
      document.execCommand("insertText", false, data); // so that it can be undone
      this.completer.close();
      this.mark([]);
    } catch (error) {
      this.wrong(error);
    }
  }

  wrong(error) {
    const place = placeOf(error.message, this.input.value);
    this.mark(place ? [{ ...place, tone: "bad" }] : []);
    const box = problem({ message: error.message.replace(/^invalid parameter "query": /, "") });
    box.classList.add("in-panel");
    fill(this.result, box);
  }

  async run() {
    for (const button of this.views) button.setAttribute("aria-pressed", String(button.dataset.view === this.view));
    const query = this.input.value;
    const mine = ++this.turn;
    if (!this.expr) {
      fill(this.result, this.options.start(this));
      return;
    }
    this.result.setAttribute("aria-busy", "true");
    const began = performance.now();
    try {
      const shown = this.view === "graph" ? await this.graph(query) : await this.table(query);
      if (mine !== this.turn) return;
      const { body } = shown;
      const places = [...(body.warnings ?? []), ...(body.infos ?? [])].map((text) => placeOf(text, query)).filter(Boolean);
      this.mark(places.map((place) => ({ ...place, tone: "warn" })));
      const head = [shown.text, ...cost(body.data.stats, performance.now() - began)].join(" · ");
      fill(this.result, h("p", { class: "result-head" }, head, this.logsLink(body.data)), remarks(body), shown.content);
      shown.draw?.();
    } catch (error) {
      if (mine === this.turn) this.wrong(error);
    }
    if (mine === this.turn) this.result.setAttribute("aria-busy", "false");
  }

  /** The way to the logs of the tasks or apps that the result is about. */
  logsLink({ resultType, result }) {
    if (resultType !== "matrix" && resultType !== "vector") return null;
    const { start, end } = this.options.picker.current();
    const href = logsAddress(result.map(({ metric }) => metric), { start: start * 1000, end: end * 1000 });
    return href && [" · ", h("a", { href }, "Logs of this time")];
  }

  async graph(query) {
    const { start, end } = this.options.picker.current();
    const step = stepFor(start, end, 300, 5);
    const range = { start: Math.floor(start / step) * step, end: Math.floor(end / step) * step, step };
    const body = await ask("/api/v1/query_range", { query, start: range.start, end: range.end, step, stats: "true" }, { post: true });
    const { result } = body.data;
    if (!result.length) return { body, text: "No series", content: empty("No data in this time", "Check the metric's name and labels, or choose a longer time range.") };
    const lines = result.filter(({ values }) => values);
    if (!lines.length) return { body, text: format.plural(result.length, "series", "series"), content: empty("These are histograms", "A graph needs numbers: put histogram_quantile(0.9, …), histogram_count(…) or histogram_avg(…) around them, or look at the table.") };
    const shown = lines.slice(0, MAX_LINES);
    const telling = new Set(tellingLabels(shown.map(({ metric }) => metric)));
    const chart = lines.every(({ metric }) => metric.__name__?.endsWith("_bytes")) ? this.bytesChart : this.chart;
    const more = lines.length > MAX_LINES ? `, the first ${MAX_LINES} are drawn` : "";
    return {
      body,
      text: `${format.plural(result.length, "series", "series")}${more}, step ${format.duration(step * 1000)}`,
      content: chart.root,
      draw: () => chart.draw(shown.map(({ metric, values }) => ({ label: seriesName(metric, telling), points: values })), range),
    };
  }

  async table(query) {
    const time = this.options.picker.live ? undefined : this.options.picker.current().end;
    const body = await ask("/api/v1/query", { query, time, stats: "true" }, { post: true });
    const { resultType, result } = body.data;
    if (resultType === "scalar" || resultType === "string") return { body, text: resultType, content: resultTable(body.data) };
    if (!result.length) return { body, text: "No series", content: empty("No data at this time", "Check the metric's name and labels.") };
    const more = rowsShown(result) < result.length ? `, the first ${rowsShown(result)} are shown` : "";
    return { body, text: `${format.plural(result.length, "series", "series")}${more}`, content: resultTable(body.data) };
  }
}

/** What a query cost: samples, the server's time, and the time until it was here. */
function cost(stats, ms) {
  const total = `${Math.round(ms)} ms`;
  if (!stats) return [total];
  const { samplesRead, seriesTouched } = stats.samples;
  const read = `${format.plural(samplesRead, "sample")} of ${format.plural(seriesTouched, "series", "series")} read`;
  return [...(seriesTouched ? [read] : []), `evaluated in ${format.took(stats.timings.execTotalTime)}`, `${total} in all`];
}
