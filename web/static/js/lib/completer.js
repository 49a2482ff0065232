// A list of what could be typed next, below an input; where it comes from is the caller's.

import { ask } from "./api.js";
import { fill, h } from "./dom.js";

const MOST_SHOWN = 20;
export const FRESH_MS = 60_000;
const answers = new Map();

/** Ask once a minute at most; an error gives nothing to choose from. */
export function asked(path, parameters, fallback) {
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
  /**
   * Serve one input with a list below it. `source`: {contextAt(text, caret) => {kind, word, start, ...}, choices(context)
   * => promise of [{text, insert, kind, help}], warm() as soon as somebody may type, eager: Enter takes the first}. A
   * context may be shy (only what was asked for with Ctrl+Space is shown) and go on (what comes next is shown at once).
   */
  constructor(input, list, source) {
    this.input = input;
    this.list = list;
    this.source = source;
    this.shown = [];
    this.choice = 0;
    this.turn = 0;
    for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", list.id]]) input.setAttribute(name, value);
    input.addEventListener("focus", () => source.warm());
    input.addEventListener("input", () => this.open());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.key(event));
  }

  get isOpen() {
    return !this.list.hidden;
  }

  async open(asked = false) {
    const mine = ++this.turn;
    const context = this.source.contextAt(this.input.value, this.input.selectionStart);
    if (context.shy && !asked) return this.close();
    if (this.isOpen && (context.kind !== this.context.kind || context.start !== this.context.start)) this.offer([]); // it was about another place
    const found = ranked(await this.source.choices(context), context.word).filter((one) => one.insert !== context.word && one.text !== context.word);
    if (mine !== this.turn) return undefined;
    this.context = context;
    return this.offer(document.activeElement === this.input ? found.slice(0, MOST_SHOWN) : []);
  }

  offer(found) {
    this.shown = found;
    this.choice = this.source.eager ? 0 : -1;
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
    if (!this.isOpen || this.choice < 0) {
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
    const { start, goesOn } = this.context;
    const caret = this.input.selectionStart;
    const after = this.input.value.slice(caret);
    // what stands there already is not written twice
    const ending = ["=\"", "(", "]", ":", "\"", "'", "`"].find((sign) => insert.endsWith(sign) && after.startsWith(sign)) ?? "";
    this.input.setRangeText(insert.slice(0, insert.length - ending.length), start, caret, "end");
    this.input.selectionStart = this.input.selectionEnd += ending.length;
    this.input.focus();
    this.input.dispatchEvent(new Event("change"));
    if (goesOn) this.open();
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
      this.choice = this.choice < 0 && step < 0 ? this.shown.length - 1 : (this.choice + step + this.shown.length) % this.shown.length;
      this.point();
    } else if (event.key === "Tab" && !event.shiftKey) this.take(Math.max(this.choice, 0));
    else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && !event.shiftKey && this.choice >= 0) this.take(this.choice);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}
