// One Service: its numbers by kind of change, what is pending, and its last changes as a timeline.

import { CHANGES, byId, clock, count, duration, element, round } from "./dom.js";
import { shares, way } from "./nodes.js";

const HEADINGS = ["Change", "Changes", "p50", "p90", "p99", "p99.9", "Max", "Missed", "Pending", "Oldest"];

/** What an outcome without a delay means, for whoever points at it. */
const MEANINGS = {
  superseded: "its opposite came first",
  expired: "given up: the EndpointSlices never showed it",
  censored: "its time is not known: it came in a list or after a gap",
  withdrawn: "the Service no longer expects it",
};

/** The table of kinds of change, from an answer of /api/v1/services. */
export function showKinds(answer, window) {
  const table = byId("kinds-table");
  table.tHead.rows[0].replaceChildren(...HEADINGS.map((text) => element("th", { scope: "col" }, text)));
  const rows = answer.services.map((row) => {
    const it = row.windows[window];
    const cells = [count(it.count), ...[it.p50, it.p90, it.p99, it.p99_9, it.max].map(duration), count(it.missed),
      count(row.pending), duration(row.oldest_pending_seconds)];
    return element("tr", {}, element("th", { scope: "row" }, mark(row.change), row.change),
      ...cells.map((text) => element("td", {}, text)));
  });
  const none = element("tr", {}, element("td", { colspan: HEADINGS.length, class: "empty" }, "Nothing has changed yet."));
  table.tBodies[0].replaceChildren(...(rows.length ? rows : [none]));
}

/** What is pending and what ended last, from an answer of /api/v1/changes. */
export function showChanges(answer, objective) {
  const delays = [...answer.pending.map((it) => it.age_seconds), ...answer.ended.flatMap((it) => [it.delay_seconds ?? 0, ...shares(it)])];
  const axis = new Axis(Math.max(1, ...delays));
  const pending = answer.pending.map((it) => row(it, axis, {
    time: it.started,
    seconds: it.age_seconds,
    text: `${it.exact ? "" : "at least "}${duration(it.age_seconds)}`,
    title: it.exact ? "not shown yet" : "not shown yet, and there before it was first seen",
    tone: it.age_seconds > objective ? "bar pending late" : "bar pending",
  }));
  byId("pending").replaceChildren(pending.length ? list(axis, pending, "Pending changes", answer.pending_total)
    : element("p", { class: "empty" }, "Nothing is pending."));
  const ended = answer.ended.map((it) => row(it, axis, {
    time: it.ended,
    seconds: it.delay_seconds ?? null,
    text: it.outcome === "propagated" ? duration(it.delay_seconds) : it.outcome,
    title: MEANINGS[it.outcome] ?? steps(it),
    tone: it.delay_seconds > objective ? "bar late" : "bar",
  }));
  byId("spread-note").hidden = !answer.ended.some((it) => it.nodes);
  byId("timeline").replaceChildren(ended.length ? list(axis, ended, "Last changes", answer.ended_total)
    : element("p", { class: "empty" }, "None among the last changes of the cluster."));
}

function steps(it) {
  if (it.reordered_seconds) return `the EndpointSlice came ${duration(it.reordered_seconds)} before the change`;
  return `seen at ${clock(it.started)}, shown at ${clock(it.ended)}`;
}

/** From a millisecond to a power of ten of seconds, logarithmic: most delays are short, and the long ones matter. */
class Axis {
  constructor(longest) {
    this.decades = Math.ceil(Math.log10(longest) + 3);
  }

  /** Where a delay stands, from 0 to 1. */
  at(seconds) {
    return Math.min(1, Math.max(0, (Math.log10(Math.max(seconds, 1e-3)) + 3) / this.decades));
  }

  ticks() {
    return Array.from({ length: this.decades + 1 }, (_, power) => 10 ** (power - 3));
  }
}

function list(axis, rows, label, total) {
  const ticks = axis.ticks().map((seconds) => {
    const tick = element("span", {}, round(seconds));
    tick.style.left = `${axis.at(seconds) * 100}%`;
    return tick;
  });
  const scale = element("div", { class: "row scale", "aria-hidden": "true" }, element("span"), element("span"),
    element("div", { class: "track" }, ...ticks), element("span"));
  const more = total > rows.length ? [element("p", { class: "note" }, `and ${count(total - rows.length)} more`)] : [];
  return element("div", {}, scale, element("ol", { class: "rows", "aria-label": label }, ...rows), ...more);
}

function row(it, axis, { time, seconds, text, title, tone }) {
  const track = element("div", { class: "track" });
  if (seconds !== null) {
    const bar = element("div", { class: tone });
    bar.style.width = `${axis.at(seconds) * 100}%`;
    bar.style.setProperty("--colour", `var(--change-${CHANGES.indexOf(it.change)})`);
    track.append(bar, ...spread(it, axis, bar.style.getPropertyValue("--colour")));
  }
  const told = way(it);
  return element("li", { class: "row", title },
    element("time", { datetime: time }, clock(time)),
    element("span", { class: "what" }, mark(it.change), element("span", { class: "kind" }, it.change),
      element("span", { class: "pod" }, it.pod ?? "the Service itself")),
    track,
    element("span", { class: "delay" }, text),
    ...(told ? [element("span", { class: "way" }, told)] : []));
}

/** The line that goes on from the EndpointSlice to the nodes, with a mark for each share of them. */
function spread(it, axis, colour) {
  const marks = shares(it);
  if (!marks.length) return [];
  const place = (name, from, to) => {
    const made = element("div", { class: name });
    made.style.left = `${axis.at(from) * 100}%`;
    made.style.width = to === undefined ? "" : `${(axis.at(to) - axis.at(from)) * 100}%`;
    made.style.setProperty("--colour", colour);
    return made;
  };
  return [place("spread", it.delay_seconds, Math.max(...marks)), ...marks.map((at) => place("share", at))];
}

function mark(change) {
  return element("span", { class: `mark mark-${CHANGES.indexOf(change)}`, "aria-hidden": "true" });
}
