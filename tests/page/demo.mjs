// Drives the page of a living daemon beside its simulated cluster: demo.mjs BASE FOLDER

import assert from "node:assert/strict";
import { SIZES, agrees, fits, readable, rows, same, tiles, withPage } from "./browser.mjs";

const [base, folder] = process.argv.slice(2);

// What the browser is allowed, and what somebody is told who asks for something else.
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
    assert.equal(shown[at][1], String(it.count), "count");
    ["p50", "p90", "p99", "max"].forEach((key, column) => same(shown[at][2 + column], it[key], `${shown[at][0]} ${key}`));
    assert.equal(shown[at][7], String(row.pending), "pending");
  });
  return services;
});

const headlineAgrees = (page, answers, window) => agrees(page, async () => {
  const [shown, { windows, pending, oldest_pending_seconds: oldest, services }] = [await tiles(page), answers.overview];
  for (const key of ["p50", "p99", "max"]) same(shown[key], windows[window][key], key);
  assert.equal(shown.changes, windows[window].count.toLocaleString("en"));
  assert.equal(shown.pending, String(pending));
  same(shown["oldest pending"], oldest, "oldest pending");
  assert.equal(shown.Services, String(services));
});

await withPage(base, {}, async (page, answers, faults) => {
  await page.getByText("simulated cluster").waitFor();
  await page.getByText("watches healthy").waitFor();
  // The simulated controller is slow for the first time after half a minute.
  await page.waitForFunction(() => {
    const pending = [...document.querySelectorAll("#tiles .tile")].find((tile) => tile.querySelector("dt").textContent === "pending");
    return Number(pending?.querySelector("dd").textContent) > 0 && document.querySelectorAll("#services-table tbody tr").length > 5;
  }, null, { timeout: 120_000 });
  await page.locator("#plot canvas").waitFor();
  assert.match(await page.locator("#plot").getAttribute("aria-label"), /ready: half within \d/);
  await headlineAgrees(page, answers, "5m");
  await tableAgrees(page, answers, "5m");
  await readable(page);
  await fits(page);
  await picture(page, "desktop-light");

  await page.getByLabel("Window").selectOption("last hour");
  await tableAgrees(page, answers, "1h");
  await page.getByLabel("Window").selectOption("since start");
  await headlineAgrees(page, answers, "start");

  // By mouse and by keyboard, forth and back.
  const sorted = (values) => values.every((value, at) => at === 0 || values[at - 1] >= value);
  await page.getByRole("button", { name: "p50" }).click();
  await agrees(page, async () => {
    const services = await tableAgrees(page, answers, "start");
    assert.ok(sorted(services.map((row) => row.windows.start.p50 ?? -1)), "sorted by p50");
  });
  assert.equal(await page.getByRole("columnheader", { name: "p50" }).getAttribute("aria-sort"), "descending");
  await page.getByRole("button", { name: "Service" }).focus();
  await page.keyboard.press("Enter");
  await agrees(page, async () => {
    const names = (await tableAgrees(page, answers, "start")).map((row) => `${row.namespace}/${row.service}`);
    assert.deepEqual(names, [...names].sort());
  });
  await page.keyboard.press("Enter");
  await agrees(page, async () => {
    const names = (await tableAgrees(page, answers, "start")).map((row) => `${row.namespace}/${row.service}`);
    assert.deepEqual(names, [...names].sort().reverse());
  });

  await page.getByLabel("Search").fill("FRONT");
  await page.getByText("1 Service", { exact: true }).waitFor();
  assert.deepEqual((await tableAgrees(page, answers, "start")).map((row) => row.service), ["frontend"]);
  await page.getByLabel("Change", { exact: true }).selectOption("removed");
  const merged = await tableAgrees(page, answers, "start");
  await page.getByLabel("Change", { exact: true }).selectOption("all");
  await agrees(page, async () => {
    const [whole] = await tableAgrees(page, answers, "start");
    assert.ok(whole.windows.start.count > merged[0].windows.start.count, "one kind of change is fewer than all");
  });

  await page.getByRole("link", { name: "shop/frontend" }).focus();
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
  await readable(page);
  await picture(page, "service-light");

  // It says when it cannot reach the daemon, and when it can again.
  await page.route("**/api/**", (route) => route.abort());
  await page.getByRole("alert").getByText("The daemon cannot be reached.").waitFor();
  await page.unroute("**/api/**");
  await page.getByRole("alert").waitFor({ state: "hidden" });
  const expected = faults.filter((fault) => fault.includes("ERR_FAILED"));
  assert.ok(expected.length > 0, "the browser tells of the requests that were cut off");
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("ERR_FAILED")));

  await page.getByRole("link", { name: "all Services" }).click();
  await page.getByRole("heading", { name: "Services", exact: true }).waitFor();
  await page.goto(`${base}#/service/shop/nobody`);
  await page.getByRole("alert").getByText("no Service of this name").waitFor();
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("404")));
});

for (const [name, size, scheme] of [["dark", SIZES.desktop, "dark"], ["phone", SIZES.phone, "light"], ["phone-dark", SIZES.phone, "dark"]]) {
  await withPage(base, { size, scheme }, async (page, answers) => {
    await page.locator("#plot canvas").waitFor();
    await tableAgrees(page, answers, "5m");
    await readable(page);
    await fits(page);
    await picture(page, name);
    await page.getByRole("link", { name: "frontend" }).click();
    await page.locator("#timeline .row").first().waitFor();
    await page.locator("#plot canvas").waitFor();
    await readable(page);
    await fits(page);
    await picture(page, `${name}-service`);
  });
}
