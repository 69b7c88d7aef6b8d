// Uses the page of `prun ui` as a person does: node ui.mjs MODULES walk|look ADDRESS [PROCESS [FOLDER]]. Prints what was seen, as
// JSON; of a value it prints the digest alone. A look ends PROCESS, and FOLDER takes pictures.
import { createHash } from "node:crypto";
import http from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, what, address, process_id, folder] = process.argv.slice(2);
const require = createRequire(join(modules, "x.js"));
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");

const origin = new URL(address).origin;
const digest = (text) => createHash("sha256").update(text).digest("hex");
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const seen = { complaints: [], foreign: [] };

const open = async (options) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("request", (request) => { if (new URL(request.url()).origin !== origin) seen.foreign.push(request.url()); });
  await page.goto(address);
  await page.locator("#generations").waitFor();
  return { context, page };
};
const log = (page) => page.locator("#happened p").allTextContents();
// Waits until as many acts as this have ended.
const ended = (page, count) => page.waitForFunction(
  (count) => [...document.querySelectorAll("#happened p")].filter((line) => /^(done|it was not done)$/.test(line.textContent)).length >= count,
  count, { timeout: 120_000 },
);

// Every size and every scheme, with everything that axe knows; and pictures for people.
const look = async () => {
  // Axe runs its own script in the page, which the page's policy would refuse; the other walk tries the page itself.
  const { page } = await open({ bypassCSP: true, colorScheme: "light" });
  seen.axe = [];
  seen.wider = [];
  await page.getByRole("button", { name: "Reveal REDIS_PASSWORD" }).click();
  await page.locator(".shown").waitFor();
  for (const [width, height] of [[1280, 900], [400, 900]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      if (wide > width) seen.wider.push(`${width}: ${wide}`);
      const { violations } = await new AxeBuilder({ page }).analyze();
      seen.axe.push(...violations.map((one) => `${width} ${colorScheme} ${one.id}: ${one.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`));
      if (!folder) continue;
      await page.screenshot({ path: join(folder, `${width}-${colorScheme}.png`), fullPage: true });
      await page.locator(".shown").evaluate((element) => element.scrollIntoView({ block: "center" }));
      await page.screenshot({ path: join(folder, `${width}-${colorScheme}-screen.png`) });
    }
  }
  // Nobody is left behind the address, and the page says so before somebody types a value.
  if (process_id) {
    process.kill(Number(process_id), "SIGINT");
    await page.getByRole("heading", { name: "This page is closed" }).waitFor();
    seen.left = [await page.getByRole("alert").textContent(), await page.locator("input, .shown").count()];
    seen.complaints = seen.complaints.filter((text) => !text.includes("net::ERR_"));
  }
};

// One person, mostly by keyboard.
const walk = async () => {
  const { context, page } = await open({ colorScheme: "light" });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  seen.address = page.url();
  seen.kept = await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]);
  seen.html = await page.content();
  const shown = () => page.locator(".shown").allTextContents();
  const press = async (name, table) => {
    const place = table === undefined ? page : page.getByRole("table", { name: table });
    await place.getByRole("button", { name, exact: true }).focus();
    await page.keyboard.press("Enter");
  };
  await press("Reveal REDIS_PASSWORD");
  await page.locator(".shown").waitFor();
  seen.revealed = (await shown()).map(digest);
  await press("Reveal APP_KEY", "Environment secrets");
  await page.waitForFunction(() => document.querySelector(".shown")?.id.endsWith("APP_KEY-value"));
  seen.second = (await shown()).map(digest);
  await press("Hide APP_KEY", "Environment secrets");
  seen.hidden = await shown();
  await press("Copy REDIS_URL");
  await page.waitForFunction(() => document.getElementById("happened").textContent.includes("is in the clipboard"));
  seen.copied = digest(await page.evaluate(() => navigator.clipboard.readText()));
  seen.unshown = await shown();
  // The key is not where a script of another page could look; this asks the page's own requests for it, for the worst case.
  const [request] = await Promise.all([page.waitForRequest(`${origin}/look`), press("Look again")]);
  const key = request.headers()["prun-key"];
  await attack(context, key);

  await press("Set STRIPE_KEY");
  seen.focused = await page.evaluate(() => document.activeElement.id);
  await page.keyboard.type(process.env.NEW_VALUE);
  await page.keyboard.press("Enter");
  await ended(page, 1);
  seen.emptied = await page.locator("#set-value").inputValue();
  await press("Reveal STRIPE_KEY", "Environment secrets");
  await page.locator(".shown").waitFor();
  seen.changed = (await shown()).map(digest);
  await press("Rotate cache");
  await ended(page, 2);
  await press("Restart the app");
  await ended(page, 3);
  seen.log = await log(page);
  seen.after = await page.content();

  // The address was used, and a page that is loaded again has no key.
  await page.reload();
  await page.getByRole("heading", { name: "This page is closed" }).waitFor();
  const again = await context.newPage();
  await again.goto(address);
  await again.getByRole("heading", { name: "This page is closed" }).waitFor();
};

// Another program on another port of the same address, with a page of its own, which even knows the key.
const attack = async (context, key) => {
  const server = http.createServer((_, response) => response.setHeader("content-type", "text/html").end("<title>other</title>"));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  seen.attacks = await page.evaluate(async ({ origin, key }) => {
    const results = {};
    const asks = { "/value/injected": "reveal\nREDIS_PASSWORD", "/value/environment": "reveal\nAPP_KEY", "/rotate": "cache", "/look": "" };
    for (const [path, body] of Object.entries(asks)) {
      for (const mode of ["cors", "no-cors"]) {
        const headers = mode === "cors" ? { "Prun-Key": key } : {};
        results[`${mode} ${path}`] = await fetch(origin + path, { method: "POST", mode, headers, body })
          .then(async (response) => `${response.type} ${(await response.text()).length}`, () => "refused");
      }
    }
    results.script = await new Promise((resolve) => {
      const script = document.createElement("script");
      [script.src, script.onload, script.onerror] = [`${origin}/page.js`, () => resolve("loaded"), () => resolve("refused")];
      document.head.append(script);
    });
    const frame = document.createElement("iframe");
    frame.src = `${origin}/`;
    await new Promise((resolve) => { frame.onload = frame.onerror = resolve; document.body.append(frame); });
    results.frame = frame.contentDocument === null ? "not ours" : "ours";
    return results;
  }, { origin, key });
  // The frame holds the browser's own word about the refusal, and nothing of the page.
  seen.framed = page.frames().slice(1).map((frame) => frame.url().startsWith("chrome-error:"));
  // A form needs no permission of anybody; it leaves the page, so it comes last.
  await page.evaluate((origin) => {
    document.body.innerHTML = `<form method="post" enctype="text/plain" action="${origin}/rotate"><input name="cache" value=""></form>`;
    document.forms[0].submit();
  }, origin);
  await page.waitForURL(`${origin}/rotate`);
  seen.attacks.form = await page.locator("body").textContent();
  await page.close();
  // What no browser would send.
  const send = (headers, method = "POST") => new Promise((resolve) => {
    const request = http.request(`${origin}/value/injected`, { method, headers }, (response) => {
      let text = "";
      response.on("data", (piece) => { text += piece; }).on("end", () => resolve(`${response.statusCode} ${text.trim()}`));
    });
    request.end("reveal\nREDIS_PASSWORD");
  });
  const { host, port } = new URL(origin);
  seen.sent = [
    await send({ host, origin }),
    await send({ host, origin, "prun-key": "a".repeat(48) }),
    await send({ host, "prun-key": key }),
    await send({ host, origin: "null", "prun-key": key }),
    await send({ host: `localhost:${port}`, origin, "prun-key": key }),
    await send({ host: `127.0.0.1:${Number(port) + 1}`, origin, "prun-key": key }),
    await send({ host, origin, "prun-key": key }, "PUT"),
  ];
  server.close();
  // The browser's own complaints about what it refused are no complaints about the page.
  seen.complaints = [];
  seen.foreign = [];
};

await (what === "walk" ? walk() : look());
await browser.close();
console.log(JSON.stringify(seen));
