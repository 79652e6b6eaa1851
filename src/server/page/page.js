// The page: asks the daemon every few seconds and shows what it says. Which view is shown is in the address: `#/` is all
// Services, `#/service/NAMESPACE/NAME` is one.

import { ask, byId, clock, count, duration, round, showTiles } from "./dom.js";
import { clear, showPlot } from "./plot.js";
import { showChanges, showKinds } from "./service.js";
import { ServicesTable } from "./services.js";

/** Milliseconds between questions. */
const EVERY = 3_000;

/** Changes in the timeline of a Service. */
const TIMELINE = 50;

const table = new ServicesTable(() => refresh());
let timer = null;
let asked = 0;
let lastAnswer = null;

/** The Service of the address, if it names one. */
function route() {
  const parts = location.hash.split("/");
  if (parts[1] !== "service" || parts.length !== 4) return null;
  try {
    return { namespace: decodeURIComponent(parts[2]), service: decodeURIComponent(parts[3]) };
  } catch {
    return null;
  }
}

/** Asks and shows, and asks again later. An answer that was overtaken by another question is not shown. */
async function refresh() {
  clearTimeout(timer);
  asked += 1;
  const mine = asked;
  const service = route();
  const window = byId("window").value;
  try {
    const answers = await (service ? askService(service, window) : askCluster(window));
    if (mine !== asked) return;
    lastAnswer = new Date();
    byId("trouble").hidden = true;
    showHealth(answers.overview);
    if (service) showService(service, answers, window);
    else showCluster(answers, window);
  } catch (error) {
    if (mine !== asked) return;
    showTrouble(error);
  }
  if (mine === asked) timer = setTimeout(refresh, EVERY);
}

async function askCluster(window) {
  const [overview, histogram, services] = await Promise.all([
    ask("overview"),
    ask("histogram", { window, change: byId("change").value }),
    ask("services", { ...table.query(), window }),
  ]);
  return { overview, histogram, services };
}

async function askService(service, window) {
  const [overview, whole, kinds, changes, histogram] = await Promise.all([
    ask("overview"),
    ask("services", { ...service, window, by: "service" }),
    ask("services", { ...service, window }),
    ask("changes", { ...service, limit: TIMELINE }),
    ask("histogram", { ...service, window }),
  ]);
  return { overview, whole, kinds, changes, histogram };
}

function showHealth(overview) {
  const { subject, watches } = overview;
  byId("subject").textContent = subject;
  byId("subject").hidden = false;
  byId("version").textContent = `endpointlag ${overview.version}, up ${duration(overview.uptime_seconds)}`;
  const broken = watches.filter((watch) => !watch.synced);
  const health = byId("health");
  health.className = broken.length ? "badge bad" : "badge good";
  const name = (watch) => (watch.namespace ? `${watch.resource} in ${watch.namespace}` : watch.resource);
  const complaint = (watch) => `${name(watch)}: ${watch.failure ?? "listing"}`;
  health.textContent = broken.length ? broken.map(complaint).join("; ") : "watches healthy";
}

function showTrouble(error) {
  const trouble = byId("trouble");
  const since = lastAnswer ? ` What stands here is from ${clock(lastAnswer)}.` : "";
  // A fetch that finds nobody throws a TypeError; its text is the browser's own and says little.
  const what = error.status ? `The daemon says: ${error.message}.` : "The daemon cannot be reached.";
  trouble.textContent = what + since;
  trouble.hidden = false;
}

function show(view) {
  byId("services").hidden = view !== "cluster";
  byId("service").hidden = view !== "service";
  byId("service-heading").hidden = view !== "service";
}

/** Tiles of a distribution and of what is pending. */
function tiles(quantiles, pending, oldest, objective) {
  const late = oldest !== null && oldest > objective ? "bad" : null;
  return [
    ["p50", duration(quantiles.p50)],
    ["p99", duration(quantiles.p99)],
    ["max", duration(quantiles.max)],
    ["changes", count(quantiles.count)],
    ["pending", count(pending)],
    ["oldest pending", duration(oldest), late, late && "longer than the objective"],
  ];
}

function showCluster({ overview, histogram, services }, window) {
  show("cluster");
  document.title = "endpointlag";
  showTiles(byId("tiles"), [
    ...tiles(overview.windows[window], overview.pending, overview.oldest_pending_seconds, Infinity),
    ["Services", count(overview.services)],
  ]);
  showPlot(byId("plot"), histogram);
  table.show(services, window);
}

function showService(service, { whole, kinds, changes, histogram }, window) {
  show("service");
  const name = `${service.namespace}/${service.service}`;
  document.title = `${name} – endpointlag`;
  byId("service-name").textContent = name;
  const row = whole.services[0];
  const objective = row?.objective_seconds ?? Infinity;
  if (row) {
    const about = tiles(row.windows[window], row.pending, row.oldest_pending_seconds, objective);
    about.push(["objective", row.objective_seconds === null ? "Service is gone" : round(row.objective_seconds)]);
    showTiles(byId("tiles"), about);
  }
  showPlot(byId("plot"), histogram);
  showKinds(kinds, window);
  showChanges(changes, objective);
}

byId("window").addEventListener("change", refresh);
window.addEventListener("hashchange", () => {
  window.scrollTo(0, 0);
  clear();
  refresh();
});
window.addEventListener("resize", refresh);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  clear();
  refresh();
});
// A page that nobody looks at asks nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
// The plotting library is a deferred script; all of them have run by now.
document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", refresh) : refresh();
