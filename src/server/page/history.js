// The last hour by the minute: a column for each minute, a row for each range of delays, and which minutes missed objectives. A
// controller that stands still ends no change, so that its columns are empty: the misses below them say so.

import { byId, clock, count, duration, element, round, svg } from "./dom.js";

/** Columns that are there at least, so that the first minutes are no stripe at the edge. */
const LEAST_COLUMNS = 15;

/** Strengths of the colour. */
const LEVELS = 5;

/** Rows that are there at least: up to a second. */
const LEAST_ROWS = 11;

/** Marks on the axis of delays. */
const DELAYS = [[1e-3, "1 ms"], [1e-2, "10 ms"], [0.1, "100 ms"], [1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"]];

/** Minutes before the start that have room for a word. */
const WORD = 12;

/** The table: headings, and the texts of a minute. */
const NUMBERS = [
  ["changes", "Changes", (it) => count(it.count)],
  ["p50", "p50", (it) => duration(it.p50)],
  ["p99", "p99", (it) => duration(it.p99)],
  ["longest", "Max", (it) => duration(it.max)],
  ["misses", "Missed", (it) => count(it.missed)],
];

let shown = null;
let columns = LEAST_COLUMNS;
let pointed = null;

/** Draws an answer of /api/v1/history. */
export function showHistory(answer) {
  shown = answer;
  const { intervals, bounds, objective_seconds: objective } = answer;
  const rows = rowsOf(answer);
  columns = Math.max(LEAST_COLUMNS, intervals.length);
  const first = columns - intervals.length;
  const most = Math.max(1, ...intervals.flatMap((it) => it.counts));
  const cells = intervals.flatMap((it, at) => it.counts.map((number, row) => (number === 0 ? null
    : cell(first + at, rows - 1 - row, `heat heat-${Math.ceil((LEVELS * Math.log1p(number)) / Math.log1p(most))}`))).filter(Boolean));
  // Where a delay stands, from the top: the rows are powers of two, and the first ends with the first bound.
  const height = (seconds) => 1 - (Math.log2(seconds / bounds[0]) + 1) / rows;
  const delays = DELAYS.filter(([seconds]) => height(seconds) >= 0);
  const lines = delays.map(([seconds]) => mark("", height(seconds), "line"));
  const over = [...before(first, "not running yet"), ...lines, drawing(rows, ...cells)];
  if (objective !== null) {
    over.push(mark(`objective ${round(objective)}`, Math.max(0, height(objective)), "objective"));
  }
  const mostMissed = Math.max(1, ...intervals.map((it) => it.missed));
  const missed = intervals.map((it, at) => (it.missed ? miss(first + at, it.missed / mostMissed) : null)).filter(Boolean);
  byId("heat").replaceChildren(
    element("div", { class: "axis" }, ...delays.map(([seconds, text]) => mark(text, height(seconds)))),
    element("div", { class: "cells" }, ...over),
    element("span", { class: "missed" }, "missed"),
    element("div", { class: "cells misses" }, ...before(first), drawing(1, ...missed)),
    element("span"),
    element("div", { class: "axis times" }, ...times(answer)));
  // An image of nothing would have no name.
  byId("heat").setAttribute("role", "img");
  byId("heat").setAttribute("aria-label", `Delays by the minute. ${summary(answer)}`);
  byId("heat-key").hidden = cells.length === 0;
  byId("heat-most").textContent = most === 1 ? "1 change" : `${count(most)} changes`;
  read();
  showTable();
}

/** As many rows as it takes to show each delay, and the objective with one more above it. */
function rowsOf({ intervals, bounds, objective_seconds: objective }) {
  const highest = bounds.findLastIndex((_, row) => intervals.some((it) => it.counts[row] > 0)) + 1;
  const ofObjective = objective === null ? 0 : bounds.findIndex((bound) => bound >= objective) + 2;
  return Math.min(bounds.length, Math.max(LEAST_ROWS, highest, ofObjective));
}

/** A drawing of columns and rows that is as large as its place. */
const drawing = (rows, ...shapes) => svg("svg", { viewBox: `0 0 ${columns} ${rows}`, preserveAspectRatio: "none" }, ...shapes);

/** A little smaller than its place, so that neighbours are told apart. */
const cell = (column, row, name) => svg("rect", { x: column + 0.05, y: row + 0.06, width: 0.9, height: 0.88, class: name });

/** A bar by how many were missed, compared with the worst minute; a single one is seen as well. */
function miss(column, share) {
  const height = 0.3 + 0.7 * share;
  return svg("rect", { x: column + 0.05, y: 1 - height, width: 0.9, height, class: "miss" });
}

/** The minutes before the daemon was there. */
function before(first, text = "") {
  const none = element("div", { class: "before", title: "before the daemon was started" }, first < WORD ? "" : text);
  none.style.width = `${(first / columns) * 100}%`;
  return first > 0 ? [none] : [];
}

/** A word or a line at a share of the way from the top. */
function mark(text, share, name = null) {
  const made = element("span", { class: name }, text);
  made.style.top = `${share * 100}%`;
  return made;
}

/** The full quarters of an hour on the axis, or each five minutes of a short one. */
function times({ intervals, interval_seconds: length }) {
  const end = Date.parse(intervals.at(-1).start) + length * 1e3;
  const begin = end - columns * length * 1e3;
  const step = (columns > 30 ? 15 : 5) * 60e3;
  const marks = [];
  for (let at = Math.ceil(begin / step) * step; at <= end; at += step) {
    const text = element("span", {}, clock(at).slice(0, 5));
    // At its place, and not beyond the ends.
    text.style.left = `clamp(18px, ${((at - begin) / (end - begin)) * 100}%, calc(100% - 18px))`;
    marks.push(text);
  }
  return marks;
}

/** What the drawing says, in a sentence. */
function summary({ intervals }) {
  const sum = (key) => intervals.reduce((all, it) => all + it[key], 0);
  const hour = intervals.length < 60 ? "Since the start" : "In the last hour";
  if (sum("count") === 0) return `${hour} no change ended with a known delay; ${missing(sum("missed"))}.`;
  const slowest = intervals.reduce((worst, it) => ((it.p99 ?? -1) > (worst.p99 ?? -1) ? it : worst));
  return `${hour} ${changes(sum("count"))}; ${missing(sum("missed"))}. The slowest minute began at ${clock(slowest.start)}, with a p99 of ${duration(slowest.p99)}.`;
}

const changes = (number) => (number === 1 ? "1 change ended" : `${count(number)} changes ended`);
const missing = (number) => (number === 0 ? "none missed its objective" : `${count(number)} missed their objective`);

/** Says what the pointer is at, or else all in a sentence. */
function read() {
  const at = pointed === null ? -1 : pointed - (columns - shown.intervals.length);
  const it = shown.intervals[at];
  const cells = byId("heat").querySelector(".cells");
  cells.querySelector(".pointer")?.remove();
  if (!it) {
    byId("heat-read").textContent = summary(shown);
    return;
  }
  const line = element("div", { class: "pointer" });
  line.style.left = `${(pointed / columns) * 100}%`;
  line.style.width = `${100 / columns}%`;
  cells.append(line);
  const delays = it.count ? `: p50 ${duration(it.p50)}, p99 ${duration(it.p99)}, longest ${duration(it.max)}` : "";
  byId("heat-read").textContent = `From ${clock(it.start)}, a minute: ${changes(it.count)}${delays}; ${missing(it.missed)}.`;
}

/** The same in numbers, for those who open it. Minutes in which nothing happened are left out. */
function showTable() {
  if (!byId("history-numbers").open || shown === null) return;
  const table = byId("history-table");
  const heading = (name, text) => element("th", { scope: "col", class: `col-${name}` }, text);
  table.tHead.rows[0].replaceChildren(heading("from", "From"), ...NUMBERS.map(([name, text]) => heading(name, text)));
  const told = shown.intervals.filter((it) => it.count || it.missed).reverse();
  const lines = told.map((it) => element("tr", {}, element("th", { scope: "row" }, clock(it.start)),
    ...NUMBERS.map(([name, , text]) => element("td", { class: `col-${name}` }, text(it)))));
  const none = element("tr", {}, element("td", { colspan: NUMBERS.length + 1, class: "empty" }, "Nothing has ended or missed its objective."));
  table.tBodies[0].replaceChildren(...(lines.length ? lines : [none]));
}

function point(event) {
  const place = byId("heat").querySelector(".cells");
  if (!place) return;
  const { left, width } = place.getBoundingClientRect();
  const column = Math.floor(((event.clientX - left) / width) * columns);
  pointed = column >= 0 && column < columns ? column : null;
  read();
}

byId("heat").addEventListener("pointermove", point);
byId("heat").addEventListener("pointerdown", point);
byId("heat").addEventListener("pointerleave", (event) => {
  // A finger that is lifted leaves what it touched to be read.
  if (event.pointerType === "touch") return;
  pointed = null;
  if (shown) read();
});
byId("history-numbers").addEventListener("toggle", showTable);
