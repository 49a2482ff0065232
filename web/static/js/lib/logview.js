// The log viewer of the task page and of the search page: newest at the bottom, older above it on
// scrolling up, live at the end unless paused or at a fixed time.

import { ask } from "./api.js";
import { empty, fill, h, icon, problem } from "./dom.js";
import * as format from "./format.js";
import { logRow } from "./logrow.js";
import { LogStream } from "./logstream.js";

const PAGE = 300;
const MAX_ROWS = 3000;
const LEVELS = [
  ["", "All"],
  ["NOT level:(debug OR trace)", "Info +"],
  ["level:(warn OR error OR fatal)", "Warn +"],
  ["level:(error OR fatal)", "Error +"],
];
const NEAR_END_PIXELS = 40;

export class LogView {
  /**
   * `options`: {base: query all records must match, showTask, query, level, at: ms, range, live,
   * onChange({query, level, at, live}), emptyText}.
   */
  constructor(root, options) {
    this.root = root;
    this.options = options;
    this.query = options.query ?? "";
    this.level = Number(options.level ?? 0);
    this.at = options.at ?? null;
    this.range = options.range ?? null;
    this.paused = options.live === false;
    this.seen = new Set();
    this.pending = [];
    this.turn = 0;
    this.top = 0; // where the list was at its last scroll
    this.build();
    this.load();
  }

  build() {
    this.input = h("input", {
      type: "search", id: "filter", value: this.query, placeholder: 'Search: timeout  level:error  "connection refused"  NOT app:shop', "aria-label": "Search logs", autocomplete: "off", spellcheck: "false",
    });
    let typing = 0;
    this.input.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.setQuery(this.input.value.trim()), 400);
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      clearTimeout(typing);
      this.setQuery(this.input.value.trim(), true);
    });
    this.levelButtons = LEVELS.map(([, label], index) =>
      h("button", { type: "button", onclick: () => this.setLevel(index) }, label),
    );
    this.pauseButton = h("button", { type: "button", class: "button", onclick: () => this.setPaused(!this.paused) });
    this.jump = h("input", { type: "datetime-local", step: "1", "aria-label": "Jump to time" });
    this.jumpDetails = h(
      "details",
      { class: "popover" },
      h("summary", { class: "button" }, "Jump to time"),
      h(
        "div",
        { class: "popover-body" },
        h("label", {}, "Time ", this.jump),
        h("button", { type: "button", class: "button primary", onclick: () => this.jumpTo() }, "Jump"),
      ),
    );
    this.jumpDetails.addEventListener("toggle", () => {
      if (!this.jump.value) this.jump.value = format.localInput(Date.now() - 3_600_000);
    });
    this.status = h("span", { class: "log-status", role: "status" });
    this.list = h("div", { class: "log-list", role: "log", tabindex: "0", "aria-label": "Log lines", "aria-live": "off" });
    this.newer = h("button", { type: "button", class: "button primary log-newer", hidden: true, onclick: () => this.toEnd() });
    this.message = h("div", { class: "log-empty" });
    fill(
      this.root,
      h(
        "div",
        { class: "toolbar log-tools" },
        h("label", { class: "search wide" }, icon("search"), this.input, h("kbd", {}, "/")),
        h("div", { class: "segments", role: "group", "aria-label": "Levels" }, this.levelButtons),
        this.jumpDetails,
        this.pauseButton,
        this.status,
      ),
      h("div", { class: "log-frame" }, this.list, this.newer, this.message),
    );
    this.list.addEventListener("scroll", () => this.scrolled());
    // rows get their height when they come into sight, so the end may move without a scroll
    const stay = () => this.following && (this.list.scrollTop = this.list.scrollHeight);
    new ResizeObserver(stay).observe(this.list);
    this.list.addEventListener("contentvisibilityautostatechange", () => requestAnimationFrame(stay), true);
    this.showControls();
  }

  get fullQuery() {
    return [this.options.base, LEVELS[this.level][0], this.query && `(${this.query})`].filter(Boolean).join(" AND ");
  }

  get live() {
    return this.at === null && this.range === null;
  }

  setQuery(query, anyway = false) {
    if (query === this.query && !anyway) return;
    this.query = query;
    this.input.value = query;
    this.changed();
  }

  setLevel(level) {
    this.level = level;
    this.query = this.input.value.trim(); // what was typed a moment ago counts too
    this.changed();
  }

  /** Show only [start, end] in ms, or everything up to now with null. */
  setRange(range) {
    this.range = range;
    this.at = null;
    this.changed();
  }

  jumpTo(ms = new Date(this.jump.value).getTime()) {
    if (!Number.isFinite(ms)) return;
    this.jumpDetails.open = false;
    this.at = ms;
    this.changed();
  }

  setPaused(paused) {
    if (!this.live) {
      this.at = null;
      this.range = null;
      this.paused = false;
      this.changed();
      this.options.onLive?.();
      return;
    }
    this.paused = paused;
    if (paused) this.stream?.pause();
    else {
      this.toEnd();
      if (this.stream) this.stream.start();
      else this.openStream();
    }
    this.showControls();
    this.options.onChange?.(this);
  }

  changed() {
    this.showControls();
    this.options.onChange?.(this);
    this.load();
  }

  /** Ask for nothing more. */
  close() {
    this.turn += 1;
    this.stream?.close();
    this.stream = null;
  }

  showControls() {
    this.levelButtons.forEach((button, index) => button.setAttribute("aria-pressed", index === this.level));
    const running = this.live && !this.paused;
    fill(this.pauseButton, icon(running ? "pause" : "play"), running ? "Pause" : this.live ? "Resume" : "Back to live");
    this.pauseButton.classList.toggle("primary", !running);
  }

  async load() {
    const turn = ++this.turn;
    this.stream?.close();
    this.stream = null;
    this.seen.clear();
    this.pending = [];
    this.older = "";
    this.later = "";
    this.following = this.live;
    this.list.setAttribute("aria-busy", "true");
    this.newer.hidden = true;
    if (this.live && !this.paused) this.openStream();
    try {
      // first the stream, then the search: what both give is shown once, and nothing falls between
      await this.stream?.ready();
      if (turn !== this.turn) return;
      if (this.at !== null) await this.loadAround(turn);
      else await this.loadNewest(turn);
    } catch (error) {
      if (turn !== this.turn) return;
      this.stream?.close();
      this.list.replaceChildren();
      this.showMessage(problem(error, error.status === 400 ? null : () => this.load()));
      this.showStatus("");
    }
    if (turn === this.turn) this.list.setAttribute("aria-busy", "false");
  }

  search(parameters) {
    return ask("/api/logs/search", { query: this.fullQuery, limit: PAGE, ...parameters });
  }

  async loadNewest(turn) {
    const bounds = this.range ? { start: this.range.start / 1000, end: this.range.end / 1000 } : {};
    const page = await this.search(bounds);
    if (turn !== this.turn) return;
    this.list.replaceChildren();
    this.older = page.records.length < PAGE ? "" : page.cursor;
    this.bounds = bounds;
    const waiting = this.pending;
    this.pending = [];
    this.add([...page.records.reverse(), ...waiting]);
    this.list.scrollTop = this.list.scrollHeight;
    this.showStatus();
  }

  async loadAround(turn) {
    const [before, after] = await Promise.all([
      this.search({ end: (this.at - 1) / 1000 }),
      this.search({ start: this.at / 1000, direction: "forward" }),
    ]);
    if (turn !== this.turn) return;
    this.list.replaceChildren();
    this.older = before.records.length < PAGE ? "" : before.cursor;
    this.later = after.records.length < PAGE ? "" : after.cursor;
    this.bounds = { end: (this.at - 1) / 1000 };
    this.add(before.records.reverse());
    const mark = h("div", { class: "log-mark" }, format.dateTime(this.at));
    this.list.append(mark);
    this.add(after.records);
    mark.scrollIntoView({ block: "center" });
    this.showStatus();
  }

  openStream() {
    this.stream?.close();
    const stream = new LogStream(this.fullQuery, {
      records: (records) => this.arrived(records),
      state: (state) => stream === this.stream && this.showStatus(state),
    });
    this.stream = stream;
    stream.start();
  }

  arrived(records) {
    if (this.list.getAttribute("aria-busy") === "true") {
      this.pending.push(...records);
      return;
    }
    this.pending.push(...records);
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      const batch = this.pending.splice(0).slice(-MAX_ROWS);
      const added = this.add(batch);
      if (this.following) this.list.scrollTop = this.list.scrollHeight;
      else if (added) {
        this.unseen = (this.unseen ?? 0) + added;
        this.newer.textContent = `${format.plural(this.unseen, "new line")} ↓`;
        this.newer.hidden = false;
      }
    });
  }

  /** Add records at the end, or where their time belongs if that is a little before; returns how many were new. */
  add(records) {
    const fragment = document.createDocumentFragment();
    let count = 0;
    for (const record of records) {
      if (this.seen.has(record.id)) continue;
      this.seen.add(record.id);
      const row = this.row(record);
      count += 1;
      const last = fragment.lastChild ?? this.list.lastChild;
      if (!last || !last.record || last.record.ts_ms <= record.ts_ms) fragment.append(row);
      else {
        this.list.append(fragment);
        let before = this.list.lastChild;
        while (before?.previousSibling?.record?.ts_ms > record.ts_ms) before = before.previousSibling;
        this.list.insertBefore(row, before);
      }
    }
    this.list.append(fragment);
    if (count) this.message.replaceChildren();
    if (this.following) this.trim();
    if (!this.list.firstChild) this.showMessage(this.nothing());
    return count;
  }

  row(record) {
    const row = logRow(record, {
      showTask: this.options.showTask,
      on: {
        filter: (term) => this.setQuery(this.query ? `(${this.query}) AND ${term}` : term),
        around: (ms) => this.jumpTo(ms),
        // what somebody reads does not run away under their eyes
        opened: () => (this.following = false),
      },
    });
    row.record = record;
    return row;
  }

  trim() {
    while (this.list.childElementCount > MAX_ROWS) {
      this.seen.delete(this.list.firstChild.record?.id);
      this.list.firstChild.remove();
      this.older = "";
    }
  }

  async scrolled() {
    const { list } = this;
    const wentUp = list.scrollTop < this.top - 1;
    this.top = list.scrollTop;
    if (list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PIXELS) this.following = this.live;
    else if (wentUp) this.following = false;
    else if (this.following) list.scrollTop = list.scrollHeight; // the end has moved, not the reader
    if (this.following) {
      this.unseen = 0;
      this.newer.hidden = true;
    }
    if (this.loadingMore || list.getAttribute("aria-busy") === "true") return;
    if (list.scrollTop < 200 && this.older) await this.loadOlder();
    else if (this.later && list.scrollHeight - list.scrollTop - list.clientHeight < 200) await this.loadLater();
  }

  async loadOlder() {
    this.loadingMore = true;
    const { turn } = this;
    const page = await this.search({ ...this.bounds, cursor: this.older }).catch(() => null);
    this.loadingMore = false;
    if (!page || turn !== this.turn) return;
    this.older = page.records.length < PAGE ? "" : page.cursor;
    const fresh = page.records.reverse().filter((record) => !this.seen.has(record.id));
    const height = this.list.scrollHeight;
    this.list.prepend(...fresh.map((record) => (this.seen.add(record.id), this.row(record))));
    this.list.scrollTop += this.list.scrollHeight - height;
    this.showStatus();
  }

  async loadLater() {
    this.loadingMore = true;
    const { turn } = this;
    const page = await this.search({ start: this.at / 1000, direction: "forward", cursor: this.later }).catch(() => null);
    this.loadingMore = false;
    if (!page || turn !== this.turn) return;
    this.later = page.records.length < PAGE ? "" : page.cursor;
    this.add(page.records);
    this.showStatus();
  }

  toEnd() {
    this.unseen = 0;
    this.newer.hidden = true;
    this.following = true;
    this.list.scrollTop = this.list.scrollHeight;
  }

  nothing() {
    if (this.query || this.level) return empty("No line matches", this.live ? "New ones that match appear here as they are written." : "Change the search or the time.");
    return empty("No log lines", this.options.emptyText ?? "New ones appear here as they are written.");
  }

  showMessage(element) {
    fill(this.message, element);
  }

  showStatus(state = this.state) {
    this.state = state;
    const texts = { live: "Live", connecting: "Connecting", waiting: "No stream; trying again", paused: "Paused" };
    const word = !this.live ? (this.at !== null ? "At a time" : "In a range") : this.paused ? "Paused" : texts[state] ?? "";
    this.status.textContent = word;
    this.status.dataset.tone = word === "Live" ? "good" : word === "No stream; trying again" ? "bad" : "quiet";
  }
}
