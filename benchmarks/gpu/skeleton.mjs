/**
 * Bundles without their weights: a bundle of gigabytes travels as a megabyte or two.
 *
 *   node benchmarks/gpu/skeleton.mjs strip BUNDLE OUT   copy BUNDLE without its weights; the manifest's digests become
 *                                                       those of made-up weights, so that the engine still checks
 *   node benchmarks/gpu/skeleton.mjs grow BUNDLE...     write the made-up weights (bench.mjs needs none of that: it
 *                                                       serves them as they are asked for)
 */

import { createHash } from "node:crypto";
import { cpSync, createWriteStream, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isWeights, MadeUpWeights } from "./weights.mjs";

function strip(source, out) {
  cpSync(source, out, { recursive: true, errorOnExist: true, force: false, filter: (path) => !isWeights(path) });
  const weights = new MadeUpWeights(out);
  const path = join(out, "gemtab.json");
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  let left = 0;
  for (const name of weights.files) {
    manifest.files[name].sha256 = digests(weights, name, manifest.files[name]);
    left += manifest.files[name].bytes;
  }
  writeFileSync(path, JSON.stringify(manifest));
  console.log(`${out}: ${(left / 1e9).toFixed(2)} GB of weights left behind`);
}

function digests(weights, name, { bytes, slice_bytes: step }) {
  const found = [];
  for (let start = 0; start < bytes; start += step) {
    const hash = createHash("sha256");
    for (const part of weights.read(name, start, Math.min(start + step, bytes))) hash.update(part);
    found.push(hash.digest("hex"));
  }
  return found;
}

async function grow(folder) {
  const weights = new MadeUpWeights(folder);
  for (const name of weights.files) {
    await pipeline(Readable.from(weights.read(name, 0, weights.bytes(name))), createWriteStream(join(folder, name)));
  }
  console.log(`${folder}: the weights are there`);
}

const [command, ...folders] = process.argv.slice(2);
if (command === "strip" && folders.length === 2) {
  strip(folders[0], folders[1]);
} else if (command === "grow" && folders.length > 0) {
  for (const folder of folders) await grow(folder);
} else {
  console.error("Usage: skeleton.mjs strip BUNDLE OUT | skeleton.mjs grow BUNDLE...");
  process.exitCode = 2;
}
