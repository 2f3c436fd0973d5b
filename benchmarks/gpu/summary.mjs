/** The tables of several runs together, short: node benchmarks/gpu/summary.mjs RESULT.json... */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { decodeTable, describe, expectedTable, fillTable, gigabytes, profileTable } from "./tables.mjs";

/** Kernels of each profile that are named. */
const KERNELS = 7;

function summary(name, { copyGBs, loaded, compared, fill = [], decode = [], profile = [] }) {
  const parts = [`=== ${name}${copyGBs ? `, copies ${copyGBs.toFixed(0)} GB/s` : ""}`];
  if (!loaded) return [...parts, "was not loaded"].join("\n");
  const dispatches = `${loaded.dispatches.fill} and ${loaded.dispatches.decode} dispatches`;
  parts.push(
    `${loaded.activation} plan, ${gigabytes(loaded.gpuBytes)} GB, ${dispatches}, loaded in ${loaded.seconds.toFixed(1)} s`,
  );
  if (compared) parts.push(expectedTable(compared));
  if (fill.length > 0) parts.push(fillTable(fill));
  if (decode.length > 0) parts.push(decodeTable(decode));
  return [...parts, ...profile.map((one) => profileTable(one, undefined, KERNELS))].join("\n");
}

const results = process.argv.slice(2).map((file) => [basename(file, ".json"), JSON.parse(readFileSync(file, "utf8"))]);
const [[, first] = []] = results;
if (first) console.log(describe(first.adapter));
for (const [name, result] of results) console.log(summary(name, result));
