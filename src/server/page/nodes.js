// The hop to the nodes: the agents and the nodes that are behind, and the way of one change over the nodes.

import { ofService } from "./address.js";
import { byId, count, duration, element } from "./dom.js";
import { line, show } from "./wrong.js";

/** The shares of the nodes, by the API's name for their times. */
const SHARES = [["p50_seconds", (total) => `half of ${nodes(total)}`], ["p99_seconds", () => "99 %"], ["all_seconds", () => "all"]];

/** The section "Nodes", from `nodes` of /api/v1/overview. Without agents there is none. */
export function showNodes(now) {
  byId("nodes").hidden = !now;
  if (!now) return;
  const { connected, expected, silent } = now.agents;
  const agents = `${count(connected)} of ${count(expected)} agents connected, ${silent ? count(silent) : "none"} silent.`;
  const waiting = now.pending
    ? `On their way to a node: ${count(now.pending)} (each change counts once for each node), the oldest for ${duration(now.oldest_pending_seconds)}.`
    : "No change is on its way to a node.";
  byId("nodes-now").textContent = `${agents} Changes are followed to ${nodes(now.following)}. ${waiting}`;
  const lines = now.stale.map((it) => {
    const link = element("a", { href: ofService(it) }, element("span", { class: "namespace" }, `${it.namespace}/`), it.service);
    const more = it.nodes > it.names.length ? ` and ${count(it.nodes - it.names.length)} more` : "";
    return line("bad", link, it.nodes === 1 ? "1 stale node" : `${count(it.nodes)} stale nodes`,
      `${it.names.join(", ")}${more}, for ${duration(it.age_seconds)}`);
  });
  show(byId("nodes-stale"), lines, "Services with stale nodes", now.stale_services,
    "No node has been behind for longer than the objective of a Service.");
}

/** The known times from the start of a change until shares of the nodes had it in effect. None while it is on its way. */
export function shares(change) {
  if (!change.nodes) return [];
  return SHARES.map(([key]) => change.nodes[key]).filter((it) => it !== undefined).map((it) => change.delay_seconds + it);
}

/** The way of a change in words; null if it has not ended on all nodes, or no node had to follow. */
export function way(change) {
  const spread = change.nodes;
  if (!spread || !spread.total) return null;
  // A microsecond is the smallest unit of the page. No figure is finer than the clocks.
  const error = Math.max(spread.error_seconds, 1e-6);
  const within = (seconds) => (seconds < error ? `below ${duration(error)}` : `in ${duration(seconds)}`);
  const known = SHARES.filter(([key]) => spread[key] !== undefined);
  const steps = known.map(([key, name]) => `${name(spread.total)} ${within(spread[key])}`);
  const others = Object.entries(spread.outcomes).filter(([outcome]) => outcome !== "in_effect")
    .map(([outcome, number]) => `${outcome.replaceAll("_", " ")} on ${nodes(number)}`);
  const hops = [`EndpointSlice in ${duration(change.delay_seconds)}`, ...(steps.length ? [`then ${steps.join(", ")}`] : [])];
  if (spread.last) hops.push(`last ${spread.last}`, `± ${duration(error)}`);
  return [...hops, ...others].join("; ");
}

function nodes(number) {
  return number === 1 ? "1 node" : `${count(number)} nodes`;
}
