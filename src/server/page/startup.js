// The pods that started last: each with the phases of its start, one after the other.

import { ofService } from "./address.js";
import { byId, clock, count, duration, element, round } from "./dom.js";

/** Pods that are shown. */
export const STARTS = 10;

/** The phases by the API's name for them: in words, and the colour of their part of the bar. */
const PHASES = {
  scheduled: ["scheduled", 0],
  initialized: ["initialized", 1],
  started: ["images and containers", 2],
  containers_ready: ["containers ready", 3],
  readiness_gates: ["readiness gates", 4],
  reported: ["reported", 5],
  listed: ["EndpointSlice", 6],
  in_effect: ["in effect on all nodes", 7],
};

/** The section "Last pod starts", from an answer of /api/v1/startup. If starts are not followed there is none. */
export function showStarts(answer, ofOne) {
  byId("startup").hidden = !answer.followed;
  if (!answer.followed) return;
  const longest = Math.max(1, ...answer.pods.map((pod) => sum(pod.phases)));
  const starts = answer.pods.map((pod) => row(pod, longest, ofOne));
  const key = Object.values(PHASES).map(([name, colour]) => element("span", { class: "phase-name" }, swatch(colour), name));
  const more = answer.pods_total > starts.length ? [element("p", { class: "note" }, `and ${count(answer.pods_total - starts.length)} more`)] : [];
  byId("startup-list").replaceChildren(...(starts.length
    ? [element("p", { class: "note phases" }, ...key), element("ol", { class: "rows", "aria-label": "Last pod starts" }, ...starts), ...more]
    : [element("p", { class: "empty" }, "No pod has started since the daemon did.")]));
}

/** The start of a pod in words: each phase and how long it took. */
export function told({ phases, probe_granularity_seconds: granularity }) {
  return phases.map(({ phase, seconds }) => {
    const most = phase === "containers_ready" && granularity ? ` (up to ${round(granularity)} of it is the probe's period)` : "";
    // Whole seconds of other clocks have no digits behind the point.
    const whole = Object.keys(PHASES).indexOf(phase) < 5;
    return `${PHASES[phase][0]} ${whole ? round(seconds) : duration(seconds)}${most}`;
  }).join(", ");
}

function row(pod, longest, ofOne) {
  const track = element("div", { class: "track" }, ...pod.phases.map(({ phase, seconds }) => {
    const part = element("div", { class: `phase phase-${PHASES[phase][1]}`, title: PHASES[phase][0] });
    part.style.width = `${(seconds / longest) * 100}%`;
    return part;
  }));
  const service = element("a", { href: ofService(pod) }, element("span", { class: "namespace" }, `${pod.namespace}/`), pod.service);
  const name = element("span", { class: "pod", title: pod.uid }, pod.pod);
  const total = pod.total_seconds === undefined ? "–" : duration(pod.total_seconds);
  return element("li", { class: "row start" },
    element("time", { datetime: pod.arrived }, clock(pod.arrived)),
    element("span", { class: "what" }, ...(ofOne ? [] : [service]), name),
    track,
    element("span", { class: "delay" }, pod.outcome === "propagated" ? total : pod.outcome),
    element("span", { class: "way" }, told(pod)));
}

function swatch(colour) {
  return element("span", { class: `mark phase-${colour}`, "aria-hidden": "true" });
}

const sum = (phases) => phases.reduce((all, { seconds }) => all + seconds, 0);
