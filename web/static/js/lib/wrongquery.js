// What is wrong with a query, with the place in what somebody typed.

import { ask } from "./api.js";
import { h, problem } from "./dom.js";

/** The way to what can be written in a search. */
export const queryHelp = () => h("a", { href: "/docs/logs.md" }, "How to search logs");

/**
 * Return the notice for an error of a search. The query that was asked has more terms than the one typed, so
 * that the typed one is judged by itself.
 */
export async function wrongQuery(error, typed, retry) {
  if (error.status !== 400) return problem(error, retry);
  const own = await ask("/api/logs/search", { query: typed, limit: 1 }).then(() => null, (itself) => itself);
  const message = (own ?? error).message.replace(/^(?=\d+: )/, "At character ");
  const box = problem({ message });
  box.firstElementChild.append(/[.?!]$/.test(message) ? " " : ". ", queryHelp());
  const { start, end } = own?.body ?? {};
  if (start !== undefined) {
    const behind = Math.max(end, start + 1);
    box.append(h("pre", { class: "wrong-query" }, typed.slice(0, start), h("mark", {}, typed.slice(start, behind) || " "), typed.slice(behind)));
  }
  return box;
}
