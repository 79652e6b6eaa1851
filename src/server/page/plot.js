// The distribution of delays on HDR's percentile axis: 1/(1-p), logarithmic, so that each nine of the percentile is as wide
// as the one before.

import { CHANGES, duration, element, round } from "./dom.js";

const HEIGHT = 280;

/** Upper ends of the axis in nines: one more than a plot shows is a percentile of nothing. */
const NINES = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7];

/** Marks on the axis: those, and the half. */
const MARKS = [1, 2, ...NINES.slice(1)];

/** Shortest delay that is drawn, in seconds; a logarithmic axis has no zero. What is shorter than this was shown at once. */
const SHORTEST = 1e-4;

let plot = null;
let drawn = "";

/** Medians by kind of change: what the legend shows while nobody points at the plot. */
let medians = new Map();

/** Draws the distributions of an answer of /api/v1/histogram into `place`, one line a kind of change. */
export function showPlot(place, answer) {
  const lines = answer.histograms.filter((histogram) => histogram.count > 0);
  const names = lines.map((line) => line.change);
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", describe(lines));
  if (lines.length === 0) {
    clear();
    place.replaceChildren(element("p", { class: "empty" }, "No change with a known delay in this window."));
    return;
  }
  medians = new Map(lines.map((line) => [line.change, reached(line, 0.5)]));
  const data = uPlot.join(lines.map(points));
  const width = widthOf(place);
  if (drawn === names.join() && plot?.root.isConnected) {
    if (plot.width !== width) plot.setSize({ width, height: HEIGHT });
    plot.setData(data);
    return;
  }
  clear();
  place.replaceChildren();
  drawn = names.join();
  plot = new uPlot(options(width, names), data, place);
}

/** Makes the plot as wide as its place. */
export function fit(place) {
  if (plot) plot.setSize({ width: widthOf(place), height: HEIGHT });
}

const widthOf = (place) => Math.max(place.clientWidth, 240);

/** Draws anew at the next answer: the colours or the width of the page have changed. */
export function clear() {
  plot?.destroy();
  plot = null;
  drawn = "";
}

/** The steps of one histogram: where the percentile reaches one, its last delay stands at the rank of that delay. */
function points({ percentiles, count }) {
  const ranks = [], seconds = [];
  for (const [delay, quantile] of percentiles) {
    const rank = quantile < 1 ? 1 / (1 - quantile) : Math.max(count, (ranks.at(-1) ?? 1) * 1.0001);
    ranks.push(rank);
    seconds.push(Math.max(delay, SHORTEST));
  }
  return [ranks, seconds];
}

/** The delay that this share stays within. */
const reached = (line, wanted) => line.percentiles.find(([, quantile]) => quantile >= wanted)?.[0];

function describe(lines) {
  if (lines.length === 0) return "Delays by percentile: none in this window";
  const texts = lines.map((line) => `${line.change}: half within ${duration(reached(line, 0.5))}, all within ${duration(reached(line, 1))}`);
  return `Delays by percentile. ${texts.join("; ")}`;
}

function options(width, names) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    padding: [12, 30, 0, 0],
    scales: {
      x: { time: false, distr: 3, range: (_, __, max) => [1, NINES.find((end) => end >= max) ?? max] },
      y: { distr: 3, range: (_, min, max) => [10 ** Math.floor(Math.log10(min)), 10 ** Math.ceil(Math.log10(max * 1.001))] },
    },
    axes: [
      // uPlot leaves out what is no power of ten on such an axis, were it not for the filter.
      { ...axis, size: 34, filter: (_, splits) => splits, splits: (_, __, ___, max) => MARKS.filter((end) => end <= max), values: (_, ends) => ends.map(percentile) },
      { ...axis, size: 68, splits: (_, __, min, max) => decades(min, max), values: (_, splits) => splits.map(round) },
    ],
    series: [
      { label: "Percentile", value: (_, rank) => (rank === null ? percentile(2) : percentile(rank)) },
      ...names.map((name) => ({
        label: name,
        stroke: colour(`--change-${CHANGES.indexOf(name)}`),
        width: 2,
        // Told apart without colours, too.
        dash: [[], [8, 4], [2, 4], [12, 4, 2, 4], [4, 4]][CHANGES.indexOf(name)],
        spanGaps: true,
        // A line of one delay or two would not be seen.
        points: { show: (drawing, at) => drawing.data[at].filter((delay) => delay !== null && delay !== undefined).length < 4, size: 6 },
        value: (_, seconds, __, at) => duration(at === null || at === undefined ? medians.get(name) : seconds),
      })),
    ],
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    legend: { live: true },
  };
}

/** The percentile that leaves one in `rank` above it. */
function percentile(rank) {
  const above = 100 / rank;
  return `${(100 - above).toFixed(Math.min(Math.max(Math.ceil(-Math.log10(above)), 0), 6))} %`;
}

function decades(min, max) {
  const all = [];
  for (let power = Math.round(Math.log10(min)); power <= Math.round(Math.log10(max)); power += 1) all.push(10 ** power);
  return all;
}
