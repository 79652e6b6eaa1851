// What is wrong now, above everything else: the Services where something is stuck, or the endpoints of one that are out of sync.

import { ofService } from "./address.js";
import { clock, count, duration, element } from "./dom.js";

/** Services that are shown. */
export const STUCK = 10;

/** Endpoints that are shown. */
export const ENDPOINTS = 20;

/** What is wrong with a Service, by the API's word for it. */
const MEANINGS = {
  traffic: ["bad", "traffic goes wrong"],
  late: ["bad", "a change is late"],
  out_of_sync: ["", "listed wrongly, no traffic goes wrong"],
};

/** The Services where something has been wrong for longer than their objective, from an answer of /api/v1/services. */
export function showStuck(place, answer, overview) {
  const lines = answer.services.map((row) => {
    const [tone, meaning] = MEANINGS[row.stuck];
    const facts = [];
    if (row.out_of_sync) facts.push(`${count(row.out_of_sync)} out of sync, for ${duration(row.oldest_out_of_sync_seconds)}`);
    if (row.pending) facts.push(`${count(row.pending)} pending, for ${duration(row.oldest_pending_seconds)}`);
    const link = element("a", { href: ofService(row) },
      element("span", { class: "namespace" }, `${row.namespace}/`), row.service);
    return line(tone, link, meaning, facts.join("; "));
  });
  const nothing = overview.out_of_sync === null ? "What is out of sync is not known before all watches have listed."
    : "Nothing has been wrong for longer than its objective.";
  show(place, lines, "Services", answer.total, nothing);
}

/** The endpoints of one Service that are out of sync, from an answer of /api/v1/out-of-sync. */
export function showEndpoints(place, answer, row) {
  const lines = answer.endpoints.map((it) => {
    const late = it.age_seconds > (row.objective_seconds ?? Infinity);
    const meaning = it.traffic ? MEANINGS.traffic[1] : MEANINGS.out_of_sync[1];
    const pod = element("span", { title: it.uid }, it.pod);
    return line(it.traffic && late ? "bad" : "", pod, meaning, `since ${clock(it.since)}, ${duration(it.age_seconds)}`);
  });
  const nothing = row.out_of_sync === null ? "What is out of sync is not known." : "All endpoints are in sync.";
  show(place, lines, "Endpoints that are out of sync", answer.total, nothing);
}

/** A line of such a list. */
export function line(tone, name, meaning, facts) {
  return element("li", { class: `wrong ${tone}` }, element("span", { class: "name" }, name),
    element("span", { class: "meaning" }, meaning), element("span", { class: "facts" }, facts));
}

/** Fills a place with lines, or says that there are none. */
export function show(place, lines, label, total, nothing) {
  // Who is at a link with the keyboard stays there.
  const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const more = total > lines.length ? [element("p", { class: "note" }, `and ${count(total - lines.length)} more`)] : [];
  const list = lines.length ? element("ol", { class: "rows", "aria-label": label }, ...lines) : element("p", { class: "empty" }, nothing);
  place.replaceChildren(list, ...more);
  if (focused) [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
}
