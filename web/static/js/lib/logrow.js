// One log record as a row; its fields open below it.

import { copyButton, h } from "./dom.js";
import * as format from "./format.js";

const FOLDED_LINES = 3;
const HIDDEN_FIELDS = new Set(["message", "@timestamp"]);
const SHORT_NAMES = {
  "log.level": "level", "service.name": "app", "taskscope.task.id": "task_id", "taskscope.task.name": "task_name",
  "taskscope.stream": "stream", "taskscope.task.run": "run", "host.name": "host", "container.id": "container_id",
  "container.image.name": "image", "container.name": "container_name", "trace.id": "trace_id",
};

export const levelOf = (record) => String(record.document["log.level"] ?? "");

/** Make the row; `on`: {filter(text), around(ms), opened()}; `showTask` adds the task's name. */
export function logRow(record, { showTask, on }) {
  const { document: fields } = record;
  const level = levelOf(record);
  const message = String(fields.message ?? "");
  const lines = message.split("\n");
  const text = h("span", { class: "log-text" }, lines.length > FOLDED_LINES ? lines.slice(0, FOLDED_LINES).join("\n") : message);
  const more = lines.length > FOLDED_LINES && h("span", { class: "log-more" }, `… ${lines.length - FOLDED_LINES} more lines`);
  const row = h(
    "div",
    { class: "log-row", dataset: { level, id: record.id } },
    h("time", { class: "log-time", datetime: new Date(record.ts_ms).toISOString(), title: format.dateTime(record.ts_ms) }, format.clock(record.ts_ms, true)),
    h("span", { class: "log-level" }, level || "·"),
    showTask && taskLink(fields),
    h("span", { class: "log-message" }, text, more),
  );
  row.addEventListener("click", (event) => {
    if (event.target.closest("a, button, .log-fields") || getSelection().toString()) return;
    toggle();
  });
  let details = null;
  function toggle() {
    row.classList.toggle("open");
    if (details) {
      details.remove();
      details = null;
      text.textContent = lines.length > FOLDED_LINES ? lines.slice(0, FOLDED_LINES).join("\n") : message;
    } else {
      text.textContent = message;
      details = fieldList(record, on);
      row.append(details);
      on.opened();
      row.scrollIntoView({ block: "nearest" });
    }
    if (more) more.hidden = details !== null;
  }
  row.toggleFields = toggle;
  return row;
}

function taskLink(fields) {
  const id = fields["taskscope.task.id"];
  const name = fields["taskscope.task.name"] ?? fields["service.name"] ?? "";
  return id
    ? h("a", { class: "log-task", href: `/tasks/${encodeURIComponent(id)}`, title: name }, name)
    : h("span", { class: "log-task" }, name);
}

/** Fields may hold objects (what the record itself said); they are shown with dotted names. */
function flatten(value, name, out) {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flatten(inner, name ? `${name}.${key}` : key, out);
  } else out.push([name, typeof value === "string" ? value : JSON.stringify(value)]);
  return out;
}

function quote(value) {
  return /^[\w.-]+$/.test(value) && !/^(AND|OR|NOT)$/.test(value) ? value : `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

function fieldList(record, on) {
  const entries = flatten(record.document, "", []).filter(([name]) => !HIDDEN_FIELDS.has(name)).sort(([a], [b]) => (a < b ? -1 : 1));
  return h(
    "div",
    { class: "log-fields" },
    h(
      "div",
      { class: "log-actions" },
      h("span", { class: "muted" }, new Date(record.ts_ms).toISOString()),
      h("button", { type: "button", class: "button small", onclick: () => on.around(record.ts_ms) }, "Show around this time"),
      copyButton(String(record.document.message ?? ""), "message"),
    ),
    h(
      "dl",
      {},
      entries.map(([name, value]) => {
        const term = `${SHORT_NAMES[name] ?? name}:${quote(value)}`;
        return [
          h("dt", {}, name),
          h(
            "dd",
            {},
            h("span", {}, value),
            value.length < 200 && [
              h("button", { type: "button", class: "button tiny", title: `Only ${term}`, "aria-label": `Only ${term}`, onclick: () => on.filter(term) }, "+"),
              h("button", { type: "button", class: "button tiny", title: `Not ${term}`, "aria-label": `Not ${term}`, onclick: () => on.filter(`NOT ${term}`) }, "−"),
            ],
          ),
        ];
      }),
    ),
  );
}
