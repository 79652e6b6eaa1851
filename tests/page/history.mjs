// Drives the drawing of the last hour, with a made-up hour, because a test cannot wait for one: history.mjs BASE FOLDER

import assert from "node:assert/strict";
import { SIZES, accessible, fits, readable, withPage, whole } from "./browser.mjs";
import { SLOW, STILL, hour } from "./hour.mjs";

const [base, folder] = process.argv.slice(2);

/** Where a shape lies in its drawing, from 0 to 1. */
const places = (page, shapes) => page.$$eval(shapes, (all) => all.map((it) => {
  const [own, whole] = [it.getBoundingClientRect(), it.closest(".cells").getBoundingClientRect()];
  return { left: (own.left - whole.left) / whole.width, top: own.top - whole.top, bottom: own.bottom - whole.top };
}));

const minuteOf = (place) => Math.round(place.left * 60);
const span = ([first, last]) => Array.from({ length: last - first + 1 }, (_, at) => first + at);

for (const [name, size, scheme] of [["desktop", SIZES.desktop, "light"], ["desktop-dark", SIZES.desktop, "dark"], ["tablet", SIZES.tablet, "light"],
  ["phone", SIZES.phone, "light"], ["phone-dark", SIZES.phone, "dark"]]) {
  await withPage(base, { size, scheme }, async (page) => {
    let answer = hour();
    await page.route("**/api/v1/history?*", (route) => route.fulfill({ json: answer }));
    await page.reload();
    await page.locator("#heat .miss").first().waitFor();

    // Missed objectives are marked in their minute, even if no change ended in it.
    const missed = (await places(page, "#heat .miss")).map(minuteOf);
    assert.deepEqual(missed, [...span(SLOW), ...span(STILL)]);
    const ended = new Set((await places(page, "#heat .heat")).map(minuteOf));
    assert.deepEqual(span([0, 59]).filter((minute) => !ended.has(minute)), span(STILL), "columns without a change");
    const all = answer.intervals.reduce((sum, it) => sum + it.count, 0).toLocaleString("en");
    const sums = `In the last hour ${all} changes ended; 477 missed their objective. The slowest minute began at`;
    assert.ok((await page.locator("#heat").getAttribute("aria-label")).startsWith(`Delays by the minute. ${sums}`));
    const read = () => page.locator("#heat-read").textContent();
    assert.ok((await read()).startsWith(sums));

    // The pointer shows the figures of one minute.
    const point = async (minute) => {
      const area = page.locator("#heat .cells").first();
      const { width } = await area.boundingBox();
      await area.hover({ position: { x: (width * (minute + 0.5)) / 60, y: 40 } });
    };
    await point(STILL[0]);
    assert.match(await read(), /, a minute: 0 changes ended; 68 missed their objective\.$/);
    await point(SLOW[0]);
    assert.match(await read(), /, a minute: \d+ changes ended: p50 [\d.]+ ms, p99 6\.00 s, longest 6\.00 s; 9 missed their objective\.$/);
    await page.mouse.move(0, 0);
    assert.ok((await read()).startsWith(sums));

    // The same in numbers, for people who cannot see the drawing.
    await page.locator("#history-numbers summary").focus();
    await page.keyboard.press("Enter");
    await page.locator("#history-table tbody tr").first().waitFor();
    const numbers = await page.$$eval("#history-table tbody tr", (lines) => lines.map((line) => [line.cells[1], line.cells[5]].map((it) => it.textContent)));
    assert.deepEqual(numbers, answer.intervals.map((it) => [it.count, it.missed].map(String)).reverse());
    await whole(page, "#history-table");
    await fits(page);
    await readable(page);
    await accessible(page);
    await page.screenshot({ path: `${folder}/history-${name}.png`, fullPage: true });

    // A Service has an objective: a line, with slow changes above it.
    answer = hour({ objective: 5 });
    await page.locator("#services-table").getByRole("link", { name: "frontend" }).click();
    await page.locator("#heat .objective").getByText("objective 5 s").waitFor();
    const [line] = await places(page, "#heat .objective");
    const tops = (await places(page, "#heat .heat")).filter((it) => minuteOf(it) === SLOW[0]).map((it) => it.top);
    const lower = (await places(page, "#heat .heat")).filter((it) => minuteOf(it) === 0).map((it) => it.top);
    assert.equal(tops.filter((top) => top < line.top).length, 1, "the cell of 8 s begins above 5 s, and no other");
    assert.ok(lower.every((top) => top > line.top), "a quarter of a second lies below the line");
    await fits(page);
    await accessible(page);

    // A daemon that has just started says that it knows nothing about the time before.
    answer = hour({ objective: 5, minutes: 2 });
    await page.locator("#heat").getByText("not running yet").waitFor();
    assert.match(await read(), /^Since the start \d+ changes ended; none missed its objective\./);
    await fits(page);
    await accessible(page);
    await page.unrouteAll({ behavior: "ignoreErrors" });
  });
}
