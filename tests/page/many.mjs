// Drives the page with 10,000 Services, one of which has a script as its name: many.mjs BASE FOLDER

import assert from "node:assert/strict";
import { SIZES, accessible, agrees, fits, rows, same, tiles, withPage } from "./browser.mjs";

const [base, folder] = process.argv.slice(2);

/** Milliseconds from a key to the table that it asks for, of a build without optimization on a busy machine. */
const TIMEOUT = 10_000;

const names = async (page) => (await rows(page, "#services-table")).map((row) => row[0]);

for (const [name, size] of Object.entries(SIZES)) {
  await withPage(base, { size }, async (page, answers) => {
    await page.getByText("10,001 Services").waitFor({ timeout: TIMEOUT });
    await agrees(page, async () => {
      assert.equal((await names(page)).length, 50, "one page of rows");
      assert.equal(await page.locator("#nodes").isVisible(), false, "there are no agents");
      assert.equal((await tiles(page)).Services, "0", "nothing is watched, all is synthetic");
      assert.equal((await tiles(page))["out of sync"], "–", "nothing is watched, so that nothing is known");
      assert.match(await page.locator("#wrong-list").textContent(), /is not known/);
      assert.equal(await page.locator("#page").textContent(), "1 – 50 of 10,001");
    });
    const elements = await page.evaluate(() => document.querySelectorAll("*").length);
    assert.ok(elements < 2_000, `${elements} elements`);
    await fits(page);
    await accessible(page);
    await page.screenshot({ path: `${folder}/many-${name}.png`, fullPage: true });

    // The slowest of them are known: see tests/page.rs.
    const [slowest] = await rows(page, "#services-table");
    assert.equal(slowest[0], "team-99/service-9999");
    same(slowest[8], 9.999, "p99 of the slowest");

    const first = await names(page);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByText("51 – 100 of 10,001").waitFor({ timeout: TIMEOUT });
    const second = await names(page);
    assert.ok(second.every((it) => !first.includes(it)), "the second page repeats the first");
    await page.reload();
    await page.getByText("51 – 100 of 10,001").waitFor({ timeout: TIMEOUT });
    assert.deepEqual(await names(page), second, "the address keeps the page");
    await page.getByRole("button", { name: "Previous" }).click();
    await page.getByText("1 – 50 of 10,001").waitFor({ timeout: TIMEOUT });

    const started = Date.now();
    await page.getByLabel("Search").fill("service-77");
    await page.getByText("111 Services").waitFor({ timeout: TIMEOUT });
    console.log(`${name}: searched 10,001 Services in ${Date.now() - started} ms`);
    await page.getByLabel("Search").fill("nothing-here");
    await page.getByText("0 Services", { exact: true }).waitFor({ timeout: TIMEOUT });

    await page.getByLabel("Search").fill("<img");
    await page.getByText("1 Service", { exact: true }).waitFor({ timeout: TIMEOUT });
    assert.deepEqual(await names(page), ["team-x/<img src=x onerror=alert(1)>"]);
    await page.getByRole("link", { name: "<img" }).click();
    await page.getByRole("heading", { name: "team-x/<img src=x onerror=alert(1)>" }).waitFor({ timeout: TIMEOUT });
    await agrees(page, async () => assert.ok(answers.changes, "asked for changes"));
    assert.equal(await page.locator("img, main script").count(), 0, "a name has become an element");
  });
}
