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
  const shown = () => page.locator("#findings tbody tr:visible").count();
  seen.cells = await page.locator(".map a").count();
  seen.rows = await shown();
  await page.getByLabel("Search").fill("labels");
  seen["by text"] = await shown();
  await page.getByRole("button", { name: "Show all" }).click();
  await page.locator(".map a.leak").click();
  seen["by layer"] = await shown();
  await page.getByRole("button", { name: "Show all" }).click();
  await page.waitForFunction(() => document.querySelectorAll("#findings tbody tr[hidden]").length === 0);
  seen["after reset"] = await shown();
  // Axe runs its own script in the page, which the page's policy would refuse; the page itself was tried above.
  const audited = await (await browser.newContext({ colorScheme, bypassCSP: true })).newPage();
  await audited.goto(address);
  const { violations } = await new AxeBuilder({ page: audited }).analyze();
  seen.axe.push(...violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`));
}
const bare = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
await bare.goto(address);
seen["without script"] = await bare.locator("#findings tbody tr:visible").count();
await browser.close();
console.log(JSON.stringify(seen));
