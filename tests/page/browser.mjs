// A browser in which every request is checked, and helpers for all scripts that drive the page.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const library = createRequire(`${process.env.LIBRARIES}/`);
const { chromium } = library("playwright-core");
const { source: axe } = library("axe-core");

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

export const SIZES = { desktop: { width: 1280, height: 900 }, tablet: { width: 768, height: 1024 }, phone: { width: 390, height: 844 } };

/** The shares of light that text and ground must differ by, for people with weak eyes: WCAG 2 AA. */
const CONTRAST = 4.5;

/** Opens a page with the browser's own profile, which is new; `drive` gets it and what it was answered. */
export async function withPage(base, { size = SIZES.desktop, scheme = "light" }, drive) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: FLAGS });
  try {
    const page = await browser.newPage({ viewport: size, colorScheme: scheme });
    const faults = [];
    const answers = {};
    page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(base)) faults.push(`asks elsewhere: ${request.url()}`);
    });
    page.on("response", async (response) => {
      const { pathname, searchParams } = new URL(response.url());
      if (!pathname.startsWith("/api/v1/")) return;
      // The page may be gone before the body arrives.
      const body = await response.json().catch(() => null);
      const name = pathname.slice("/api/v1/".length);
      const which = searchParams.get("only") ?? `by ${searchParams.get("by") ?? "change"}`;
      if (body) answers[name === "services" ? `services ${which}` : name] = body;
    });
    await page.goto(base);
    await drive(page, answers, faults);
    assert.deepEqual(faults, [], "the browser complains, or asked another server");
  } finally {
    await browser.close();
  }
}

/** Waits until what the page shows is what it was answered; what differs last is the error. */
export async function agrees(page, check) {
  let last = new Error("nothing was checked");
  for (const end = Date.now() + 15_000; Date.now() < end; await page.waitForTimeout(50)) {
    try {
      return await check();
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

/** Texts of all cells of a table's body, by row. */
export const rows = (page, table) => page.$$eval(`${table} tbody tr`, (all) =>
  all.map((row) => [...row.cells].map((cell) => cell.textContent)));

/** Names and values of the tiles. */
export const tiles = (page) => page.$$eval("#tiles .tile", (all) =>
  Object.fromEntries(all.map((tile) => [tile.querySelector("dt").textContent, tile.querySelector("dd").textContent])));

/** A text as the page writes durations, in seconds again. */
export function seconds(text) {
  if (text === "–") return null;
  if (text === "0") return 0;
  const [number, unit] = text.split(" ");
  const scale = { "µs": 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600 }[unit];
  assert.ok(scale, `${text} is no duration`);
  return Number(number) * scale;
}

/** The page shows three digits. */
export function same(text, expected, what) {
  const shown = seconds(text);
  if (shown === null || expected === null) return assert.equal(shown, expected, what);
  const error = Math.max(expected * 0.006, 1e-6);
  assert.ok(Math.abs(shown - expected) <= error, `${what}: the page says ${text}, the API ${expected}`);
}

/** Nothing is wider than the window. */
export async function fits(page) {
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  if (wider <= 0) return;
  const out = await page.evaluate(() => [...document.body.querySelectorAll("*")]
    .filter((it) => it.getBoundingClientRect().right > window.innerWidth).map((it) => it.outerHTML.slice(0, 200)));
  assert.fail(`the page is ${wider} pixels wider than the window: ${out.join("\n")}`);
}

/** No column is cut off. */
export async function whole(page, table) {
  const [is, has] = await page.$eval(table, (it) => [it.scrollWidth, it.parentElement.clientWidth]);
  assert.ok(is <= has, `${table} is ${is} pixels wide and has ${has}`);
}

/** Who jumps from landmark to landmark can tell them apart. */
export async function landmarks(page) {
  const names = await page.$$eval("main section, main [role=region], main nav, main form", (all) => all
    .filter((it) => it.getClientRects().length)
    .map((it) => it.getAttribute("aria-label") ?? document.getElementById(it.getAttribute("aria-labelledby"))?.textContent ?? it.id));
  assert.deepEqual(names.filter((name, at) => names.indexOf(name) !== at), [], "two landmarks of one name");
}

/** All that axe-core knows to look for: for those who hear the page, who use the keyboard, who see little. */
export async function accessible(page) {
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => window.axe.run());
  assert.ok(passes.length > 10, "axe has looked at nothing");
  const told = violations.map((it) => `${it.id}: ${it.help}\n${it.nodes.map((node) => `  ${node.html}\n  ${node.failureSummary}`).join("\n")}`);
  assert.equal(told.join("\n"), "", "axe complains");
}

/** Text can be told from its ground. */
export async function readable(page) {
  const weak = await page.evaluate((least) => {
    const colour = (text) => text.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = (element) => {
      for (let it = element; it; it = it.parentElement) {
        const found = colour(getComputedStyle(it).backgroundColor);
        if (found[3] !== 0) return found;
      }
      return [255, 255, 255];
    };
    const visible = (it) => it.getClientRects().length && !it.disabled;
    const texts = [...document.querySelectorAll("main *, header *, footer *")].filter((it) =>
      visible(it) && [...it.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim()));
    return texts.map((it) => {
      const [text, back] = [light(colour(getComputedStyle(it).color)), light(ground(it))];
      const contrast = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
      return contrast < least ? `${it.tagName} "${it.textContent.trim().slice(0, 30)}" ${contrast.toFixed(2)}` : null;
    }).filter(Boolean);
  }, CONTRAST);
  assert.deepEqual(weak, [], "too little contrast");
}
