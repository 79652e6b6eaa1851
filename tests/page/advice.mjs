// Drives the page of a daemon that gives advice about two workloads of a real control plane: advice.mjs BASE FOLDER

import assert from "node:assert/strict";
import { SIZES, accessible, agrees, fits, landmarks, readable, withPage } from "./browser.mjs";

const [base, folder] = process.argv.slice(2);

/** Milliseconds until the next evaluation on a busy machine: ten times as long as one takes. */
const AGAIN = 90_000;

/** Each finding on the page: severity, check and target. */
const shown = (page) => page.$$eval("#advice-list .finding summary", (all) => all.map((it) => it.textContent.split(/\s+/)));

/** The section is the last answer, finding by finding. */
const adviceAgrees = (page, answers, ofOne) => agrees(page, async () => {
  const { findings, summary, evaluated } = answers.advice;
  assert.ok(evaluated && findings.length > 0, "not judged yet");
  const told = await shown(page);
  assert.equal(told.length, findings.length);
  findings.forEach((it, at) => {
    const target = ofOne ? it.name : `${it.namespace}/${it.name}`;
    const words = [it.severity, it.check, it.kind, it.container ? `${target},` : target];
    assert.deepEqual(told[at].slice(0, 4), words);
  });
  const now = await page.locator("#advice-now").textContent();
  assert.ok(now.startsWith(`${summary.error} error${summary.error === 1 ? "" : "s"}, ${summary.warning} warning`), now);
  return findings;
});

for (const [name, size, scheme] of [["desktop", SIZES.desktop, "light"], ["phone", SIZES.phone, "dark"]]) {
  await withPage(base, { size, scheme }, async (page, answers) => {
    const findings = await adviceAgrees(page, answers, false);
    assert.deepEqual([findings[0].check, findings[0].name], ["readiness-probe-missing", "web"], "the worst comes first");
    // Opened, it has all of it, and stays open when the page asks again.
    const patched = findings.findIndex((it) => it.patch);
    assert.ok(patched >= 0, "no finding has a patch");
    const finding = page.locator("#advice-list .finding").nth(patched);
    await finding.locator("summary").click();
    const asked = answers.advice;
    for (const end = Date.now() + AGAIN; answers.advice.evaluated === asked.evaluated; await page.waitForTimeout(100)) {
      assert.ok(Date.now() < end, "it is not judged again");
    }
    const facts = await finding.locator("dd").allTextContents();
    for (const key of ["rule", "advice", "why", "cost"]) assert.ok(facts.includes(findings[patched][key]), key);
    if (findings[patched].set) assert.ok(facts.includes(findings[patched].set), "set");
    assert.deepEqual(JSON.parse(await finding.locator("pre").textContent()), findings[patched].patch.document);
    await page.locator("#advice-list .skipped summary").click();
    await page.locator("#advice-list .skipped li").getByText("too few samples").first().waitFor();
    await readable(page);
    await landmarks(page);
    await accessible(page);
    await fits(page);
    await page.screenshot({ path: `${folder}/advice-${name}.png`, fullPage: true });

    // That of one Service is about no other.
    await page.locator("#advice-list .finding").first().locator("summary").click();
    await page.locator("#advice-list .finding").first().getByRole("link", { name: "shop/web" }).click();
    await page.getByRole("heading", { name: "shop/web" }).waitFor();
    await agrees(page, async () => {
      const own = await adviceAgrees(page, answers, true);
      assert.ok(own.every((it) => it.services.includes("shop/web")), "findings of another Service");
    });
    await accessible(page);
    await fits(page);
    await page.screenshot({ path: `${folder}/advice-${name}-service.png`, fullPage: true });
  });
}
