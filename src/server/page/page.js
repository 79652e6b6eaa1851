// The page: asks the daemon every few seconds and shows what it says. Which view is shown is in the address.

import { choose, chosen, ofAll, service as serviceOfAddress } from "./address.js";
import { FINDINGS, showAdvice } from "./advice.js";
import { ask, byId, clock, count, duration, round, showTiles } from "./dom.js";
import { showHistory } from "./history.js";
import { showNodes } from "./nodes.js";
import { clear, fit, showPlot } from "./plot.js";
import { showChanges, showKinds } from "./service.js";
import { ServicesTable } from "./services.js";
import { STARTS, showStarts } from "./startup.js";
import { ENDPOINTS, STUCK, showEndpoints, showStuck } from "./wrong.js";

/** Milliseconds between questions. */
const EVERY = 3_000;

/** Changes in the timeline of a Service. */
const TIMELINE = 50;

/** Milliseconds without another resize before the plot is drawn anew. */
const RESIZED = 150;

const table = new ServicesTable(() => refresh());
let timer = null;
let resized = null;
let asked = 0;
let lastAnswer = null;

/** Asks and shows, and asks again later. An answer that was overtaken by another question is not shown. */
async function refresh() {
  clearTimeout(timer);
  asked += 1;
  const mine = asked;
  const service = serviceOfAddress();
  const window = byId("window").value;
  try {
    const answers = await (service ? askService(service, window) : askCluster(window));
    if (mine !== asked) return;
    lastAnswer = new Date();
    byId("trouble").hidden = true;
    showHealth(answers.overview);
    if (service && answers.histogram && answers.history) showService(service, answers, window);
    else if (service) showUnknown(service);
    else showCluster(answers, window);
  } catch (error) {
    if (mine !== asked) return;
    showTrouble(error);
  }
  if (mine === asked) timer = setTimeout(refresh, EVERY);
}

async function askCluster(window) {
  const change = byId("change").value;
  const [overview, stuck, histogram, history, services, startup, advice] = await Promise.all([
    ask("overview"),
    ask("services", { by: "service", only: "stuck", first: "stuck", sort: "oldest_out_of_sync", window, limit: STUCK }),
    ask("histogram", { window, change }),
    ask("history", { change }),
    ask("services", { ...table.query(), window }),
    ask("startup", { limit: STARTS }),
    ask("advice", { limit: FINDINGS.ofAll }),
  ]);
  return { overview, stuck, histogram, history, services, startup, advice };
}

async function askService(service, window) {
  const [overview, whole, endpoints, kinds, changes, histogram, history, startup, advice] = await Promise.all([
    ask("overview"),
    ask("services", { ...service, window, by: "service" }),
    ask("out-of-sync", { ...service, limit: ENDPOINTS }),
    ask("services", { ...service, window }),
    ask("changes", { ...service, limit: TIMELINE }),
    ask("histogram", { ...service, window }).catch(unknown),
    ask("history", service).catch(unknown),
    ask("startup", { ...service, limit: STARTS }),
    ask("advice", { ...service, limit: FINDINGS.ofOne }),
  ]);
  return { overview, whole, endpoints, kinds, changes, histogram, history, startup, advice };
}

/** No Service of this name is known. */
function unknown(error) {
  if (error.status !== 404) throw error;
  return null;
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
  // How the watches are is not known any more.
  byId("health").textContent = "";
}

function show(view) {
  for (const part of ["headline", "wrong", "pair"]) byId(part).hidden = view === "unknown";
  byId("services").hidden = view !== "cluster";
  if (view !== "cluster") byId("nodes").hidden = true;
  if (view === "unknown") for (const part of ["startup", "advice"]) byId(part).hidden = true;
  byId("service").hidden = view !== "service";
  byId("service-heading").hidden = view === "cluster";
  byId("unknown").hidden = view !== "unknown";
}

/** Tiles of what is wrong now, and of a distribution. */
function tiles(state, quantiles, about) {
  const { out_of_sync: endpoints, oldest_out_of_sync_traffic_seconds: traffic, oldest_pending_seconds: oldest } = state;
  const misrouted = state.misrouted && "bad";
  const late = state.late && "bad";
  return [
    ["out of sync", endpoints === null ? "–" : count(endpoints), misrouted,
      "endpoints that the EndpointSlices show otherwise than their pods are"],
    ["traffic wrong for", duration(traffic), misrouted, misrouted && "longer than the objective"],
    ["pending", count(state.pending), late, "changes that the EndpointSlices do not show yet"],
    ["oldest pending", duration(oldest), late, late && "longer than the objective"],
    about,
    ["p50", duration(quantiles.p50)],
    ["p99", duration(quantiles.p99)],
    ["max", duration(quantiles.max)],
    ["changes", count(quantiles.count)],
  ];
}

function showCluster({ overview, stuck, histogram, history, services, startup, advice }, window) {
  show("cluster");
  document.title = "endpointlag";
  const state = { ...overview, misrouted: overview.misrouted_services > 0, late: overview.late_services > 0 };
  showTiles(byId("tiles"), tiles(state, overview.windows[window], ["Services", count(overview.services)]));
  showStuck(byId("wrong-list"), stuck, overview);
  showNodes(overview.nodes);
  showPlot(byId("plot"), histogram);
  showHistory(history);
  showStarts(startup, false);
  showAdvice(advice, false);
  table.show(services, window);
  byId("back").href = ofAll(chosen());
}

function showService(service, { whole, endpoints, kinds, changes, histogram, history, startup, advice }, window) {
  show("service");
  const name = headline(service);
  const row = whole.services[0];
  const objective = row?.objective_seconds ?? Infinity;
  if (row) {
    const state = { ...row, misrouted: row.stuck === "traffic", late: row.oldest_pending_seconds > objective };
    const about = ["objective", row.objective_seconds === null ? "Service is gone" : round(row.objective_seconds)];
    showTiles(byId("tiles"), tiles(state, row.windows[window], about));
    showEndpoints(byId("wrong-list"), endpoints, row);
  }
  document.title = `${name} – endpointlag`;
  showPlot(byId("plot"), histogram);
  showHistory(history);
  showStarts(startup, true);
  showAdvice(advice, true);
  showKinds(kinds, window);
  showChanges(changes, objective);
}

function showUnknown(service) {
  show("unknown");
  const name = headline(service);
  document.title = `${name} – endpointlag`;
  byId("unknown").textContent = `No Service ${name} is measured, or was lately.`;
}

function headline({ namespace, service }) {
  const name = `${namespace}/${service}`;
  byId("service-name").textContent = name;
  return name;
}

/** Takes over what the address says. */
function follow() {
  byId("window").value = chosen().window;
  if (!byId("window").value) byId("window").selectedIndex = 0;
  if (!serviceOfAddress()) table.choose(chosen());
}

byId("window").addEventListener("change", () => {
  choose({ window: byId("window").value });
  refresh();
});
window.addEventListener("hashchange", () => {
  window.scrollTo(0, 0);
  clear();
  follow();
  refresh();
});
window.addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => fit(byId("plot")), RESIZED);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  clear();
  refresh();
});
// A page that nobody looks at asks nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
follow();
// The plotting library is a deferred script; all of them have run by now.
document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", refresh) : refresh();
