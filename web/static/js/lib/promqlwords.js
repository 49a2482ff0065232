// What could be typed next in PromQL: metrics, functions, labels, their values, durations.

import { asked, FRESH_MS } from "./completer.js";
import { contextAt, labelName, metricName, quoted } from "./promql.js";

const MOST_ASKED = 2000;
const DURATIONS = ["1m", "2m", "5m", "15m", "30m", "1h", "6h", "1d"].map((text) => ({ text, kind: "duration" }));
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

/** For a Completer: where somebody types, and what there is to choose from. */
export const promqlWords = {
  eager: true,
  warm: () => void expressions(),
  contextAt(text, caret) {
    const context = contextAt(text, caret);
    return { ...context, shy: context.kind === "expression" && context.word.length < 2, goesOn: context.kind === "label" };
  },
  choices,
};
