// The row of tools above a log: search, levels, time, pause, columns, wrapping, download, sharing.

import { Completer } from "./completer.js";
import { fill, h, icon } from "./dom.js";
import * as format from "./format.js";
import { LEVELS } from "./logstate.js";
import { logWords } from "./logwords.js";

const COLUMNS = ["time", "level", "task", "app", "host", "stream", "run", "trace_id"];
const TYPING_MS = 400;
const UNFINISHED = /[\w.@]:$/; // the name of a field, no value yet

export class LogTools {
  /** `view` is the LogView that the tools are for. */
  constructor(view) {
    this.view = view;
    this.input = h("input", {
      type: "search", id: "filter", value: view.query, placeholder: "timeout  level:error  app:shop", "aria-label": "Search logs", autocomplete: "off", spellcheck: "false",
    });
    this.choices = h("ul", { id: "log-completions", class: "completions", role: "listbox", "aria-label": "What could be typed next", hidden: true });
    this.completer = new Completer(this.input, this.choices, logWords(view));
    let typing = 0;
    const search = () => UNFINISHED.test(this.text) || view.setQuery(this.text);
    this.input.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(search, TYPING_MS);
    });
    this.input.addEventListener("change", () => {
      clearTimeout(typing);
      search();
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      clearTimeout(typing);
      this.completer.close();
      view.setQuery(this.text, true);
    });
    this.levels = LEVELS.map(([, label], index) => h("button", { type: "button", onclick: () => view.setLevel(index) }, label));
    this.pause = h("button", { type: "button", class: "button log-pause", onclick: () => view.setPaused(!view.paused) });
    this.wrap = this.iconButton("wrap", "Wrap long lines (w)", () => view.setWrap(!view.wrap));
    this.status = h("span", { class: "log-status", role: "status" });
    this.count = h("span", { class: "log-count muted", title: "Lines that are loaded here; older ones come on scrolling up" });
    this.root = h(
      "div",
      { class: "toolbar log-tools" },
      h("div", { class: "log-search" }, h("label", { class: "search wide" }, icon("search"), this.input, h("kbd", {}, "/")), this.choices),
      h("div", { class: "segments", role: "group", "aria-label": "Levels" }, this.levels),
      this.pause,
      this.jump(),
      h("div", { class: "log-icons" }, this.columns(), this.wrap, this.download(), this.iconButton("link", "Copy a link to these lines", () => view.share())),
      h("span", { class: "log-state" }, this.status, this.count),
    );
    this.show();
  }

  get text() {
    return this.input.value.trim();
  }

  iconButton(name, title, action) {
    return h("button", { type: "button", class: "icon-button", title, "aria-label": title.replace(/ \(.\)$/, ""), onclick: action }, icon(name));
  }

  popover(title, symbol, fillBody) {
    const body = h("div", { class: "popover-body" });
    const details = h("details", { class: "popover" }, h("summary", { class: symbol ? "icon-button" : "button", title, "aria-label": title }, symbol ? icon(symbol) : title), body);
    details.addEventListener("toggle", () => details.open && fillBody(body));
    details.addEventListener("keydown", (event) => event.key === "Escape" && (details.open = false));
    document.addEventListener("pointerdown", (event) => {
      if (!details.contains(event.target)) details.open = false;
    });
    return details;
  }

  jump() {
    const input = h("input", { type: "datetime-local", step: "1", "aria-label": "Jump to time" });
    const details = this.popover("Jump to time", null, () => {
      if (!input.value) input.value = format.localInput(Date.now() - 3_600_000);
    });
    details.lastChild.append(
      h("label", {}, "Time ", input),
      h("button", { type: "button", class: "button primary", onclick: () => ((details.open = false), this.view.jumpTo(new Date(input.value).getTime())) }, "Jump"),
    );
    return details;
  }

  columns() {
    return this.popover("Columns", "columns", (body) => {
      const names = [...COLUMNS, ...this.view.columns.filter((name) => !COLUMNS.includes(name))];
      fill(
        body,
        names.map((name) => h("label", { class: "toggle" }, h("input", { type: "checkbox", checked: this.view.columns.includes(name), onchange: () => this.view.toggleColumn(name) }), name)),
        h("p", { class: "muted" }, "Open a line to add a field of its own."),
      );
    });
  }

  download() {
    return this.popover("Download", "download", (body) => {
      const { start, end } = this.view.span();
      const href = (kind) => `/api/logs/export?${new URLSearchParams({ query: this.view.fullQuery, start: start / 1000, end: end / 1000, format: kind })}`;
      const link = (kind, text) => h("a", { class: "button", href: href(kind), download: "", onclick: () => (body.parentElement.open = false) }, text);
      fill(body, h("p", { class: "muted" }, `All lines that match, ${format.moment(start)} to ${format.moment(end)}`), link("ndjson", "NDJSON, every field"), link("text", "Text"));
    });
  }

  show() {
    const { view } = this;
    this.levels.forEach((button, index) => button.setAttribute("aria-pressed", String(index === view.level)));
    const running = view.live && !view.paused;
    const text = running ? "Pause" : view.live ? "Resume" : "Back to live";
    this.pause.setAttribute("aria-label", text); // a phone shows the sign only
    fill(this.pause, icon(running ? "pause" : "play"), h("span", {}, text));
    this.pause.classList.toggle("primary", !running);
    this.wrap.setAttribute("aria-pressed", String(view.wrap));
  }

  showStatus(state) {
    const { view } = this;
    const texts = { live: "Live", connecting: "Connecting", waiting: "No stream; trying again", paused: "Paused" };
    const word = !view.live ? (view.at !== null ? "At a time" : "In a range") : view.paused ? "Paused" : texts[state] ?? "";
    if (this.status.textContent !== word) this.status.textContent = word;
    this.status.hidden = !word;
    this.status.dataset.tone = word === "Live" ? "good" : word === texts.waiting ? "bad" : "quiet";
    const count = view.list.length ? format.plural(view.list.length, "line") : "";
    if (this.count.textContent !== count) this.count.textContent = count;
  }
}
