// The time range picker; the range is part of the page's address.

import { fill, h } from "./dom.js";
import * as format from "./format.js";

const PRESETS = [
  ["5m", 300], ["15m", 900], ["1h", 3600], ["6h", 21_600], ["24h", 86_400], ["7d", 604_800],
];

/** When the oldest sample was taken in ms, 0 if that is not known. */
export const oldestSample = Number(document.body.dataset.oldestMs);

/** The shortest range that shows everything since a moment, at most the usual one: no graph begins empty. */
export function fitting(since, usual) {
  const seconds = since ? (Date.now() - since) / 1000 : Infinity;
  const fits = PRESETS.findIndex(([, length]) => length >= seconds);
  const most = PRESETS.findIndex(([name]) => name === usual);
  return PRESETS[fits < 0 ? most : Math.min(fits, most)][0];
}

/**
 * Holds a relative range ("1h") or a fixed one; calls back when it changes. It begins with what the
 * page's address says, else with `fixed` ({start, end} in seconds), else with `initial`. `least` is the
 * shortest range in seconds that can be zoomed to.
 */
export class RangePicker {
  constructor(root, { initial = "1h", fixed = null, least = 10, onChange }) {
    this.root = root;
    this.least = least;
    this.onChange = onChange;
    this.history = [];
    const url = new URL(location.href);
    const from = Number(url.searchParams.get("from"));
    const to = Number(url.searchParams.get("to"));
    const wanted = url.searchParams.get("range") ?? initial;
    this.relative = PRESETS.some(([name]) => name === wanted) ? wanted : initial;
    this.fixed = from && to && to > from ? { start: from / 1000, end: to / 1000 } : url.searchParams.has("range") ? null : fixed;
    this.build();
  }

  /** The range in seconds since the epoch. */
  current() {
    if (this.fixed) return this.fixed;
    const length = PRESETS.find(([name]) => name === this.relative)[1];
    const end = Math.floor(Date.now() / 1000);
    return { start: end - length, end };
  }

  get live() {
    return this.fixed === null;
  }

  preset(name) {
    this.history = [];
    this.relative = name;
    this.fixed = null;
    this.changed();
  }

  zoom(start, end) {
    if (end - start < this.least) return;
    this.history.push(this.fixed);
    this.fixed = { start: Math.floor(start), end: Math.ceil(end) };
    this.changed();
  }

  back() {
    this.fixed = this.history.pop() ?? null;
    this.changed();
  }

  changed() {
    const url = new URL(location.href);
    for (const name of ["range", "from", "to"]) url.searchParams.delete(name);
    if (this.fixed) {
      url.searchParams.set("from", this.fixed.start * 1000);
      url.searchParams.set("to", this.fixed.end * 1000);
    } else url.searchParams.set("range", this.relative);
    history.replaceState(null, "", url);
    this.show();
    this.onChange();
  }

  build() {
    this.buttons = PRESETS.map(([name]) =>
      h("button", { type: "button", "aria-label": `Last ${name}`, onclick: () => this.preset(name) }, name),
    );
    this.from = h("input", { type: "datetime-local", step: "1", "aria-label": "From" });
    this.to = h("input", { type: "datetime-local", step: "1", "aria-label": "To" });
    const apply = () => {
      const start = new Date(this.from.value).getTime() / 1000;
      const end = new Date(this.to.value).getTime() / 1000;
      if (end > start) {
        this.custom.open = false;
        this.zoom(start, end);
      } else this.to.setCustomValidity("To must be after From");
      this.to.reportValidity();
    };
    this.label = h("summary", { class: "button" }, "Custom");
    this.custom = h(
      "details",
      { class: "popover" },
      this.label,
      h(
        "div",
        { class: "popover-body" },
        h("label", {}, "From ", this.from),
        h("label", {}, "To ", this.to),
        h("button", { type: "button", class: "button primary", onclick: apply }, "Apply"),
      ),
    );
    this.to.addEventListener("input", () => this.to.setCustomValidity(""));
    this.custom.addEventListener("toggle", () => {
      const { start, end } = this.current();
      this.from.value = format.localInput(start * 1000);
      this.to.value = format.localInput(end * 1000);
    });
    this.backButton = h("button", { type: "button", class: "button", onclick: () => this.back() }, "Zoom out");
    fill(
      this.root,
      h("div", { class: "range" }, h("div", { class: "segments", role: "group", "aria-label": "Time range" }, this.buttons), this.custom, this.backButton),
    );
    this.show();
  }

  show() {
    PRESETS.forEach(([name], index) => {
      this.buttons[index].setAttribute("aria-pressed", this.live && name === this.relative);
    });
    this.backButton.hidden = this.live;
    this.label.textContent = this.fixed
      ? `${format.moment(this.fixed.start * 1000)} – ${format.moment(this.fixed.end * 1000)}`
      : "Custom";
    this.label.classList.toggle("active", !this.live);
  }
}
