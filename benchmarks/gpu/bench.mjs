/**
 * Speed of a bundle on this machine's GPU: the engine that a tab runs (dist/site), in Node on Dawn.
 *
 *   npm run bench:gpu -- BUNDLE [options]        after `make build`
 *
 *   --prompts 128,1024      tokens of the prompts that are timed
 *   --at 512,4096           positions at which answers are timed; the first is also that of the profiles
 *   --steps 64              tokens of each answer
 *   --sampled               time answers with the model's own sampling settings as well
 *   --profile fill,decode   GPU time of every kernel in a step: fill, decode, sampled
 *   --context 8192          tokens that the caches hold; the bundle's own context unless given
 *   --plan f32              auto, f16 or f32
 *   --expect FILE           compare tokens and logits with those of `python -m benchmarks.gpu.expected`
 *   --traffic FILE          bytes that dispatches read, by `python -m benchmarks.traffic`; the project's Python counts
 *                           them unless given
 *   --json FILE             write everything that was measured
 *   --no-copies             leave out the speed of copies
 *
 * Weights may be missing from the bundle's folder (see skeleton.mjs). Ends with 1 where a comparison fails.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { copySpeed, describeAdapter, openGpu } from "./dawn.mjs";
import { comparePrompt } from "./expected.mjs";
import { measureDecode, measureFill, ownSampling, PROFILE_NAMES, profile } from "./measure.mjs";
import { serveBundle } from "./serve.mjs";
import { decodeTable, describe, expectedTable, fillTable, gigabytes, profileTable } from "./tables.mjs";
import { readTraffic, Traffic } from "./traffic.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

function readOptions() {
  const text = { type: "string" };
  const flag = { type: "boolean", default: false };
  const options = {
    prompts: { ...text, default: "128,1024" },
    at: { ...text, default: "512" },
    steps: { ...text, default: "64" },
    sampled: flag,
    profile: { ...text, default: "" },
    context: text,
    plan: text,
    expect: text,
    json: text,
    traffic: text,
    "no-copies": flag,
    help: { ...flag, short: "h" },
  };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (values.help || positionals.length !== 1) usage(values.help ? 0 : 2);
  const numbers = (list) => list.split(",").filter(Boolean).map(positive);
  const profiles = values.profile.split(",").filter(Boolean);
  for (const name of profiles) {
    if (!PROFILE_NAMES.includes(name)) fail(`--profile takes ${PROFILE_NAMES.join(", ")}, not ${name}.`);
  }
  return {
    ...values,
    bundle: resolve(positionals[0]),
    prompts: numbers(values.prompts),
    at: numbers(values.at),
    steps: positive(values.steps),
    context: values.context === undefined ? undefined : positive(values.context),
    profiles,
  };
}

function positive(text) {
  const number = Number(text);
  return Number.isInteger(number) && number > 0 ? number : fail(`"${text}" is not a number of tokens.`);
}

function usage(status) {
  const [, text] = /\/\*\*\n([\s\S]*?)\n \*\//.exec(readFileSync(fileURLToPath(import.meta.url), "utf8"));
  console.log(text.replace(/^ \* ?/gm, ""));
  process.exit(status);
}

function fail(message) {
  console.error(message);
  process.exit(2);
}

/** Loads the bundle; gives the engine, its recorder, and what loading took. */
async function load({ bundle, context, plan }) {
  const { TextEngine } = await import(pathToFileURL(resolve(ROOT, "dist/site/gemtab-engine.js")).href);
  const server = await serveBundle(bundle);
  const { gpu, recorder } = openGpu();
  const begin = performance.now();
  const engine = await TextEngine.load(server.url, { gpu, context, plan });
  const seconds = (performance.now() - begin) / 1000;
  return { engine, recorder, server, loaded: { seconds, context: engine.context, ...engine.stats } };
}

async function measureAll(options, { engine, recorder }, result, say) {
  const fits = (tokens) => tokens <= engine.context;
  result.fill = [];
  for (const tokens of options.prompts.filter(fits)) result.fill.push(await measureFill(engine, tokens));
  if (result.fill.length > 0) say(fillTable(result.fill));
  const sampling = await ownSampling(engine);
  result.decode = [];
  const reach = options.at.filter((position) => fits(position + options.steps + 8));
  for (const position of reach) {
    result.decode.push(await measureDecode(engine, position, options.steps));
    if (options.sampled) result.decode.push(await measureDecode(engine, position, options.steps, sampling));
  }
  if (result.decode.length > 0) say(decodeTable(result.decode));
  await profileAll(options, { engine, recorder, sampling }, result, say);
}

async function profileAll({ profiles, at, bundle, traffic: file }, { engine, recorder, sampling }, result, say) {
  if (profiles.length === 0) return;
  if (!recorder.available) return say("This GPU has no timestamps, so no kernel can be timed.");
  const traffic = new Traffic(readTraffic(bundle, file, ROOT)[engine.stats.activation]);
  result.profile = [];
  for (const name of profiles) {
    const found = await profile(engine, recorder, traffic, name, at[0] ?? 512, sampling);
    result.profile.push(found);
    say(profileTable(found, result.copyGBs));
  }
}

async function compareAll(engine, file) {
  const compared = [];
  for (const prompt of JSON.parse(readFileSync(file, "utf8")).prompts)
    compared.push(await comparePrompt(engine, prompt));
  return compared;
}

async function main() {
  const options = readOptions();
  const result = { bundle: options.bundle, node: process.version, adapter: await describeAdapter() };
  // Also where a limit of time ends it early, what was measured stays.
  const save = () => options.json && writeFileSync(options.json, `${JSON.stringify(result)}\n`);
  const say = (text) => {
    console.log(`${text}\n`);
    save();
  };
  say(describe(result.adapter));
  if (!options["no-copies"]) {
    result.copyGBs = await copySpeed();
    say(`copies: ${result.copyGBs.toFixed(0)} GB/s, read and written together`);
  }
  const model = await load(options);
  const { seconds, activation, gpuBytes, context } = model.loaded;
  result.loaded = model.loaded;
  say(`loaded in ${seconds.toFixed(1)} s: ${activation} plan, ${context} tokens, ${gigabytes(gpuBytes)} GB on the GPU`);
  if (options.expect) {
    result.compared = await compareAll(model.engine, options.expect);
    say(expectedTable(result.compared));
  }
  await measureAll(options, model, result, say);
  save();
  model.engine.dispose();
  model.server.close();
  const wrong = (result.compared ?? []).some(({ free, steps, repeated }) => free < steps || !repeated);
  // Dawn's threads would keep the process.
  process.exit(wrong ? 1 : 0);
}

await main().catch((error) => {
  console.error(error);
  process.exit(1);
});
