// The table of Services. The daemon searches, sorts and pages; this shows one page of it, so that 10,000 Services cost the
// browser no more than fifty.

import { choose, ofService } from "./address.js";
import { byId, count, duration, element } from "./dom.js";

const ROWS = 50;

/** Columns: the API's name to sort by, the heading, and the text of a row. What is wrong now comes first. */
const COLUMNS = [
  ["name", "Service", null],
  ["out_of_sync", "Out of sync", (row) => (row.out_of_sync === null ? "–" : count(row.out_of_sync))],
  ["pending", "Pending", (row) => count(row.pending)],
  ["oldest", "Oldest", (row) => duration(row.oldest_pending_seconds)],
  ["missed", "Missed", (row, it) => count(it.missed)],
  ["count", "Changes", (row, it) => count(it.count)],
  ["p50", "p50", (row, it) => duration(it.p50)],
  ["p90", "p90", (row, it) => duration(it.p90)],
  ["p99", "p99", (row, it) => duration(it.p99)],
  ["max", "Max", (row, it) => duration(it.max)],
];

/** What colours a row, by what is stuck there. */
const TONES = {
  traffic: ["late", "traffic has gone wrong for longer than its objective"],
  late: ["late", "a change has been pending for longer than its objective"],
  out_of_sync: ["off", "a pod has been listed otherwise than it is for longer than its objective; no traffic goes wrong by it"],
};

/** What the user has chosen, and how to ask anew when that changes. */
export class ServicesTable {
  constructor(changed) {
    this.changed = changed;
    this.offset = 0;
    this.total = 0;
    this.headings = COLUMNS.map(([key, text]) => {
      const button = element("button", { type: "button" }, text);
      button.addEventListener("click", () => this.sortBy(key));
      return element("th", { scope: "col", class: `col-${key}` }, button);
    });
    byId("services-table").tHead.rows[0].replaceChildren(...this.headings);
    byId("search").addEventListener("input", () => this.search());
    byId("change").addEventListener("change", () => this.from(0));
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    byId("previous").addEventListener("click", () => this.from(this.offset - ROWS));
    byId("next").addEventListener("click", () => this.from(this.offset + ROWS));
  }

  /** Takes over what the address says. */
  choose({ q, change, sort, order, page }) {
    byId("search").value = q;
    byId("change").value = change;
    this.sort = COLUMNS.some(([key]) => key === sort) ? sort : "p99";
    this.order = order === "asc" ? "asc" : "desc";
    this.offset = Math.max(0, (Number.parseInt(page, 10) || 1) - 1) * ROWS;
    this.markSorted();
  }

  /** Parameters of the next question. */
  query() {
    return {
      by: "service",
      q: byId("search").value.trim(),
      change: byId("change").value,
      first: "stuck",
      sort: this.sort,
      order: this.order,
      limit: ROWS,
      offset: this.offset,
    };
  }

  search() {
    // While somebody types: one question when they pause, not one a letter.
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.from(0), 150);
  }

  sortBy(key) {
    const first = key === "name" ? "asc" : "desc";
    const other = first === "asc" ? "desc" : "asc";
    this.order = this.sort === key && this.order === first ? other : first;
    this.sort = key;
    this.markSorted();
    this.from(0);
  }

  from(offset) {
    this.offset = Math.max(0, offset);
    const { q, change, sort, order } = this.query();
    choose({ q, change, sort, order, page: String(this.offset / ROWS + 1) });
    this.changed();
  }

  markSorted() {
    COLUMNS.forEach(([key], at) => {
      const sorted = key === this.sort ? { asc: "ascending", desc: "descending" }[this.order] : "none";
      this.headings[at].setAttribute("aria-sort", sorted);
    });
  }

  show(answer, window) {
    if (answer.services.length === 0 && answer.total > 0) {
      this.from(Math.floor((answer.total - 1) / ROWS) * ROWS);
      return;
    }
    const body = byId("services-table").tBodies[0];
    // Who is at a link with the keyboard stays there.
    const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const none = element("tr", {}, element("td", { colspan: COLUMNS.length, class: "empty" }, "No Service is like that."));
    const lines = answer.services.map((row) => line(row, row.windows[window]));
    body.replaceChildren(...(lines.length ? lines : [none]));
    if (focused) [...body.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
    const { total } = answer;
    byId("found").textContent = total === 1 ? "1 Service" : `${count(total)} Services`;
    byId("page").textContent = total ? `${count(answer.offset + 1)} – ${count(answer.offset + answer.services.length)} of ${count(total)}` : "";
    byId("previous").disabled = answer.offset === 0;
    byId("next").disabled = answer.offset + ROWS >= total;
    byId("pages").hidden = total <= ROWS;
  }
}

function line(row, quantiles) {
  const [tone, title] = TONES[row.stuck] ?? [null, null];
  const cells = COLUMNS.slice(1).map(([key, , text]) => element("td", { class: `col-${key}` }, text(row, quantiles)));
  const link = element("a", { href: ofService(row) },
    element("span", { class: "namespace" }, `${row.namespace}/`), row.service);
  const name = element("th", { scope: "row", class: "col-name" }, link);
  return element("tr", { class: tone, title }, name, ...cells);
}
