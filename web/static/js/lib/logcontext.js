// What a task said before and after one of its lines, in a dialog.

import { ask } from "./api.js";
import { fill, h, icon, problem } from "./dom.js";
import * as format from "./format.js";
import { logRow, taskAddress } from "./logrow.js";

const STEP = 20;
const MOST = 500;

/** Open the dialog for a record; `pattern` is what stands out. */
export function openContext(record, pattern) {
  const open = new Set();
  const look = { columns: ["time", "level"], pattern, target: record.id, isOpen: ({ id }) => open.has(id) };
  const on = { toggled: ({ id }, isOpen) => (isOpen ? open.add(id) : open.delete(id)) };
  const sides = { before: STEP, after: STEP };
  const name = record.document["taskscope.task.name"] ?? record.document["service.name"] ?? "";
  const rows = h("div", { class: "log-list context-list", tabindex: "0", role: "log", "aria-label": "The lines around it", "aria-live": "off" });
  const more = (side, text) => h("button", { type: "button", class: "button small", onclick: () => extend(side) }, text);
  const buttons = { before: more("before", `${STEP} earlier`), after: more("after", `${STEP} later`) };
  const href = taskAddress(record);
  const dialog = h(
    "dialog",
    { class: "log-context", "aria-label": "Context" },
    h("form", { method: "dialog" }, h("button", { class: "icon-button close", "aria-label": "Close" }, icon("close"))),
    h("h2", {}, "Context"),
    h("p", { class: "muted" }, name, ", ", format.dateTime(record.ts_ms)),
    h("div", { class: "toolbar tight" }, buttons.before, buttons.after, h("span", { class: "spacer" }), href && h("a", { href }, "Task at this time")),
    rows,
  );

  async function extend(side) {
    if (side) sides[side] = Math.min(MOST, sides[side] + STEP);
    try {
      const found = await ask("/api/logs/context", { id: record.id, ts_ns: record.ts_ns, before: sides.before, after: sides.after });
      const height = rows.scrollHeight;
      fill(rows, [...found.before, found.record, ...found.after].map((one) => logRow(one, look, on)));
      for (const one of ["before", "after"]) buttons[one].disabled = found[one].length < sides[one] || sides[one] >= MOST;
      if (!side) rows.querySelector(".target").scrollIntoView({ block: "center" });
      else if (side === "before") rows.scrollTop += rows.scrollHeight - height;
    } catch (error) {
      fill(rows, problem(error, error.status === 422 ? null : () => extend()));
    }
  }

  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  rows.focus();
  extend();
}
