// Which settings to change, and why: the worst findings of the daemon's advice, or all of one Service.

import { ofService } from "./address.js";
import { byId, clock, count, duration, element } from "./dom.js";

/** Findings that are shown. */
export const FINDINGS = { ofAll: 10, ofOne: 100 };

/** What is shown, so that what somebody has opened is left alone until there is something else. */
let shown = null;

/** The section "Advice", from an answer of /api/v1/advice. Without advice there is none. */
export function showAdvice(answer, ofOne) {
  byId("advice").hidden = !answer.enabled;
  if (!answer.enabled) return;
  byId("advice-now").textContent = now(answer);
  const all = JSON.stringify([answer.findings, answer.skipped, ofOne]);
  if (all === shown) return;
  shown = all;
  const open = new Set([...document.querySelectorAll("#advice-list details[open]")].map((it) => it.dataset.key));
  const lines = answer.findings.map((finding) => line(finding, ofOne, open));
  const nothing = element("p", { class: "empty" }, answer.evaluated ? "Nothing was found." : "Not judged yet.");
  const rest = answer.findings_total - lines.length;
  byId("advice-list").replaceChildren(
    lines.length ? element("ol", { class: "rows", "aria-label": "Findings" }, ...lines) : nothing,
    ...(rest > 0 ? [element("p", { class: "note" }, `and ${count(rest)} more`)] : []),
    ...skipped(answer, open));
}

/** How many there are, and of when. */
function now({ summary, evaluated, took_seconds: took, failure }) {
  const counts = ["error", "warning", "note"].map((name) => `${count(summary[name])} ${name}${summary[name] === 1 ? "" : "s"}`);
  const ignored = summary.ignored ? `, ${count(summary.ignored)} ignored` : "";
  const when = evaluated ? ` Judged at ${clock(evaluated)}, in ${duration(took)}.` : "";
  const failed = failure ? ` The last attempt failed: ${failure}.` : "";
  return `${counts.join(", ")}${ignored}.${when}${failed}`;
}

function line(finding, ofOne, open) {
  const { check, severity, kind, namespace, name, container, services, ignored } = finding;
  const target = name ? `${kind} ${ofOne ? "" : `${namespace}/`}${name}` : "the cluster";
  const tone = ignored ? "ignored" : { error: "bad", warning: "warning" }[severity] ?? "";
  const summary = element("summary", {}, element("span", { class: "meaning" }, ignored ? "ignored" : severity), ` ${check} `,
    element("span", { class: "target" }, container ? `${target}, container ${container}` : target));
  const facts = [["ignored", ignored], ["set", finding.set], ["measured", finding.measured], ["rule", finding.rule],
    ["advice", finding.advice], ["why", finding.why], ["cost", finding.cost]].filter(([, text]) => text);
  const about = facts.flatMap(([what, text]) => [element("dt", {}, what), element("dd", {}, text)]);
  if (!ofOne && services.length) about.push(element("dt", {}, "Services"), element("dd", {}, ...links(services)));
  const patch = finding.patch ? [element("pre", { tabindex: "0", "aria-label": "Patch" }, JSON.stringify(finding.patch.document, null, 2))] : [];
  const key = [check, kind, namespace, name, container].join(" ");
  return element("li", { class: `finding ${tone}` },
    element("details", { "data-key": key, open: open.has(key) }, summary, element("dl", {}, ...about), ...patch));
}

function links(services) {
  return services.flatMap((text, at) => {
    const [namespace, service] = text.split("/");
    return [...(at ? [", "] : []), element("a", { href: ofService({ namespace, service }) }, text)];
  });
}

/** What was not judged, and why. */
function skipped({ skipped: entries, skipped_total: total }, open) {
  if (!entries.length) return [];
  const words = ({ service, checks, why }) => `${service ? `${service}: ` : ""}${why}${checks.length ? ` (${checks.join(", ")})` : ""}`;
  const rest = total - entries.length;
  return [element("details", { "data-key": "skipped", open: open.has("skipped"), class: "skipped" },
    element("summary", {}, `Not judged: ${count(total)}`),
    element("ul", {}, ...entries.map((it) => element("li", {}, words(it))), ...(rest > 0 ? [element("li", {}, `and ${count(rest)} more`)] : [])))];
}
