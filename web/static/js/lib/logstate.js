// Which records a log shows and how: query, level, filters, time, columns, wrapping. The page's address holds it.

import { quote } from "./logrow.js";

/** Terms of a query, and the names of their buttons. */
export const LEVELS = [
  ["", "All"],
  ["NOT level:(debug OR trace)", "Info +"],
  ["level:(warn OR error OR fatal)", "Warn +"],
  ["level:(error OR fatal)", "Error +"],
];

export class LogState {
  /** `options`: {base: query all records must match, columns: those shown at first, range: {start, end} in ms, names: {query: its name in the address}}. */
  constructor(options) {
    this.options = options;
    this.standard = options.columns;
    this.range = options.range ?? null;
    this.recall(new URL(location.href).searchParams);
  }

  get fullQuery() {
    return [this.options.base, LEVELS[this.level][0], ...this.filterTerms(), this.query && `(${this.query})`].filter(Boolean).join(" AND ");
  }

  get live() {
    return this.at === null && this.range === null;
  }

  /** The filters as terms of a query, without those of one field if it is named. */
  filterTerms(without = "") {
    const fields = new Map();
    for (const one of this.filters) {
      if (one.field === without) continue;
      const key = `${one.not ? "NOT " : ""}${one.field}`;
      fields.set(key, [...(fields.get(key) ?? []), quote(one.value)]);
    }
    return [...fields].map(([key, values]) => (values.length > 1 ? `${key}:(${values.join(" OR ")})` : `${key}:${values[0]}`));
  }

  /** The whole query without the filters of one field. */
  queryWithout(field) {
    return [this.options.base, LEVELS[this.level][0], ...this.filterTerms(field), this.query && `(${this.query})`].filter(Boolean).join(" AND ");
  }

  recall(parameters) {
    this.query = parameters.get(this.options.names.query) ?? "";
    const level = Number(parameters.get("level"));
    this.level = LEVELS[level] ? level : 0;
    this.at = Number(parameters.get("at")) || null;
    this.line = parameters.get("line");
    this.paused = parameters.get("live") === "0";
    this.wrap = parameters.get("wrap") !== "0";
    this.columns = parameters.get("columns")?.split(",").filter(Boolean) ?? [...this.standard];
    this.filters = parameters.getAll("f").map((text) => {
      const [, not, field, value] = /^(-?)([^:]+):(.*)$/s.exec(text) ?? [];
      return { field, value, not: not === "-" };
    }).filter(({ field, value }) => field && value);
  }

  address() {
    const address = new URL(location.href);
    const wanted = {
      [this.options.names.query]: this.query, level: this.level || "", at: this.at ?? "", line: this.at === null ? "" : this.line ?? "",
      live: this.paused ? "0" : "", wrap: this.wrap ? "" : "0", columns: String(this.columns) === String(this.standard) ? "" : this.columns.join(",") || ",",
    };
    for (const [name, value] of Object.entries(wanted)) {
      if (value) address.searchParams.set(name, value);
      else address.searchParams.delete(name);
    }
    address.searchParams.delete("f");
    for (const { field, value, not } of this.filters) address.searchParams.append("f", `${not ? "-" : ""}${field}:${value}`);
    return address;
  }

  remember() {
    history.replaceState(null, "", this.address());
  }
}
