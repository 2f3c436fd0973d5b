/** Builds a project as its bundler does by default: node bundle.mjs BUNDLER PROJECT OUT. */

import { cp, readdir } from "node:fs/promises";
import { join } from "node:path";

const [bundler, project, out] = process.argv.slice(2);
/** webpack and esbuild get the output of the TypeScript compiler. */
const entry = join(project, "compiled/main.js");
const scripts = join(out, "js");

async function vite() {
  const { build } = await import("vite");
  await build({ root: project, logLevel: "warn", build: { outDir: out } });
}

async function webpack() {
  const { default: webpack } = await import("webpack");
  const compiler = webpack({ mode: "production", context: project, entry, output: { path: scripts }, performance: false });
  const stats = await new Promise((resolve, reject) => {
    compiler.run((error, stats) => (error ? reject(error) : resolve(stats)));
  });
  if (stats.hasErrors() || stats.hasWarnings()) throw new Error(stats.toString());
}

/** esbuild copies no files, so its users do. */
async function esbuild() {
  const { build } = await import("esbuild");
  const outfile = join(scripts, "main.js");
  await build({ entryPoints: [entry], bundle: true, format: "esm", minify: true, outfile, logLevel: "warning" });
  const gemtab = join(project, "node_modules/gemtab");
  for (const script of await readdir(gemtab)) {
    if (script.startsWith("gemtab-worker")) await cp(join(gemtab, script), join(scripts, script));
  }
}

await { vite, webpack, esbuild }[bundler]();
