// The values of some fields among the lines found, with counts; a click filters by one.

import { ask, poll } from "./api.js";
import { fill, h } from "./dom.js";
import * as format from "./format.js";

const FIELDS = [["level", "Level"], ["app", "App"], ["task_name", "Task"], ["host", "Host"], ["stream", "Stream"]];
const MOST_VALUES = 8;
const MORE_VALUES = 50;
const SECONDS = 30;

export class Facets {
  /** `options`: {view: the LogView, span() => {start, end} in seconds}. */
  constructor(root, { view, span }) {
    this.root = root;
    this.view = view;
    this.span = span;
    this.long = new Set(); // fields of which more values are shown
    this.values = {};
    this.polled = poll((signal) => this.load(signal), SECONDS);
  }

  /** Ask now, since the query or the time has changed. */
  now() {
    this.turn = (this.turn ?? 0) + 1;
    this.polled.now();
  }

  async load(signal) {
    const turn = this.turn;
    const { start, end } = this.span();
    const filtered = new Set(this.view.filters.map(({ field }) => field));
    const others = FIELDS.map(([field]) => field).filter((field) => !filtered.has(field));
    // a field's own filters are left out, so that further values of it can be chosen
    const questions = [...filtered].filter((field) => FIELDS.some(([name]) => name === field)).map((field) => [[field], this.view.queryWithout(field)]);
    if (others.length) questions.push([others, this.view.fullQuery]);
    let answers;
    try {
      answers = await Promise.all(questions.map(([fields, query]) => ask("/api/logs/facets", { query, start, end, fields: fields.join(","), limit: MORE_VALUES }, { signal })));
    } catch (error) {
      if (error.status === 400) return; // the log itself says what is wrong with the query
      throw error;
    }
    this.values = Object.assign({}, ...answers.map(({ facets }) => facets));
    this.show();
    if (turn !== this.turn) await this.load(signal);
  }

  show() {
    const { filters } = this.view;
    fill(
      this.root,
      FIELDS.map(([field, title]) => {
        const found = this.values[field] ?? [];
        const chosen = filters.filter((one) => one.field === field && !found.some(({ value }) => value === one.value)).map(({ value }) => ({ value, count: 0 }));
        const values = [...found, ...chosen];
        if (!values.length) return null;
        const most = this.long.has(field) ? values.length : MOST_VALUES;
        const largest = Math.max(1, ...values.map(({ count }) => count));
        return h(
          "section",
          { class: "facet", "aria-label": title },
          h("h3", {}, title),
          values.slice(0, most).map(({ value, count }) => this.entry(field, value, count, count / largest)),
          values.length > MOST_VALUES && h("button", { type: "button", class: "facet-more", onclick: () => this.toggleLong(field) }, this.long.has(field) ? "Fewer" : `${values.length - MOST_VALUES} more`),
        );
      }),
    );
  }

  entry(field, value, count, share) {
    const is = (not) => this.view.filters.some((one) => one.field === field && one.value === value && one.not === not);
    const bar = h("i", { class: "facet-bar" });
    bar.style.width = `${Math.round(share * 100)}%`;
    return h(
      "div",
      { class: "facet-entry", dataset: field === "level" ? { level: value } : {} },
      h(
        "button",
        { type: "button", class: "facet-value", "aria-pressed": String(is(false)), title: `Only ${field}: ${value}`, onclick: () => this.view.toggleFilter(field, value) },
        bar,
        h("span", {}, value),
        h("b", { title: count.toLocaleString("en") }, format.compact(count)),
      ),
      h("button", { type: "button", class: "facet-not", "aria-pressed": String(is(true)), title: `Not ${field}: ${value}`, "aria-label": `Not ${field}: ${value}`, onclick: () => this.view.toggleFilter(field, value, true) }, "−"),
    );
  }

  toggleLong(field) {
    if (!this.long.delete(field)) this.long.add(field);
    this.show();
  }
}
