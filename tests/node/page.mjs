// Opens a report in Chromium as a reader would: node page.mjs MODULES FILE. Prints what was seen, as JSON.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, file] = process.argv.slice(2);
const require = createRequire(join(modules, "x.js"));
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");

const address = pathToFileURL(file).href;
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const seen = { requests: [], complaints: [], dialogs: 0, axe: [] };
for (const colorScheme of ["light", "dark"]) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  page.on("request", (request) => { if (request.url() !== address) seen.requests.push(request.url()); });
  page.on("console", (message) => seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("dialog", (dialog) => { seen.dialogs += 1; return dialog.dismiss(); });
  await page.goto(address);
  const rows = "#findings .places > li";
  const shown = () => page.locator(`${rows}:visible`).count();
  seen.layers = await page.locator(".layers > li").count();
  seen.rows = await shown();
  await page.getByLabel("Search").fill("labels");
  seen["by text"] = await shown();
  await page.getByRole("button", { name: "Show all" }).click();
  await page.locator(".layers a[data-layer]").click();
  seen["by layer"] = await shown();
  await page.getByRole("button", { name: "Show all" }).click();
  await page.waitForFunction((rows) => document.querySelectorAll(`${rows}[hidden]`).length === 0, rows);
  seen["after reset"] = await shown();
  // By keyboard alone: the name of a layer is a button.
  await page.locator(".layers a[data-layer]").focus();
  await page.keyboard.press("Space");
  seen["by keyboard"] = await shown();
  // What to do stands on the first screen, and nothing is wider than any screen.
  seen.above ??= [];
  seen.wider ??= [];
  for (const [width, height] of [[400, 800], [1280, 800]]) {
    await page.setViewportSize({ width, height });
    await page.evaluate(() => window.scrollTo(0, 0));
    const box = await page.locator(".todo").boundingBox();
    if (box.y + box.height > height) seen.above.push(`${width}: the last line ends at ${box.y + box.height}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) seen.wider.push(`${width}: ${wide}`);
  }
  // Axe runs its own script in the page, which the page's policy would refuse; the page itself was tried above.
  const audited = await (await browser.newContext({ colorScheme, bypassCSP: true })).newPage();
  await audited.goto(address);
  const { violations } = await new AxeBuilder({ page: audited }).analyze();
  seen.axe.push(...violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`));
}
const bare = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
await bare.goto(address);
seen["without script"] = await bare.locator("#findings .places > li:visible").count();
await browser.close();
console.log(JSON.stringify(seen));
