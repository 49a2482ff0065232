// The log viewer of the task page and of the search page: newest at the bottom, older above it on
// scrolling up, live at the end unless paused, scrolled up, or at a fixed time.

import { ask } from "./api.js";
import { empty, fill, h, toast } from "./dom.js";
import * as format from "./format.js";
import { openContext } from "./logcontext.js";
import { LogRecords } from "./logrecords.js";
import { LogRows } from "./logrows.js";
import { LogState } from "./logstate.js";
import { LogStream } from "./logstream.js";
import { LogTools } from "./logtools.js";
import { finder } from "./marks.js";
import { VirtualList } from "./virtuallist.js";
import { queryHelp, wrongQuery } from "./wrongquery.js";

const PAGE = 300;
const OLDER_PAGE = 1000;
const MOST_LINES = 100_000;
const NEAR_END_PIXELS = 40;
const AHEAD_PIXELS = 2500; // older lines are asked for before somebody is at the first
const LATE_MS = 60_000; // how late a line may be stored and still be found again

export class LogView extends LogState {
  /**
   * `options`: {base: query all records must match, columns: those shown at first, range: {start, end} in ms,
   * onChange(view), onLive(), span() in ms, emptyText, names: {query: its name in the address}}.
   * Query, level, filters, time, columns, wrapping come from the page's address, and go there.
   */
  constructor(root, options) {
    super(options);
    this.root = root;
    this.pending = [];
    this.open = new Set();
    this.turn = 0;
    this.scrollTop = 0;
    this.unseen = 0;
    this.build();
    this.load();
  }

  build() {
    this.frame = h("div", { class: "log-list", role: "log", tabindex: "0", "aria-label": "Log lines", "aria-live": "off" });
    this.frame.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.rows = new LogRows(this);
    this.list = new VirtualList(this.frame, { draw: (item) => this.rows.row(item), guess: (item) => this.rows.guess(item) });
    this.records = new LogRecords(this.list);
    this.newer = h("button", { type: "button", class: "button primary log-newer", hidden: true, onclick: () => this.toEnd() });
    this.message = h("div", { class: "log-empty" });
    this.tools = new LogTools(this);
    this.chips = h("div", { class: "chips log-chips", hidden: true });
    fill(this.root, this.tools.root, this.chips, h("div", { class: "log-frame" }, this.frame, this.newer, this.message));
    this.rows.look();
    this.showFilters();
  }

  // -------------------------------------------------------------- changes

  /** The time that is shown, in ms. */
  span() {
    if (this.range) return this.range;
    const known = this.options.span?.();
    if (known) return known;
    return { start: this.list.items[0]?.ts_ms ?? Date.now() - 3_600_000, end: Date.now() };
  }

  share(record = null) {
    const address = this.address();
    const { start, end } = record ? { start: record.ts_ms - 900_000, end: record.ts_ms + 900_000 } : this.span();
    for (const name of ["range", "live"]) address.searchParams.delete(name);
    address.searchParams.set("from", Math.floor(start / 1000) * 1000);
    address.searchParams.set("to", Math.ceil(end / 1000) * 1000);
    if (record) {
      address.searchParams.set("at", record.ts_ms);
      address.searchParams.set("line", record.id);
    }
    navigator.clipboard.writeText(address.href).then(
      () => toast(record ? "Copied a link to this line" : `Copied a link to the lines from ${format.moment(start)} to ${format.moment(end)}`),
      () => toast(address.href),
    );
  }

  setQuery(query, anyway = false) {
    if (query === this.query && !anyway) return;
    this.query = query;
    this.tools.input.value = query;
    this.changed();
  }

  setLevel(level) {
    this.level = level;
    this.query = this.tools.text; // what was typed a moment ago counts too
    this.changed();
  }

  /** Have a filter or have it no more. */
  toggleFilter(field, value, not = false) {
    const others = this.filters.filter((one) => one.field !== field || one.value !== value);
    const had = this.filters.some((one) => one.field === field && one.value === value && one.not === not);
    this.filters = had ? others : [...others, { field, value, not }];
    this.showFilters();
    this.changed();
  }

  showFilters() {
    this.chips.hidden = !this.filters.length;
    fill(
      this.chips,
      this.filters.map(({ field, value, not }) =>
        h("button", { type: "button", class: "chip small", "aria-pressed": "true", title: "Take this filter away", onclick: () => this.toggleFilter(field, value, not) }, `${not ? "not " : ""}${field}: ${value}`, h("b", {}, "×")),
      ),
    );
  }

  /** Show only [start, end] in ms, or everything up to now with null. */
  setRange(range) {
    this.range = range;
    this.at = null;
    this.changed();
  }

  jumpTo(ms, line = null) {
    if (!Number.isFinite(ms)) return;
    this.at = ms;
    this.line = line;
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
    this.showStatus();
    this.tools.show();
    this.remember();
  }

  setWrap(wrap) {
    this.wrap = wrap;
    this.tools.show();
    this.rows.look();
    this.remember();
  }

  toggleColumn(name) {
    this.columns = this.columns.includes(name) ? this.columns.filter((one) => one !== name) : [...this.columns, name];
    this.rows.look();
    this.remember();
  }

  changed() {
    this.tools.show();
    this.remember();
    this.options.onChange?.(this);
    this.load();
  }

  /** Ask for nothing more. */
  close() {
    this.turn += 1;
    this.stream?.close();
    this.stream = null;
  }

  // -------------------------------------------------------------- keyboard

  /** Go to the next line, or the one before with -1. */
  move(by) {
    const { items } = this.list;
    if (!items.length) return;
    let index = items.indexOf(this.current);
    if (index < 0) index = this.list.at(this.frame.scrollTop + (by > 0 ? 0 : this.frame.clientHeight - 1)) - by;
    index = Math.max(0, Math.min(items.length - 1, index + by));
    if (items[index].mark) index = Math.max(0, Math.min(items.length - 1, index + by));
    const before = this.current;
    this.current = items[index];
    this.list.sticky = false;
    for (const item of [before, this.current]) this.list.elements.get(item)?.classList.toggle("current", item === this.current);
    this.list.reveal(index);
  }

  get currentRow() {
    return this.list.elements.get(this.current);
  }

  contextOfCurrent() {
    if (this.current) openContext(this.current, this.pattern);
  }

  bindKeys(keys) {
    keys.bind("j", "Next line", () => this.move(1));
    keys.bind("k", "Previous line", () => this.move(-1));
    keys.bind("Enter", "Open the line", () => this.currentRow?.toggleFields());
    keys.bind("c", "Context of the line: what its task said before and after", () => this.contextOfCurrent());
    keys.bind("w", "Wrap long lines or not", () => this.setWrap(!this.wrap));
    keys.bind("G", "The newest lines", () => this.toEnd());
  }

  // -------------------------------------------------------------- loading

  async load() {
    const turn = ++this.turn;
    this.stream?.close();
    this.stream = null;
    this.records.clear();
    this.open.clear();
    this.current = null;
    this.pending = [];
    this.older = "";
    this.later = "";
    this.cut = false;
    this.list.sticky = this.at === null;
    this.frame.setAttribute("aria-busy", "true");
    this.message.replaceChildren();
    this.newer.hidden = true;
    this.began = Date.now();
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
      const box = await wrongQuery(error, this.query, () => this.load());
      if (turn === this.turn) fill(this.message, box);
      this.showStatus("");
    }
    if (turn === this.turn) this.frame.setAttribute("aria-busy", "false");
  }

  async search(parameters) {
    const page = await ask("/api/logs/search", { query: this.fullQuery, limit: PAGE, ...parameters });
    this.pattern = finder(page.highlights);
    return page;
  }

  async loadNewest(turn) {
    this.bounds = this.range ? { start: this.range.start / 1000, end: this.range.end / 1000 } : {};
    const page = await this.search(this.bounds);
    if (turn !== this.turn) return;
    this.older = page.cursor;
    this.add([...page.records.reverse(), ...this.pending.splice(0)]);
    this.list.toEnd();
  }

  async loadAround(turn) {
    const [before, after] = await Promise.all([
      this.search({ end: (this.at - 1) / 1000 }),
      this.search({ start: this.at / 1000, direction: "forward" }),
    ]);
    if (turn !== this.turn) return;
    this.older = before.cursor;
    this.later = after.cursor;
    this.bounds = { end: (this.at - 1) / 1000 };
    this.add(before.records.reverse());
    const wanted = after.records.findIndex(({ id }) => id === this.line);
    if (wanted < 0 && this.list.length + after.records.length) this.list.append([{ id: "mark", mark: this.at, ts_ms: this.at, ts_ns: `${this.at}000000` }]);
    const place = this.list.length + Math.max(wanted, 0) - (wanted < 0 ? 1 : 0);
    this.add(after.records);
    this.list.reveal(place, "center");
  }

  openStream() {
    this.stream?.close();
    const stream = new LogStream(this.fullQuery, {
      records: (records) => this.arrived(records),
      state: (state) => stream === this.stream && this.showStatus(state),
      gap: () => stream === this.stream && this.closeGap(),
    });
    this.stream = stream;
    stream.start();
  }

  arrived(records) {
    this.pending.push(...records);
    if (this.drawing || this.frame.getAttribute("aria-busy") === "true") return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      const added = this.add(this.pending.splice(0));
      if (this.list.sticky) this.list.render();
      else if (added) {
        this.unseen += added;
        this.newer.textContent = `${format.plural(this.unseen, "new line")} ↓`;
        this.newer.hidden = false;
        if (this.list.length > 2 * MOST_LINES) this.setPaused(true); // somebody reads, and forgot
      }
    });
  }

  /** A stream began anew and does not know where the one before ended: look what came in between. */
  async closeGap() {
    const { turn } = this;
    const since = Math.max(this.began, this.records.last?.ts_ms ?? 0) - LATE_MS;
    let cursor = "";
    do {
      const page = await this.search({ start: since / 1000, direction: "forward", limit: OLDER_PAGE, cursor }).catch(() => null);
      if (!page || turn !== this.turn) return;
      this.arrived(page.records.filter(({ ts_ms: ms }) => ms >= this.began - LATE_MS));
      cursor = page.cursor;
    } while (cursor);
  }

  add(records) {
    const dated = this.dated || records.some(({ ts_ms: ms }) => format.date(ms) !== format.date(Date.now()));
    const count = this.records.add(records);
    if (dated !== Boolean(this.dated)) {
      this.dated = dated;
      this.rows.look();
    }
    if (count) this.message.replaceChildren();
    if (this.list.sticky && this.records.trim(MOST_LINES)) {
      this.older = "";
      this.cut = true; // those that went can be asked for again
    }
    if (!this.list.length) fill(this.message, this.nothing());
    this.showStatus();
    return count;
  }

  scrolled() {
    const { frame, list } = this;
    const wentUp = frame.scrollTop < this.scrollTop - 1;
    this.scrollTop = frame.scrollTop;
    const below = frame.scrollHeight - frame.scrollTop - frame.clientHeight;
    if (below < NEAR_END_PIXELS) list.sticky ||= this.live;
    else if (wentUp) list.sticky = false;
    if (list.sticky) {
      this.unseen = 0;
      this.newer.hidden = true;
    }
    if (this.loading || frame.getAttribute("aria-busy") === "true") return;
    if (frame.scrollTop < AHEAD_PIXELS && (this.older || this.cut) && !list.sticky) this.loadOlder();
    else if (this.later && below < AHEAD_PIXELS) this.loadLater();
  }

  async loadOlder() {
    if (this.list.length >= MOST_LINES) {
      this.showFull();
      return;
    }
    const place = this.cut ? { ...this.bounds, end: this.list.items[0].ts_ms / 1000 } : { ...this.bounds, cursor: this.older };
    const page = await this.loadMore({ ...place, limit: OLDER_PAGE });
    if (!page) return;
    this.cut = false;
    this.older = page.cursor;
    this.records.addOlder(page.records.reverse());
    this.showStatus();
  }

  async loadLater() {
    const page = await this.loadMore({ start: this.at / 1000, direction: "forward", cursor: this.later, limit: OLDER_PAGE });
    if (!page) return;
    this.later = page.cursor;
    this.add(page.records);
  }

  async loadMore(parameters) {
    const { turn } = this;
    this.loading = true;
    const page = await this.search(parameters).catch(() => null);
    this.loading = false;
    return turn === this.turn ? page : null;
  }

  showFull() {
    if (this.told === this.turn) return;
    this.told = this.turn;
    toast(`${format.plural(this.list.length, "line")} are loaded; jump to a time, or zoom in the histogram, for older ones.`);
  }

  toEnd() {
    this.unseen = 0;
    this.newer.hidden = true;
    this.list.toEnd();
  }

  nothing() {
    if (this.query || this.level || this.filters.length) return empty("No line matches", this.live ? "New ones that match appear here as they are written." : "Change the search or the time.", queryHelp());
    return empty("No log lines", this.options.emptyText ?? "New ones appear here as they are written.");
  }

  showStatus(state = this.state) {
    this.tools.showStatus((this.state = state));
  }
}
