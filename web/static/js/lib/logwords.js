// What could be typed next in a log query: fields, and the values that a field has among the lines.

import { asked, FRESH_MS } from "./completer.js";
import { fieldNames, quote, SHORT_NAMES } from "./logrow.js";

const FIELD = /^-?([A-Za-z_@][\w.@-]*):/;
const WORD = /^(?:\\.?|[^\s()"\\])+/s;
const OPERATORS = /^(?:AND|OR|NOT|TO)$/;
const MOST_VALUES = 200;
const LAST_LINES = 200; // in which the records' own fields are looked for
const NOTHING = { kind: "", word: "" };

/** What is being typed at the caret: {kind: "field", "value" or "" for nothing, word, start, field, quoted}. */
export function contextAt(text, caret) {
  const before = text.slice(0, caret);
  const brackets = []; // the field whose values each of them holds, "" for none
  let field = "";
  let at = 0;
  while (at < before.length) {
    const rest = before.slice(at);
    const owner = field || brackets.at(-1) || "";
    const name = field ? null : FIELD.exec(rest);
    if (rest[0] === '"') {
      const whole = /^"(?:\\.|[^"\\])*"/s.exec(rest);
      if (!whole) return owner ? { kind: "value", word: rest.slice(1), start: at + 1, field: owner, quoted: true } : NOTHING;
      at += whole[0].length;
      field = "";
    } else if (/[\s()]/.test(rest[0])) {
      if (rest[0] === "(") brackets.push(owner);
      else if (rest[0] === ")") brackets.pop();
      at += 1;
      field = "";
    } else if (name && !brackets.at(-1)) {
      [, field] = name;
      at += name[0].length;
    } else {
      const [word] = WORD.exec(rest);
      if (at + word.length === before.length) return typed(word, at, owner);
      at += word.length;
      field = "";
    }
  }
  const owner = field || brackets.at(-1) || "";
  return owner ? { kind: "value", word: "", start: caret, field: owner } : { kind: "field", word: "", start: caret, shy: true };
}

function typed(word, at, field) {
  if (OPERATORS.test(word) || /^[/<>[{]/.test(word)) return NOTHING;
  if (field) return { kind: "value", word, start: at, field };
  const minus = word.startsWith("-") ? 1 : 0;
  return { kind: "field", word: word.slice(minus), start: at + minus, shy: word.length - minus < 2, goesOn: true };
}

/** For a Completer of a LogView's search. */
export function logWords(view) {
  function fields() {
    const own = new Set(view.list.items.slice(-LAST_LINES).flatMap((record) => (record.mark ? [] : fieldNames(record))));
    return [...new Set([...Object.values(SHORT_NAMES), ...own])].sort().map((name) => ({ text: name, insert: `${name}:`, kind: "field" }));
  }

  async function values({ field, quoted }) {
    const query = [view.options.base, ...view.filterTerms(field)].filter(Boolean).join(" AND ");
    const { start, end } = view.span();
    const whole = (ms) => (Math.round(ms / FRESH_MS) * FRESH_MS) / 1000; // so that an answer serves for a while
    const time = view.range ? { start: start / 1000, end: end / 1000 } : { start: whole(start), end: whole(end + FRESH_MS) };
    const { facets } = await asked("/api/logs/facets", { query, ...time, fields: field, limit: MOST_VALUES }, { facets: {} });
    const written = (value) => (quoted ? `${value.replace(/["\\]/g, "\\$&")}"` : quote(value));
    const found = (Object.values(facets)[0] ?? []).map(({ value, count }) => ({ text: value, insert: written(value), kind: count.toLocaleString("en") }));
    return field === "level" ? [...found, { text: "none", insert: written("none"), kind: "without" }] : found;
  }

  return {
    eager: false, // Enter searches for what was typed
    warm() {},
    contextAt,
    choices: (context) => (context.kind === "value" ? values(context) : Promise.resolve(context.kind ? fields() : [])),
  };
}
