// Validates a SARIF file with the standard's own tool: node sarif.mjs MODULES FILE. Prints its complaints.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [modules, file] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "sarif-"));
const out = join(folder, "validated.sarif");
try {
  execFileSync(
    join(modules, "@microsoft/sarif-multitool-linux/Sarif.Multitool"),
    ["validate", file, "--output", out, "--log", "ForceOverwrite"],
    { env: { ...process.env, DOTNET_SYSTEM_GLOBALIZATION_INVARIANT: "1", DOTNET_BUNDLE_EXTRACT_BASE_DIR: folder }, stdio: "pipe" },
  );
} catch (error) {
  console.log("error: the validator failed", String(error.stdout));
}
const run = JSON.parse(readFileSync(out, "utf8")).runs[0];
for (const result of run.results ?? []) {
  // A result without a level is a warning, or what its rule says.
  const level = result.level ?? run.tool.driver.rules?.[result.ruleIndex]?.defaultConfiguration?.level ?? "warning";
  console.log(level, result.ruleId, JSON.stringify(result.message));
}
rmSync(folder, { recursive: true });
