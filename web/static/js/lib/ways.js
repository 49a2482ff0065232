// The way from series and alerts to the logs of the same tasks and time.

import { quote } from "./logrow.js";

const MOST_VALUES = 20;

/** Where the logs of some sets of labels are, for a time in ms; null if they name no task and no app. */
export function logsAddress(labelSets, { start, end }) {
  for (const name of ["task_id", "task_name", "app"]) {
    const values = [...new Set(labelSets.map((labels) => labels[name]))];
    if (!values.length || values.length > MOST_VALUES || values.some((value) => !value)) continue;
    const query = values.length === 1 ? `${name}:${quote(values[0])}` : `${name}:(${values.map(quote).join(" OR ")})`;
    return `/logs?${new URLSearchParams({ query, from: Math.floor(start / 1000) * 1000, to: Math.ceil(end / 1000) * 1000 })}`;
  }
  return null;
}
