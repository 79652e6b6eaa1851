// What all parts of the page use: elements, numbers as people read them, and questions to the daemon.

/** The kinds of change, in the order of the API. */
export const CHANGES = ["ready", "unready", "terminating", "removed", "service"];

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * Makes an element. Children are elements or text; text is never taken for HTML, since names come from clusters.
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Makes a shape of a drawing. */
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Seconds to three digits, in the unit that suits them. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  // Less than a unit of the histograms: the EndpointSlice came first.
  if (seconds < 1e-6) return "0";
  if (seconds < 1e-3) return `${digits(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${digits(seconds * 1e3)} ms`;
  if (seconds < 100) return `${digits(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** The same without digits that say nothing: for round numbers. */
export const round = (seconds) => duration(seconds).replace(/\.0+ /, " ");

function digits(number) {
  return number >= 99.95 ? number.toFixed(0) : number >= 9.995 ? number.toFixed(1) : number.toFixed(2);
}

/** A count with its thousands apart. */
export const count = (number) => number.toLocaleString("en");

/** The time of day of an RFC 3339 time, in the reader's own zone. */
export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

/** Asks the daemon. Throws an Error that says what is wrong. */
export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== null));
  const answer = await fetch(`api/v1/${path}?${query}`, { headers: { accept: "application/json" } });
  const type = answer.headers.get("content-type") ?? "";
  const body = type.startsWith("application/json") ? await answer.json() : {};
  if (!answer.ok) throw Object.assign(new Error(body.error ?? `the daemon answers ${answer.status}`), { status: answer.status });
  return body;
}

/** Fills a list of tiles: name, value, and what colours it. */
export function showTiles(list, tiles) {
  list.replaceChildren(...tiles.map(([name, value, tone, title]) =>
    element("div", { class: tone ? `tile ${tone}` : "tile", title }, element("dt", {}, name), element("dd", {}, value))));
}
