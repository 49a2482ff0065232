// The rows of a log view: their columns, their heights before they are drawn, what their buttons do.

import { h } from "./dom.js";
import * as format from "./format.js";
import { openContext } from "./logcontext.js";
import { FOLDED_LINES, linesOf, logRow } from "./logrow.js";

const LINE_PIXELS = 18;
const WIDTHS = { time: 92, level: 46, task: 160 };
const DATED_PIXELS = 134;
const CELL_PIXELS = 120;
const PHONE_PIXELS = 760;

export class LogRows {
  constructor(view) {
    this.view = view;
  }

  /** Take up columns and wrapping. */
  look() {
    const { view } = this;
    const widths = view.columns.map((name) => (name === "time" && view.dated ? DATED_PIXELS : WIDTHS[name] ?? CELL_PIXELS));
    view.frame.style.setProperty("--log-columns", [...widths.map((width) => `${width}px`), "minmax(0, 1fr)"].join(" "));
    view.frame.classList.toggle("no-wrap", !view.wrap);
    this.taken = widths.reduce((sum, width) => sum + width, 24);
    const style = getComputedStyle(view.frame);
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.font = `${style.fontSize} ${style.fontFamily}`;
    this.signPixels = canvas.measureText("0").width;
    view.list.reflow();
  }

  /** How high a row will be, about. */
  guess(item) {
    const { view } = this;
    if (item.mark) return LINE_PIXELS + 4;
    const lines = linesOf(item);
    const shown = lines.slice(0, FOLDED_LINES);
    const narrow = innerWidth <= PHONE_PIXELS;
    const room = Math.max(8, (view.frame.clientWidth - (narrow ? 24 : this.taken)) / this.signPixels);
    const count = view.wrap ? shown.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / room)), 0) : shown.length;
    return (count + (lines.length > FOLDED_LINES) + (narrow && view.columns.length > 0)) * LINE_PIXELS + (narrow ? 8 : 2);
  }

  row(item) {
    const { view } = this;
    if (item.mark) return h("div", { class: "log-mark" }, format.dateTime(item.mark));
    const look = { columns: view.columns, pattern: view.pattern, target: view.line, isOpen: ({ id }) => view.open.has(id) };
    const row = logRow(item, look, {
      filter: (term) => view.setQuery(view.query ? `(${view.query}) AND ${term}` : term),
      around: (record) => view.jumpTo(record.ts_ms, record.id),
      context: (record) => openContext(record, view.pattern),
      link: (record) => view.share(record),
      column: (name) => view.toggleColumn(name),
      toggled: (record, open) => {
        if (open) view.open.add(record.id);
        else view.open.delete(record.id);
        view.list.sticky = false; // what somebody reads does not run away under their eyes
        if (open) view.list.reveal(view.list.items.indexOf(record));
      },
    });
    row.classList.toggle("current", item === view.current);
    return row;
  }
}
