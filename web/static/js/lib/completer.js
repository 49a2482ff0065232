// What could be typed next, below a query's input: metrics, functions, labels, their values, durations.

import { ask } from "./api.js";
import { fill, h } from "./dom.js";
import { contextAt, labelName, metricName, quoted } from "./promql.js";

const MOST_SHOWN = 20;
const MOST_ASKED = 2000;
const FRESH_MS = 60_000;
const DURATIONS = ["1m", "2m", "5m", "15m", "30m", "1h", "6h", "1d"].map((text) => ({ text, kind: "duration" }));
const answers = new Map();

/** Ask once a minute at most; an error gives nothing to choose from. */
function asked(path, parameters, fallback) {
  const key = `${path}?${new URLSearchParams(Object.entries(parameters))}`;
  const known = answers.get(key);
  if (known && Date.now() - known.at < FRESH_MS) return known.promise;
  const promise = ask(path, parameters).then((body) => body.data ?? body).catch(() => {
    answers.delete(key);
    return fallback;
  });
  answers.set(key, { at: Date.now(), promise });
  return promise;
}

const recently = () => ({ start: Math.floor(Date.now() / FRESH_MS) * 60 - 3600 });
const matching = (selector) => (selector ? { "match[]": selector } : {});

async function expressions() {
  const [names, metadata, words] = await Promise.all([
    asked("/api/v1/label/__name__/values", { limit: 50_000 }, []),
    asked("/api/v1/metadata", {}, {}),
    asked("/api/promql/words", {}, { functions: [], aggregations: [], words: [] }),
  ]);
  const calls = [...words.aggregations, ...words.functions];
  return [
    ...names.map((name) => ({ text: name, insert: metricName(name), kind: metadata[name]?.[0]?.type ?? "metric", help: metadata[name]?.[0]?.help })),
    ...calls.map(({ name, signature, doc }) => ({ text: name, insert: `${name}(`, kind: "function", help: [signature, doc].filter(Boolean).join(": ") })),
    ...words.words.map((text) => ({ text, kind: "word" })),
  ];
}

async function labels(selector, ending) {
  const names = await asked("/api/v1/labels", { ...matching(selector), ...recently(), limit: MOST_ASKED }, []);
  return names.filter((name) => name !== "__name__").map((name) => ({ text: name, insert: labelName(name) + ending, kind: "label" }));
}

async function values({ label, selector, quote }) {
  const path = `/api/v1/label/${encodeURIComponent(escaped(label))}/values`;
  const found = await asked(path, { ...matching(selector), ...recently(), limit: MOST_ASKED }, []);
  const inner = (text) => (quote === '"' ? quoted(text).slice(1, -1) : text);
  return found.map((text) => ({ text, insert: inner(text) + quote, kind: "value" }));
}

/** A label's name as it can stand in a path. */
function escaped(name) {
  if (/^[a-zA-Z_]\w*$/.test(name) && !name.startsWith("U__")) return name;
  return `U__${[...name].map((sign) => (sign === "_" ? "__" : /\w/.test(sign) ? sign : `_${sign.codePointAt(0).toString(16)}_`)).join("")}`;
}

function choices(context) {
  switch (context.kind) {
    case "expression": return expressions();
    case "label": return labels(context.selector, "=\"");
    case "grouping": return labels(context.metric, "");
    case "value": return values(context);
    case "duration": return Promise.resolve(DURATIONS.map((one) => ({ ...one, insert: `${one.text}]` })));
    default: return Promise.resolve([]);
  }
}

/** The best first: what begins with the word, then what has it somewhere, then its letters in order. */
function ranked(found, word) {
  if (!word) return found;
  const lower = word.toLowerCase();
  const letters = new RegExp([...lower].map((sign) => sign.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join(".*"));
  const rank = ({ text }) => {
    const name = text.toLowerCase();
    if (name.startsWith(lower)) return 0;
    if (name.includes(lower)) return 1;
    return lower.length > 2 && letters.test(name) ? 2 : 3;
  };
  return found.map((one) => [rank(one), one]).filter(([place]) => place < 3).sort(([a], [b]) => a - b).map(([, one]) => one);
}

export class Completer {
  /** Serve one textarea with a list below it. */
  constructor(input, list) {
    this.input = input;
    this.list = list;
    this.shown = [];
    this.choice = 0;
    this.turn = 0;
    for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", list.id]]) input.setAttribute(name, value);
    input.addEventListener("focus", () => void expressions());
    input.addEventListener("input", () => this.open());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.key(event));
  }

  get isOpen() {
    return !this.list.hidden;
  }

  async open(asked = false) {
    const mine = ++this.turn;
    const context = contextAt(this.input.value, this.input.selectionStart);
    if (context.kind === "expression" && context.word.length < 2 && !asked) return this.close();
    if (this.isOpen && (context.kind !== this.context.kind || context.start !== this.context.start)) this.offer([]); // it was about another place
    const found = ranked(await choices(context), context.word).filter((one) => one.insert !== context.word && one.text !== context.word);
    if (mine !== this.turn) return undefined;
    this.context = context;
    return this.offer(document.activeElement === this.input ? found.slice(0, MOST_SHOWN) : []);
  }

  offer(found) {
    this.shown = found;
    this.choice = 0;
    this.list.hidden = !this.shown.length;
    this.input.setAttribute("aria-expanded", String(this.isOpen));
    fill(
      this.list,
      this.shown.map(({ text, kind, help }, index) =>
        h("li", { role: "option", id: `${this.list.id}-${index}`, dataset: { kind }, onmousedown: (event) => (event.preventDefault(), this.take(index)) }, h("span", {}, text), help && h("small", {}, help)),
      ),
    );
    this.point();
  }

  point() {
    [...this.list.children].forEach((li, i) => li.setAttribute("aria-selected", String(i === this.choice)));
    if (!this.isOpen) {
      this.input.removeAttribute("aria-activedescendant");
      return;
    }
    this.input.setAttribute("aria-activedescendant", `${this.list.id}-${this.choice}`);
    this.list.children[this.choice].scrollIntoView({ block: "nearest" });
  }

  close() {
    this.turn += 1;
    this.offer([]);
  }

  take(index) {
    const { text, insert = text } = this.shown[index];
    const { start, kind } = this.context;
    const caret = this.input.selectionStart;
    const after = this.input.value.slice(caret);
    // what stands there already is not written twice
    const ending = ["=\"", "(", "]", "\"", "'", "`"].find((sign) => insert.endsWith(sign) && after.startsWith(sign)) ?? "";
    this.input.setRangeText(insert.slice(0, insert.length - ending.length), start, caret, "end");
    this.input.selectionStart = this.input.selectionEnd += ending.length;
    this.input.focus();
    this.input.dispatchEvent(new Event("change"));
    if (kind === "label") this.open();
    else this.close();
  }

  key(event) {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      this.open(true);
      return;
    }
    if (!this.isOpen) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.choice = (this.choice + step + this.shown.length) % this.shown.length;
      this.point();
    } else if ((event.key === "Enter" && !event.ctrlKey && !event.metaKey && !event.shiftKey) || event.key === "Tab") this.take(this.choice);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}
