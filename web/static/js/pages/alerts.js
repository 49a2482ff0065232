// Alerts that fire or are about to, and the rules behind them.

import "../shell.js";

import { alertCard, byUrgency, linkOf } from "../lib/alertcard.js";
import { ask, poll } from "../lib/api.js";
import { badge } from "../lib/badges.js";
import { $, empty, fill, h, problem } from "../lib/dom.js";
import * as format from "../lib/format.js";
import * as keys from "../lib/keys.js";

const open = new Map();
let groups = null;
let filter = "";
let shownAlerts = "";
let shownRules = "";

function showAlerts(alerts) {
  const text = JSON.stringify([alerts, Math.floor(Date.now() / 30_000)]);
  if (text === shownAlerts) return;
  shownAlerts = text;
  fill(
    $("alerts"),
    alerts.length
      ? alerts.sort(byUrgency).map((alert) => alertCard(alert))
      : h("div", { class: "panel" }, empty("Nothing fires", "No rule finds anything wrong right now. The rules it looks with are below.")),
  );
  $("alerts").setAttribute("aria-busy", "false");
}

const ORDER = { firing: 0, pending: 1 };

function showRules() {
  const words = filter.toLowerCase().split(/\s+/);
  const visible = groups
    .map((group) => ({
      ...group,
      rules: group.rules.filter((rule) => {
        const text = [group.name, rule.name, rule.query, rule.state, rule.health, ...Object.values(rule.labels ?? {})].join(" ").toLowerCase();
        return words.every((word) => text.includes(word));
      }),
    }))
    .filter((group) => group.rules.length);
  const text = JSON.stringify([visible, Math.floor(Date.now() / 10_000)]);
  if (text === shownRules) return;
  shownRules = text;
  $("rules").setAttribute("aria-busy", "false");
  if (!groups.length) {
    fill($("rules"), h("div", { class: "panel" }, empty("No rules are loaded", "Name rule files under alerting.rule_files in the configuration; they are Prometheus's.")));
  } else if (!visible.length) fill($("rules"), h("div", { class: "panel" }, empty("No rule matches", "Change the filter.")));
  else fill($("rules"), visible.map(groupPanel));
}

function groupPanel(group) {
  const worst = group.rules.reduce((w, rule) => Math.min(w, ORDER[rule.state] ?? 2), 2);
  const broken = group.rules.filter((rule) => rule.health === "err").length;
  const key = `${group.file}\n${group.name}`;
  const panel = h(
    "details",
    { class: "panel rule-group", open: open.get(key) ?? (worst < 2 || broken > 0 || Boolean(filter)) },
    h(
      "summary",
      {},
      h("b", {}, group.name),
      worst < 2 && badge(worst === 0 ? "firing" : "pending"),
      broken > 0 && h("span", { class: "bad-text" }, `${format.plural(broken, "rule")} cannot be evaluated`),
      h("span", { class: "spacer" }),
      h("span", { class: "muted" }, `${format.plural(group.rules.length, "rule")} · every ${format.duration(group.interval * 1000)} · ${evaluated(group)}`),
    ),
    group.rules.map(ruleRow),
  );
  panel.addEventListener("click", (event) => {
    if (event.target.closest("summary")) open.set(key, !panel.open);
  });
  return panel;
}

function evaluated(one) {
  const at = Date.parse(one.lastEvaluation);
  return at > 0 ? `evaluated ${format.agoText(at)}, took ${format.took(one.evaluationTime)}` : "not evaluated yet";
}

function ruleRow(rule) {
  const runbook = linkOf(rule.annotations?.runbook_url);
  return h(
    "div",
    { class: "rule" },
    h(
      "div",
      { class: "rule-head" },
      rule.type === "alerting" ? badge(rule.state) : h("span", { class: "tag" }, "recording"),
      h("b", {}, rule.name),
      rule.labels?.severity && h("span", { class: "tag", "data-severity": rule.labels.severity }, rule.labels.severity),
      rule.duration > 0 && h("span", { class: "muted" }, `for ${format.duration(rule.duration * 1000)}`),
      rule.alerts?.length > 0 && h("span", { class: "muted" }, format.plural(rule.alerts.length, "alert")),
      h("span", { class: "spacer" }),
      h("a", { href: `/query?expr=${encodeURIComponent(rule.query)}` }, "Query"),
      runbook && h("a", { href: runbook, rel: "noreferrer" }, "Runbook"),
    ),
    h("pre", {}, rule.query),
    rule.lastError && h("p", { class: "bad-text" }, rule.lastError),
  );
}

const stopAlerts = poll(
  async (signal) => showAlerts((await ask("/api/v1/alerts", {}, { signal })).data.alerts),
  5,
  (error) => shownAlerts || fill($("alerts"), problem(error, () => stopAlerts.now())),
);
const stopRules = poll(
  async (signal) => {
    groups = (await ask("/api/v1/rules", {}, { signal })).data.groups;
    showRules();
  },
  10,
  (error) => groups || fill($("rules"), problem(error, () => stopRules.now())),
);
$("filter").addEventListener("input", (event) => {
  filter = event.target.value.trim();
  if (groups) showRules();
});
keys.walk(
  () => [...document.querySelectorAll(".alert-card")],
  (card) => card.querySelector("a[href^='/tasks/']")?.click(),
);
