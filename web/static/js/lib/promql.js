// Where in a query somebody is typing: enough of PromQL's words to know what could come next.

const NAME = /[\p{L}_:][\p{L}\p{N}_:.]*/uy;
const WORD_BEFORE = /[a-zA-Z_:][\w:.]*$/;
const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*$/;

/** Split what stands before the caret into tokens: names, quoted texts, operators; comments are left out. */
function tokens(text) {
  const found = [];
  for (let at = 0; at < text.length; ) {
    const sign = text[at];
    if (/\s/.test(sign)) at += 1;
    else if (sign === "#") {
      const end = text.indexOf("\n", at);
      if (end < 0) return { found, inside: "comment" };
      at = end;
    } else if ("\"'`".includes(sign)) {
      let end = at + 1;
      while (end < text.length && text[end] !== sign) end += sign !== "`" && text[end] === "\\" ? 2 : 1;
      if (end >= text.length) return { found, inside: "string", start: at + 1, quote: sign };
      found.push({ kind: "string", text: text.slice(at + 1, end), at });
      at = end + 1;
    } else {
      NAME.lastIndex = at;
      const name = NAME.exec(text)?.[0];
      const value = name ?? /^(?:=~|!~|!=|==|.)/su.exec(text.slice(at))[0];
      found.push({ kind: name ? "name" : "sign", text: value, at });
      at += value.length;
    }
  }
  return { found, inside: "" };
}

/**
 * What is being typed at the caret: {kind, word, start, ...}.
 * Kinds: "value" {label, selector, quote}, "label" {selector}, "grouping" {metric}, "duration", "expression", "" for nothing.
 */
export function contextAt(text, caret) {
  const before = text.slice(0, caret);
  const { found, inside, start, quote } = tokens(before);
  const nothing = { kind: "", word: "", start: caret };
  if (inside === "comment") return nothing;
  const open = openBrackets(found);
  const innermost = open.at(-1);
  if (inside === "string") {
    const [label, operator] = found.slice(-2);
    if (innermost?.text !== "{" || !/^(?:=|=~|!=|!~)$/.test(operator?.text ?? "")) return nothing;
    return { kind: "value", word: before.slice(start), start, label: label.text, quote, selector: selectorOf(found, innermost, label.at) };
  }
  const word = WORD_BEFORE.exec(before)?.[0] ?? "";
  const at = caret - word.length;
  if (innermost?.text === "{") {
    const last = found.filter((one) => one.at < at).at(-1);
    const begins = last && (last.text === "{" || last.text === ",");
    return begins ? { kind: "label", word, start: at, selector: selectorOf(found, innermost, at) } : nothing;
  }
  if (innermost?.text === "[") return { kind: "duration", word: before.slice(innermost.at + 1), start: innermost.at + 1 };
  if (innermost?.text === "(" && GROUPING.test(before.slice(0, innermost.at))) {
    return { kind: "grouping", word, start: at, metric: firstMetric(text) };
  }
  return word || !before.trim() || /[(,+*/%^<>=-]\s*$/.test(before) ? { kind: "expression", word, start: at } : nothing;
}

function openBrackets(found) {
  const open = [];
  for (const token of found) {
    if (token.kind !== "sign") continue;
    if ("({[".includes(token.text)) open.push(token);
    else if (")}]".includes(token.text)) open.pop();
  }
  return open;
}

/** The selector that a brace opens, without what stands at `until`: what else is known narrows the choice. */
function selectorOf(found, brace, until) {
  const index = found.indexOf(brace);
  const name = found[index - 1]?.kind === "name" ? found[index - 1].text : "";
  const parts = [];
  for (let i = index + 1; i < found.length && found[i].at < until; i += 1) {
    const [label, operator, value] = found.slice(i, i + 3);
    if (value?.kind === "string" && value.at < until && operator.kind === "sign" && label.kind !== "sign") {
      parts.push(`${labelName(label.text)}${operator.text}${quoted(value.text, true)}`);
      i += 2;
    } else if (label.kind === "string") parts.push(quoted(label.text, true)); // {"a name"}
  }
  if (!name && !parts.length) return "";
  return `${name}{${parts.join(",")}}`;
}

const KNOWN = /\b([a-zA-Z_:][\w:]*)\s*[{[]/;

/** The first metric that a query plainly names. */
function firstMetric(text) {
  return KNOWN.exec(text)?.[1] ?? "";
}

const PLAIN_LABEL = /^[a-zA-Z_]\w*$/;
const PLAIN_METRIC = /^[a-zA-Z_:][\w:]*$/;

/** A text in quotes; `raw` if its escapes stand in it already. */
export const quoted = (text, raw = false) => `"${raw ? text : text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
export const labelName = (name) => (PLAIN_LABEL.test(name) ? name : quoted(name));
export const metricName = (name) => (PLAIN_METRIC.test(name) ? name : `{${quoted(name)}}`);

/** The offset of "line:column" in a text, as error messages count: from 1, in bytes. */
export function offsetOf(text, line, column) {
  const lines = text.split("\n");
  const before = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  const bytes = new TextEncoder().encode(lines[line - 1] ?? "").slice(0, column - 1);
  return before + new TextDecoder().decode(bytes).length;
}

/** Where a message says that something is wrong: {start, end} in the text, null if it does not say. */
export function placeOf(message, text) {
  const found = /(?:^|[\s(])(\d+):(\d+)(?:: parse error|\))/.exec(message);
  if (!found) return null;
  const start = Math.min(offsetOf(text, Number(found[1]), Number(found[2])), text.length);
  const rest = /^(?:[\p{L}\p{N}_:.]+|"[^"]*"?|\S)/u.exec(text.slice(start))?.[0] ?? "";
  return { start, end: start + rest.length };
}
