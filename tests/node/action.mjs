// Builds with the code of Docker's own actions: node action.mjs MODULES INPUT=VALUE… Prints what the action would report, as JSON.
//
// The inputs are those of docker/build-push-action: context, tags, build-args, secrets, secret-envs. The action is a thin layer
// over this toolkit; the layer's steps are here, in its order.
import { createRequire } from "node:module";
import { rmSync } from "node:fs";
import { join } from "node:path";

const [modules, ...given] = process.argv.slice(2);
const inputs = Object.fromEntries(given.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
for (const [name, value] of Object.entries(inputs)) process.env[`INPUT_${name.toUpperCase()}`] = value;

// A runner takes these lines for itself, those with a value among them.
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = (text, ...rest) => String(text).startsWith("::") || write(text, ...rest);

const require = createRequire(join(modules, "x.js"));
const { Build } = require("@docker/actions-toolkit/lib/buildx/build");
const { Context } = require("@docker/actions-toolkit/lib/context");
const { Exec } = require("@docker/actions-toolkit/lib/exec");
const { Toolkit } = require("@docker/actions-toolkit/lib/toolkit");
const { Util } = require("@docker/actions-toolkit/lib/util");

const list = (name) => Util.getInputList(name, { ignoreComma: true });
const seen = { error: null, imageID: null, digest: null };
try {
  const toolkit = new Toolkit();
  const words = ["build", "--progress", "plain"];
  for (const argument of list("build-args")) words.push("--build-arg", argument);
  words.push("--iidfile", toolkit.buildxBuild.getImageIDFilePath(), "--metadata-file", toolkit.buildxBuild.getMetadataFilePath());
  for (const secret of list("secrets")) words.push("--secret", Build.resolveSecretString(secret));
  for (const secret of list("secret-envs")) words.push("--secret", Build.resolveSecretEnv(secret));
  for (const tag of list("tags")) words.push("--tag", tag);
  words.push(inputs.context);
  const command = await toolkit.buildx.getCommand(words);
  const outcome = await Exec.getExecOutput(command.command, command.args, { ignoreReturnCode: true, silent: true });
  seen.text = outcome.stderr;
  if (outcome.exitCode !== 0) {
    // The action's own words: the last line is all that it shows.
    seen.error = `buildx failed with: ${outcome.stderr.match(/(.*)\s*$/)?.[0]?.trim() ?? "unknown error"}`;
  } else {
    seen.imageID = toolkit.buildxBuild.resolveImageID() ?? null;
    seen.digest = toolkit.buildxBuild.resolveDigest() ?? null;
  }
} finally {
  rmSync(Context.tmpDir(), { recursive: true, force: true });
}
console.log(JSON.stringify(seen));
