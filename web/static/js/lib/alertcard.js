// An alert as people read it: what is wrong, since when, with which task, and what to do.

import { badge } from "./badges.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { logsAddress } from "./ways.js";

const IDENTITY = new Set(["alertname", "severity", "cluster", "host", "framework", "namespace", "app", "task_name", "task_id", "container_id"]);
const AROUND_MS = 600_000;
const SEVERITIES = ["critical", "page", "error", "warning", "info"];

/**
 * An annotation as a link of this console or the web, null if it is neither: an annotation may hold
 * anything. Shipped rules name their runbook as a file of the docs, which this server shows.
 */
export function linkOf(text) {
  if (/^docs\/[\w/-]+\.md$/.test(text ?? "")) return `/${text}`;
  return /^https?:\/\//.test(text ?? "") || /^\/[^/\\]/.test(text ?? "") ? text : null;
}

export function alertCard(alert, { onTask = false } = {}) {
  const { labels, annotations } = alert;
  const since = Date.parse(alert.activeAt);
  const name = labels.task_name ?? labels.app ?? "";
  const others = Object.entries(labels).filter(([key]) => !IDENTITY.has(key));
  const description = annotations.description ?? "";
  const tone = alert.state === "firing" ? "bad" : "warn";
  const time = h("time", { class: "muted", datetime: alert.activeAt, title: format.dateTime(since) }, format.lasting(since));
  return h(
    "article",
    { class: onTask ? "alert-card compact" : "alert-card", "data-tone": tone },
    h(
      "header",
      {},
      badge(alert.state),
      h("h3", {}, labels.alertname),
      labels.severity && h("span", { class: "tag", "data-severity": labels.severity }, labels.severity),
      !onTask && name && (labels.task_id ? h("a", { href: `/tasks/${encodeURIComponent(labels.task_id)}` }, name) : h("a", { href: `/?q=${encodeURIComponent(name)}` }, name)),
      !onTask && [h("span", { class: "spacer" }), time],
    ),
    h("p", { class: "summary" }, annotations.summary ?? annotations.message ?? description),
    description && description !== annotations.summary && h("p", { class: "muted description" }, description),
    h(
      "footer",
      {},
      linkOf(annotations.runbook_url) && h("a", { href: linkOf(annotations.runbook_url), rel: "noreferrer" }, "Runbook"),
      logsLink(labels, since),
      !onTask && !description && h("span", { class: "muted" }, `value ${format.rough(Number(alert.value))}`),
      others.map(([key, value]) => h("span", { class: "tag" }, `${key}=${value}`)),
      onTask && time,
    ),
  );
}

/** The lines of the task, or the app, around the moment when it began. */
function logsLink(labels, since) {
  const href = logsAddress([labels], { start: since - AROUND_MS, end: since + AROUND_MS });
  return href && h("a", { href }, "Logs around the start");
}

/** Firing first, then by severity, then the newest. */
export function byUrgency(a, b) {
  const severity = (alert) => (SEVERITIES.indexOf(alert.labels.severity) + SEVERITIES.length + 1) % (SEVERITIES.length + 1);
  return Number(b.state === "firing") - Number(a.state === "firing") || severity(a) - severity(b) || Date.parse(b.activeAt) - Date.parse(a.activeAt);
}

/** Of all alerts, those of one task and of its whole app; `identity` is null while only the id is known. */
export function taskAlerts(alerts, id, identity) {
  const names = ["cluster", "namespace", "app"];
  const ofApp = ({ labels }) => identity?.app && labels.app && names.every((name) => (labels[name] ?? identity[name]) === identity[name]);
  return alerts.filter((alert) => (alert.labels.task_id ? alert.labels.task_id === id : ofApp(alert))).sort(byUrgency);
}
