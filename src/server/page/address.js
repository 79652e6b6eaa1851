// What the page shows stands in its address, so that it can be sent to somebody: `#/` is all Services, `#/service/NAMESPACE/NAME`
// is one, and behind a question mark stands what was chosen, where it is not what the page begins with.

/** What is chosen in the beginning. */
const DEFAULTS = { window: "5m", q: "", change: "", sort: "p99", order: "desc", page: "1" };

/** The Service of the address, if it names one. */
export function service() {
  const parts = location.hash.split("?")[0].split("/");
  if (parts[1] !== "service" || parts.length !== 4) return null;
  try {
    return { namespace: decodeURIComponent(parts[2]), service: decodeURIComponent(parts[3]) };
  } catch {
    return null;
  }
}

/** What is chosen, by name. */
export function chosen() {
  const given = new URLSearchParams(location.hash.split("?")[1] ?? "");
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, given.get(name) ?? value]));
}

/** Puts what is chosen into the address, as no step of its own: going back leads to the view before. */
export function choose(changed) {
  const query = write({ ...chosen(), ...changed });
  history.replaceState(null, "", `${location.hash.split("?")[0] || "#/"}${query}`);
}

/** The address of all Services, as they were chosen last. */
export function ofAll(choice) {
  return `#/${write(choice)}`;
}

/** The address of a Service's own view. The window goes along. */
export function ofService(row) {
  const name = `#/service/${encodeURIComponent(row.namespace)}/${encodeURIComponent(row.service)}`;
  return name + write({ window: chosen().window });
}

function write(choice) {
  const told = Object.entries(choice).filter(([name, value]) => value !== DEFAULTS[name]);
  return told.length ? `?${new URLSearchParams(told)}` : "";
}
