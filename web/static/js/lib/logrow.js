// One log record as a row; its fields open below it.

import { copyButton, fill, h } from "./dom.js";
import * as format from "./format.js";
import { marked } from "./marks.js";

export const FOLDED_LINES = 3;
const HIDDEN_FIELDS = new Set(["message", "@timestamp"]);
export const SHORT_NAMES = {
  "log.level": "level", "service.name": "app", "taskscope.task.id": "task_id", "taskscope.task.name": "task_name",
  "taskscope.stream": "stream", "taskscope.task.run": "run", "host.name": "host", "container.id": "container_id",
  "container.image.name": "image", "container.name": "container_name", "trace.id": "trace_id",
  "orchestrator.cluster.name": "cluster", "orchestrator.namespace": "namespace", "orchestrator.type": "framework",
  "event.dataset": "dataset",
};
// what every record has for Taskscope's own use; no search can ask for it
const UNSEARCHED = new Set(["event.created", "ecs.version", "log.original_bytes", "taskscope.source"]);
const LONG_NAMES = Object.fromEntries(Object.entries(SHORT_NAMES).map(([long, short]) => [short, long]));
const COLOURS = 8;

export const levelOf = (record) => String(record.document["log.level"] ?? "");
const messageOf = (record) => String(record.document.message ?? "");
const isToday = (ms) => format.date(ms) === format.date(Date.now());

/** A record's field by its short or long name, as text; the record's own are under fields. */
export function fieldOf({ document: fields }, name) {
  const long = LONG_NAMES[name] ?? name;
  let value = fields[long];
  if (value === undefined && long.startsWith("fields.")) {
    value = long.slice(7).split(".").reduce((inner, key) => inner?.[key], fields.fields) ?? fields.fields?.[long.slice(7)];
  }
  return value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value);
}

/** How many lines of text a row has before any of them is wrapped. */
export function linesOf(record) {
  return messageOf(record).split("\n");
}

/**
 * Make the row. `look`: {columns: names of fields, pattern: what stands out or null, target: id of the record
 * that was linked to, isOpen(record)}; `on`: {filter(text), around(record), context(record), link(record),
 * column(name), toggled(record, open)}.
 */
export function logRow(record, look, on) {
  const level = levelOf(record);
  const lines = linesOf(record);
  const folded = lines.length > FOLDED_LINES;
  const text = h("span", { class: "log-text" });
  const more = folded && h("span", { class: "log-more" }, `… ${lines.length - FOLDED_LINES} more lines`);
  const row = h(
    "div",
    { class: record.id === look.target ? "log-row target" : "log-row", dataset: { level, id: record.id } },
    look.columns.map((name) => cell(record, name, level)),
    h("span", { class: "log-message" }, text, more),
  );
  let details = null;
  const show = (open) => {
    row.classList.toggle("open", open);
    fill(text, marked((folded && !open ? foldedLines(lines, look.pattern) : lines).join("\n"), look.pattern));
    if (more) more.hidden = open;
    details?.remove();
    details = open ? fieldList(record, look, on) : null;
    if (details) row.append(details);
  };
  row.toggleFields = () => {
    const open = !row.classList.contains("open");
    show(open);
    on.toggled(record, open);
  };
  row.addEventListener("click", (event) => {
    if (event.target.closest("a, button, .log-fields") || getSelection().toString()) return;
    row.toggleFields();
  });
  show(look.isOpen(record));
  return row;
}

/** The first lines, and the first one with what was looked for if they have it not. */
function foldedLines(lines, pattern) {
  const shown = lines.slice(0, FOLDED_LINES);
  const has = (line) => line.search(pattern) >= 0;
  const found = pattern && !shown.some(has) ? lines.find(has) : undefined;
  return found === undefined ? shown : [...shown, `⋮ ${found.trim()}`];
}

function cell(record, name, level) {
  if (name === "time") {
    const { ts_ms: ms } = record;
    const text = isToday(ms) ? format.clock(ms, true) : `${format.date(ms).slice(5)} ${format.clock(ms, true)}`;
    return h("time", { class: "log-time", datetime: new Date(ms).toISOString(), title: `${format.dateTime(ms)}.${record.ts_ns.slice(-9)}` }, text);
  }
  if (name === "level") return h("span", { class: "log-level" }, level || "·");
  if (name === "task") return taskLink(record);
  const value = fieldOf(record, name);
  return h("span", { class: "log-cell", title: `${name}: ${value}` }, value);
}

/** The address of a task's page, at the time of a record: its graphs, health and log around it. */
export function taskAddress(record, margin = 900_000) {
  const id = record.document["taskscope.task.id"];
  const around = new URLSearchParams({ at: record.ts_ms, line: record.id, from: record.ts_ms - margin, to: record.ts_ms + margin });
  return id ? `/tasks/${encodeURIComponent(id)}?${around}` : null;
}

function taskLink(record) {
  const { document: fields } = record;
  const name = fields["taskscope.task.name"] ?? fields["service.name"] ?? "";
  const href = taskAddress(record);
  const dot = h("i", { class: "task-dot", "data-colour": colourOf(fields["taskscope.task.id"] ?? name) });
  return href ? h("a", { class: "log-task", href, title: `${name}: the task at this time` }, dot, name) : h("span", { class: "log-task" }, dot, name);
}

/** The same colour for the same task, wherever it is shown. */
function colourOf(id) {
  let hash = 0;
  for (let i = 0; i < id.length; i += 1) hash = (hash * 31 + id.charCodeAt(i)) | 0;
  return (Math.abs(hash) % COLOURS) + 1;
}

/** Fields may hold objects (what the record itself said); they are shown with dotted names. */
function flatten(value, name, out) {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flatten(inner, name ? `${name}.${key}` : key, out);
  } else out.push([name, typeof value === "string" ? value : JSON.stringify(value)]);
  return out;
}

/** The fields of a record that can be searched, by their short names. */
export function fieldNames({ document }) {
  const names = flatten(document, "", []).map(([name]) => name);
  return names.filter((name) => !HIDDEN_FIELDS.has(name) && !UNSEARCHED.has(name)).map((name) => SHORT_NAMES[name] ?? name);
}

/** A value as it is written in a query. */
export function quote(value) {
  return /^[\w.-]+$/.test(value) && !/^(AND|OR|NOT|TO)$/.test(value) && !/^[.-]/.test(value) ? value : `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

function fieldList(record, look, on) {
  const entries = flatten(record.document, "", []).filter(([name]) => !HIDDEN_FIELDS.has(name)).sort(([a], [b]) => (a < b ? -1 : 1));
  const button = (text, title, action) => h("button", { type: "button", class: "button small", title, onclick: action }, text);
  const href = taskAddress(record);
  return h(
    "div",
    { class: "log-fields" },
    h(
      "div",
      { class: "log-actions" },
      h("span", { class: "muted" }, `${new Date(record.ts_ms).toISOString().slice(0, 19)}.${record.ts_ns.slice(-9)}Z`),
      on.context && button("Context", "What the same task said before and after (c)", () => on.context(record)),
      on.around && button("Show around this time", "All lines of this time", () => on.around(record)),
      on.link && button("Copy link", "A link to this line", () => on.link(record)),
      href && h("a", { href }, "Task at this time"),
      copyButton(messageOf(record), "message"),
    ),
    h(
      "dl",
      {},
      entries.map(([name, value]) => {
        const short = SHORT_NAMES[name] ?? name;
        const term = `${short}:${quote(value)}`;
        const shown = look.columns.includes(short);
        return [
          h("dt", {}, name),
          h(
            "dd",
            {},
            on.filter && h("span", { class: "field-tools" }, value.length < 200 && !UNSEARCHED.has(name) && [
              tiny("+", `Only ${term}`, () => on.filter(term)),
              tiny("−", `Not ${term}`, () => on.filter(`NOT ${term}`)),
              on.column && tiny("▥", shown ? `No column ${short}` : `Column ${short}`, () => on.column(short), shown),
            ]),
            h("span", {}, value),
          ),
        ];
      }),
    ),
  );
}

function tiny(text, title, action, pressed = null) {
  return h("button", { type: "button", class: "button tiny", title, "aria-label": title, "aria-pressed": pressed === null ? null : String(pressed), onclick: action }, text);
}
