// What of a message a query is about, made to stand out. The server says what that is.

import { h } from "./dom.js";

const LONGEST = 5_000; // of a longer message only so much is looked at
const MOST_MARKS = 200;
const WORD = "[\\p{L}\\p{N}_]";
const NO_WORD = "[^\\p{L}\\p{N}_]";

const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");

/** A regular expression that finds what `highlights` of a search says, null if there is nothing to find. */
export function finder(highlights) {
  const patterns = [];
  for (const one of highlights ?? []) {
    if (one.words) patterns.push(`(?<!${WORD})${one.words.map(escaped).join(`${NO_WORD}+`)}(?!${WORD})`);
    else if (one.wildcard) patterns.push(wildcard(one.wildcard));
    else if (one.regex && compiles(one.regex)) patterns.push(`(?:${one.regex})`);
  }
  const useful = patterns.filter(Boolean);
  return useful.length ? new RegExp(useful.join("|"), "giu") : null;
}

/** Pieces of one word: null for any characters, "" for one. */
function wildcard(pieces) {
  const inWord = (sign) => !sign || new RegExp(WORD, "u").test(sign);
  const body = pieces.map((piece) => (piece === null ? `${WORD}*` : escaped(piece) || WORD)).join("");
  return `${inWord(pieces[0]?.[0]) ? `(?<!${WORD})` : ""}${body}${inWord(pieces.at(-1)?.at(-1)) ? `(?!${WORD})` : ""}`;
}

/** RE2 knows a little that JavaScript does not; that is left unmarked. */
function compiles(pattern) {
  try {
    return Boolean(new RegExp(pattern, "giu"));
  } catch {
    return false;
  }
}

/** The text as nodes, with `mark` around what was found. */
export function marked(text, pattern) {
  if (!pattern) return [text];
  const nodes = [];
  let end = 0;
  for (const match of text.slice(0, LONGEST).matchAll(pattern)) {
    if (!match[0]) continue;
    if (nodes.length > 2 * MOST_MARKS) break;
    nodes.push(text.slice(end, match.index), h("mark", {}, match[0]));
    end = match.index + match[0].length;
  }
  return [...nodes, text.slice(end)].filter((node) => node !== "");
}
