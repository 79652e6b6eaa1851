// Drives the page of a running daemon with its simulated cluster: demo.mjs BASE FOLDER

import assert from "node:assert/strict";
import { SIZES, accessible, agrees, fits, landmarks, readable, rows, same, tiles, whole, withPage } from "./browser.mjs";

const [base, folder] = process.argv.slice(2);

// What the browser may load, and the errors for wrong requests.
const index = await fetch(base);
assert.match(index.headers.get("content-security-policy"), /^default-src 'none'; script-src 'self';/);
const refused = await fetch(`${base}api/v1/services?sort=size`);
assert.equal(refused.status, 400);
assert.match((await refused.json()).error, /^sort="size": write one of name, count, p50/);
assert.equal((await fetch(`${base}api/v1/nothing`)).status, 404);

const picture = (page, name) => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });

/** The table is the last answer, row by row. */
const tableAgrees = (page, answers, window) => agrees(page, async () => {
  const shown = await rows(page, "#services-table");
  const { services, total } = answers["services by service"];
  assert.ok(total > 0, "no Services");
  assert.deepEqual(shown.map((row) => row[0]), services.map((row) => `${row.namespace}/${row.service}`));
  services.forEach((row, at) => {
    const it = row.windows[window];
    assert.ok(it, `no window ${window} yet`);
    assert.deepEqual(shown[at].slice(1, 3), [row.out_of_sync, row.pending].map(String), "out of sync, pending");
    same(shown[at][3], row.oldest_pending_seconds, "oldest");
    assert.deepEqual(shown[at].slice(4, 6), [it.missed, it.count].map(String), "missed, count");
    ["p50", "p90", "p99", "max"].forEach((key, column) => same(shown[at][6 + column], it[key], `${shown[at][0]} ${key}`));
  });
  return services;
});

/** The last hour is the last answer: what ended and what was missed, by the minute. */
const historyAgrees = (page, answers) => agrees(page, async () => {
  const { intervals } = answers.history;
  const sum = (key) => intervals.reduce((all, it) => all + it[key], 0);
  assert.ok(sum("count") > 0, "nothing has ended yet");
  const cells = intervals.flatMap((it) => it.counts).filter((number) => number > 0).length;
  assert.equal(await page.locator("#heat .heat").count(), cells, "a cell for each range of delays of each minute");
  assert.equal(await page.locator("#heat .miss").count(), intervals.filter((it) => it.missed > 0).length, "minutes that missed");
  const said = await page.locator("#heat-read").textContent();
  assert.ok(said.includes(`${sum("count").toLocaleString("en")} changes ended`), said);
});

const headlineAgrees = (page, answers, window) => agrees(page, async () => {
  const [shown, { windows, pending, oldest_pending_seconds: oldest, services, ...overview }] = [await tiles(page), answers.overview];
  assert.equal(shown["out of sync"], String(overview.out_of_sync));
  same(shown["traffic wrong for"], overview.oldest_out_of_sync_traffic_seconds, "traffic wrong for");
  for (const key of ["p50", "p99", "max"]) same(shown[key], windows[window][key], key);
  assert.equal(shown.changes, windows[window].count.toLocaleString("en"));
  assert.equal(shown.pending, String(pending));
  same(shown["oldest pending"], oldest, "oldest pending");
  assert.equal(shown.Services, String(services));
});

/** The section of the nodes is the last answer: the agents, and the Services with nodes that are behind. */
const nodesAgree = (page, answers) => agrees(page, async () => {
  const { agents, following, pending, stale } = answers.overview.nodes;
  const said = await page.locator("#nodes-now").textContent();
  assert.ok(said.startsWith(`${agents.connected} of ${agents.expected} agents connected, ${agents.silent || "none"} silent.`), said);
  assert.ok(said.includes(`followed to ${following} nodes.`), said);
  assert.ok(said.includes(pending ? `On their way to a node: ${pending} (` : "No change is on its way"), said);
  const shown = await page.$$eval("#nodes-stale .wrong .name", (all) => all.map((it) => it.textContent));
  assert.deepEqual(shown, stale.map((it) => `${it.namespace}/${it.service}`));
});

/** The last starts are the last answer: each pod, the time until it was listed, and its phases with their parts of the bar. */
const startsAgree = (page, answers) => agrees(page, async () => {
  const shown = await page.$$eval("#startup-list li", (all) => all.map((row) => ({
    pod: row.querySelector(".pod").textContent,
    total: row.querySelector(".delay").textContent,
    told: row.querySelector(".way").textContent,
    widths: [...row.querySelectorAll(".phase")].map((part) => parseFloat(part.style.width)),
  })));
  const { pods, followed } = answers.startup;
  assert.ok(followed && pods.length > 0, "no pod has started yet");
  assert.deepEqual(shown.map((it) => it.pod), pods.map((it) => it.pod));
  const sums = pods.map(({ phases }) => phases.reduce((all, { seconds }) => all + seconds, 0));
  const longest = Math.max(1, ...sums);
  pods.forEach(({ phases, outcome, total_seconds: total, probe_granularity_seconds: granularity }, at) => {
    const it = shown[at];
    if (outcome === "propagated" && total !== undefined) same(it.total, total, it.pod);
    else assert.equal(it.total, outcome === "propagated" ? "–" : outcome);
    const steps = it.told.split(", ");
    assert.equal(steps.length, phases.length, it.told);
    phases.forEach(({ seconds }, step) => {
      assert.ok(Math.abs(it.widths[step] - (seconds / longest) * 100) < 0.01, `${it.pod}: the part of ${steps[step]}`);
      same(steps[step].replace(/ \(.*/, "").match(/[\d.]+( \S+)?( \d+ \S+)?$/)[0], seconds, steps[step]);
    });
    assert.equal(it.told.includes("is the probe's period"), Boolean(granularity), it.told);
  });
});

/** The way of a change over the nodes, as the page writes it: each time is in the order in which it is told. */
function wayAgrees(text, { delay_seconds: delay, nodes: { total, outcomes, error_seconds, last, ...spread } }) {
  const known = [["half of 12 nodes", "p50_seconds"], ["99 %", "p99_seconds"], ["all", "all_seconds"]].filter(([, key]) => key in spread);
  assert.equal(total, 12);
  const error = Math.max(error_seconds, 1e-6);
  const hops = text.split("; ");
  const [slice, then] = [hops[0], hops.find((hop) => hop.startsWith("then "))];
  const steps = then ? then.slice("then ".length).split(", ") : [];
  same(slice.replace("EndpointSlice in ", ""), delay, "the slice");
  assert.equal(steps.length, known.length, text);
  known.forEach(([name, key], at) => {
    const below = spread[key] < error;
    assert.ok(steps[at].startsWith(`${name} ${below ? "below" : "in"} `), text);
    same(steps[at].slice(name.length + (below ? 7 : 4)), below ? error : spread[key], name);
  });
  assert.equal(text.includes(`last ${last}; ± `), last !== undefined, text);
  if (last) assert.match(last, /^simulated-node-\d\d$/);
  if (last) same(hops.find((hop) => hop.startsWith("± ")).slice(2), error, "the error");
  for (const [outcome, number] of Object.entries(outcomes)) {
    const said = text.includes(`${outcome.replaceAll("_", " ")} on ${number} node`);
    assert.equal(said, outcome !== "in_effect", text);
  }
}

/** What is stuck comes first, the worst before the others. */
const rank = (row) => ["out_of_sync", "late", "traffic"].indexOf(row.stuck);
const sorted = (services, value) => services.every((row, at) => {
  if (at === 0) return true;
  const before = services[at - 1];
  return rank(before) > rank(row) || (rank(before) === rank(row) && value(before) >= value(row));
});

await withPage(base, {}, async (page, answers, faults) => {
  await page.getByText("simulated cluster").waitFor();
  await page.getByText("watches healthy").waitFor();
  // The simulated controller becomes slow for the first time after half a minute.
  await page.waitForFunction(() => {
    const pending = [...document.querySelectorAll("#tiles .tile")].find((tile) => tile.querySelector("dt").textContent === "pending");
    return Number(pending?.querySelector("dd").textContent) > 0 && document.querySelectorAll("#services-table tbody tr").length > 5;
  }, null, { timeout: 120_000 });
  await page.locator("#plot canvas").waitFor();
  assert.match(await page.locator("#plot").getAttribute("aria-label"), /ready: half within \d/);
  await headlineAgrees(page, answers, "5m");
  await tableAgrees(page, answers, "5m");
  // Without a hover the legend shows the medians.
  await agrees(page, async () => {
    const legend = await page.$$eval("#plot .u-series", (all) => all.map((it) => [it.querySelector(".u-label").textContent, it.querySelector(".u-value").textContent]));
    const medians = answers.histogram.histograms.filter((it) => it.count > 0).map((it) => [it.change, it.percentiles.find(([, quantile]) => quantile >= 0.5)[0]]);
    assert.deepEqual(legend.map(([name]) => name), ["Percentile", ...medians.map(([name]) => name)]);
    assert.equal(legend[0][1], "50 %");
    medians.forEach(([name, median], at) => same(legend[at + 1][1], median, name));
  });
  await historyAgrees(page, answers);
  await nodesAgree(page, answers);
  await startsAgree(page, answers);
  await landmarks(page);
  await readable(page);
  await accessible(page);
  await fits(page);
  await whole(page, "#services-table");
  await picture(page, "desktop-light");

  await page.getByLabel("Window").selectOption("last hour");
  await tableAgrees(page, answers, "1h");
  await page.getByLabel("Window").selectOption("since start");
  await headlineAgrees(page, answers, "start");

  // By mouse and by keyboard, in both directions.
  await page.getByRole("button", { name: "p50" }).click();
  await agrees(page, async () => {
    const services = await tableAgrees(page, answers, "start");
    assert.ok(sorted(services, (row) => row.windows.start.p50 ?? -1), "sorted by p50");
  });
  assert.equal(await page.getByRole("columnheader", { name: "p50" }).getAttribute("aria-sort"), "descending");
  await page.getByRole("button", { name: "Service" }).focus();
  await page.keyboard.press("Enter");
  await agrees(page, async () => {
    const services = await tableAgrees(page, answers, "start");
    assert.ok(sorted([...services].reverse().sort((a, b) => rank(b) - rank(a)), (row) => `${row.namespace}/${row.service}`), "by name");
  });
  await page.keyboard.press("Enter");
  await agrees(page, async () => {
    const services = await tableAgrees(page, answers, "start");
    assert.ok(sorted(services, (row) => `${row.namespace}/${row.service}`), "by name, backwards");
  });

  await page.getByLabel("Search").fill("FRONT");
  await page.getByText("1 Service", { exact: true }).waitFor();
  assert.deepEqual((await tableAgrees(page, answers, "start")).map((row) => row.service), ["frontend"]);
  await page.getByLabel("Change", { exact: true }).selectOption("removed");
  const merged = await tableAgrees(page, answers, "start");
  await page.reload();
  await agrees(page, async () => {
    const chosen = await page.evaluate(() => ["window", "search", "change"].map((id) => document.getElementById(id).value));
    assert.deepEqual(chosen, ["start", "FRONT", "removed"], "the address keeps what was chosen");
    assert.equal(await page.getByRole("columnheader", { name: "Service" }).getAttribute("aria-sort"), "descending");
    assert.deepEqual((await tableAgrees(page, answers, "start")).map((row) => row.service), ["frontend"]);
  });
  await page.getByLabel("Change", { exact: true }).selectOption("all");
  await agrees(page, async () => {
    const [whole] = await tableAgrees(page, answers, "start");
    assert.ok(whole.windows.start.count > merged[0].windows.start.count, "one kind of change is fewer than all");
  });

  await page.locator("#services-table").getByRole("link", { name: "shop/frontend" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "shop/frontend" }).waitFor();
  await agrees(page, async () => {
    const [shown, kinds] = [await rows(page, "#kinds-table"), answers["services by change"].services];
    assert.deepEqual(shown.map((row) => row[0]), kinds.map((row) => row.change));
    kinds.forEach(({ windows: { start } }, at) => {
      assert.equal(shown[at][1], String(start.count));
      ["p50", "p90", "p99", "p99_9", "max"].forEach((key, column) => same(shown[at][2 + column], start[key], key));
    });
  });
  await agrees(page, async () => {
    const line = (list) => page.$$eval(`${list} .rows .row`, (all) =>
      all.map((row) => [row.querySelector(".kind").textContent, row.querySelector(".pod").textContent]));
    const known = (list) => list.map((it) => [it.change, it.pod ?? "the Service itself"]);
    assert.ok(answers.changes.ended.length > 0, "nothing has ended yet");
    assert.deepEqual(await line("#timeline"), known(answers.changes.ended));
    assert.deepEqual(await line("#pending"), known(answers.changes.pending));
  });
  // A change that has ended on all nodes shows its way there, and no other does.
  await agrees(page, async () => {
    const shown = await page.$$eval("#timeline .rows .row", (all) => all.map((row) => row.querySelector(".way")?.textContent ?? null));
    const { ended } = answers.changes;
    assert.equal(shown.length, ended.length);
    assert.ok(ended.some((it) => it.nodes?.outcomes.in_effect === 12), "no change has come to all nodes yet");
    shown.forEach((text, at) => {
      assert.equal(text !== null, Boolean(ended[at].nodes), `${text} of ${JSON.stringify(ended[at])}`);
      if (text !== null) wayAgrees(text, ended[at]);
    });
    const marks = await page.locator("#timeline .share").count();
    assert.equal(marks, ended.reduce((sum, it) => sum + Object.keys(it.nodes ?? {}).filter((key) => key.endsWith("_seconds") && key !== "error_seconds").length, 0));
  });
  assert.equal(await page.locator("#nodes").isVisible(), false, "the section is of the cluster");
  await historyAgrees(page, answers);
  await readable(page);
  await accessible(page);
  await picture(page, "service-light");

  await agrees(page, async () => {
    const shown = await page.$$eval("#wrong-list .name", (all) => all.map((it) => it.textContent));
    assert.deepEqual(shown, answers["out-of-sync"].endpoints.map((it) => it.pod));
  });
  await landmarks(page);

  // It shows when it cannot reach the daemon, and when it can again.
  await page.route("**/api/**", (route) => route.abort());
  await page.getByRole("alert").getByText("The daemon cannot be reached.").waitFor();
  assert.equal(await page.locator("#health").textContent(), "", "how the watches are is not known then");
  await accessible(page);
  await page.unroute("**/api/**");
  await page.getByRole("alert").waitFor({ state: "hidden" });
  const expected = faults.filter((fault) => fault.includes("ERR_FAILED"));
  assert.ok(expected.length > 0, "the browser tells of the requests that were cut off");
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("ERR_FAILED")));

  await page.getByRole("link", { name: "all Services" }).click();
  await page.getByRole("heading", { name: "Services", exact: true }).waitFor();
  await page.goto(`${base}#/service/shop/nobody`);
  await page.getByText("No Service shop/nobody is measured, or was lately.").waitFor();
  assert.equal(await page.locator("#trouble, #tiles, #plot, #services, #service").filter({ visible: true }).count(), 0, "one sentence");
  await accessible(page);
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("404")));
});

// The messages when the daemon itself has a problem, at each width: no answer yet, an error, a watch that does not hold.
for (const size of Object.values(SIZES)) {
  await withPage(base, { size }, async (page, answers, faults) => {
    const overview = answers.overview ?? (await (await fetch(`${base}api/v1/overview`)).json());
    const answer = (status, json) => page.route("**/api/v1/overview*", (route) => route.fulfill({ status, json }));
    await answer(503, { error: "the daemon is ending" });
    await page.reload();
    await page.getByRole("alert").getByText("The daemon says: the daemon is ending.").waitFor();
    await accessible(page);
    await fits(page);
    await page.unrouteAll({ behavior: "ignoreErrors" });
    overview.watches[0] = { ...overview.watches[0], synced: false, failure: "the API server answers 403: pods is forbidden" };
    await answer(200, overview);
    await page.locator("#health.bad").getByText("pods is forbidden").waitFor();
    await accessible(page);
    await fits(page);
    await page.unrouteAll({ behavior: "ignoreErrors" });
    faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("503")));
  });
}

// Services that are wrong, as a daemon would report them: they are above the percentiles, and red if traffic goes wrong.
await withPage(base, {}, async (page) => {
  const fake = (path, change) => page.route(path, async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    change(json);
    await route.fulfill({ response, json });
  });
  let wrong = false;
  const stuck = { out_of_sync: 3, oldest_out_of_sync_seconds: 720, oldest_out_of_sync_traffic_seconds: 700, stuck: "traffic" };
  const behind = {
    agents: { connected: 11, expected: 12, silent: 1 },
    stale_services: 22,
    stale: [{ namespace: "shop", service: "cart", nodes: 7, names: ["simulated-node-01", "simulated-node-02"], age_seconds: 90 }],
  };
  await fake("**/api/v1/overview*", (overview) => {
    if (!wrong) Object.assign(overview, { late_services: 0, out_of_sync: 0, misrouted_services: 0 });
    else Object.assign(overview, stuck, { late_services: 1, misrouted_services: 1 });
    Object.assign(overview.nodes, wrong ? behind : { stale_services: 0, stale: [] });
  });
  await fake("**/api/v1/services?*only=stuck*", (answer) => {
    const [template] = answer.services.length ? answer.services : [{ windows: {}, pending: 0, oldest_pending_seconds: null, objective_seconds: 5 }];
    const row = (service, facts) => ({ ...template, namespace: "shop", service, ...facts });
    answer.services = wrong ? [row("cart", stuck), row("idle", { ...stuck, stuck: "out_of_sync" })] : [];
    answer.total = wrong ? 12 : 0;
  });
  await page.reload();
  const bad = () => page.$$eval("#tiles .tile.bad dt", (all) => all.map((it) => it.textContent));
  await page.getByText("Nothing has been wrong for longer than its objective.").waitFor();
  assert.deepEqual(await bad(), []);
  await page.getByText("No node has been behind for longer than the objective of a Service.").waitFor();
  wrong = true;
  await page.locator("#wrong-list .wrong.bad").waitFor();
  assert.deepEqual(await bad(), ["out of sync", "traffic wrong for", "pending", "oldest pending"]);
  assert.deepEqual(await page.$$eval("#wrong-list .wrong", (all) => all.map((it) => [it.querySelector(".name").textContent, it.classList.contains("bad")])),
    [["shop/cart", true], ["shop/idle", false]]);
  await page.locator("#wrong-list").getByText("and 10 more").waitFor();
  const above = await page.evaluate(() => document.getElementById("wrong").getBoundingClientRect().bottom <= document.getElementById("plot").getBoundingClientRect().top);
  assert.ok(above, "it stands above the percentiles");
  await page.getByText("11 of 12 agents connected, 1 silent.").waitFor();
  const stale = await page.locator("#nodes-stale .wrong").innerText();
  assert.equal(stale.replaceAll(/\s+/g, " "), "shop/cart 7 stale nodes simulated-node-01, simulated-node-02 and 5 more, for 90.0 s");
  await page.locator("#nodes-stale").getByText("and 21 more").waitFor();
  await readable(page);
  await accessible(page);
  for (const size of Object.values(SIZES)) {
    await page.setViewportSize(size);
    // The plot is drawn anew after a moment.
    await agrees(page, () => fits(page));
    await accessible(page);
  }
  await page.setViewportSize(SIZES.desktop);
  await picture(page, "wrong");
  await page.locator("#wrong-list").getByRole("link", { name: "shop/cart" }).click();
  await page.getByRole("heading", { name: "shop/cart" }).waitFor();
  // Answers that are still on their way have no receiver.
  await page.unrouteAll({ behavior: "ignoreErrors" });
});

for (const [name, size, scheme] of [["tablet", SIZES.tablet, "light"], ["dark", SIZES.desktop, "dark"], ["phone", SIZES.phone, "light"], ["phone-dark", SIZES.phone, "dark"]]) {
  await withPage(base, { size, scheme }, async (page, answers) => {
    await page.locator("#plot canvas").waitFor();
    await tableAgrees(page, answers, "5m");
    await readable(page);
    await accessible(page);
    await fits(page);
    await whole(page, "#services-table");
    await picture(page, name);
    await page.locator("#services-table").getByRole("link", { name: "frontend" }).click();
    await page.locator("#timeline .way").first().waitFor();
    await page.locator("#plot canvas").waitFor();
    await readable(page);
    await accessible(page);
    await fits(page);
    await picture(page, `${name}-service`);
  });
}
