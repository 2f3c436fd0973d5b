/**
 * Makes dist/npm, the folder that is packed for npm, of dist/site and dist/types: the three modules with what they import and
 * the scripts of the worker, their declarations, and in cdn/ the modules once more, each as one file. Run it after the
 * build: `npm run build` does. No page comes along, and nothing that only tests use.
 */

import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, normalize, relative, resolve } from "node:path";
import { build, loadConfigFromFile } from "vite";

const ROOT = resolve(import.meta.dirname, "../..");
const SITE = join(ROOT, "dist/site");
const TYPES = join(ROOT, "dist/types");
const OUT = join(ROOT, "dist/npm");
const API = join(ROOT, "webruntime/src/api");

/** Each entry of the package: its module in dist/site, its source, and whether it is also made into one file. */
const ENTRIES = {
  ".": { module: "gemtab.js", source: "webruntime/src/api/index.ts", oneFile: true },
  "./chat": { module: "gemtab-chat.js", source: "site/gemtab-chat.ts", oneFile: true },
  "./engine": { module: "gemtab-engine.js", source: "webruntime/src/engine/index.ts", oneFile: false },
};

/** Fields of the repository's package.json that are the package's too. */
const KEPT = ["name", "version", "description", "keywords", "license", "repository", "type"];

/** Names of files of dist/site that a module or script names. */
const NAMED = /["'`]\.\/(gemtab[\w.-]*\.js)["'`]/g;
/** Declarations of other files that a declaration names: in "from", "import" and import types. */
const DECLARED = /((?:from|import)\s*\(?\s*")(\.[^"]+)\.ts(")/g;

/** The files below `from` that are reached from the first ones by `named`, each with its text. */
async function reached(from, first, named) {
  const files = new Map();
  for (const queue = [...first]; queue.length > 0; ) {
    const name = queue.shift();
    if (files.has(name)) continue;
    const text = await readFile(join(from, name), "utf8");
    files.set(name, text);
    queue.push(...named(name, text));
  }
  return files;
}

async function copyModules() {
  const first = Object.values(ENTRIES).map(({ module }) => module);
  const modules = await reached(SITE, first, (_, text) => [...text.matchAll(NAMED)].map(([, name]) => name));
  for (const [name, text] of modules) await put(name, text);
}

/** Declarations name each other by ".js", as every compiler since TypeScript 4.7 reads them. */
async function copyDeclarations() {
  const first = Object.values(ENTRIES).map(({ source }) => declarationOf(source));
  const named = (name, text) =>
    [...text.matchAll(DECLARED)].map(([, , path]) => normalize(join(dirname(name), `${path}.d.ts`)));
  for (const [name, text] of await reached(TYPES, first, named)) {
    await put(join("types", name), text.replace(DECLARED, "$1$2.js$3"));
  }
}

const declarationOf = (source) => source.replace(/\.ts$/, ".d.ts");

/** The text of the script of this name, as a module. */
async function scriptText(name) {
  const files = await readdir(SITE);
  const file = files.find((each) => each.startsWith(`${name}-`) && /^-[0-9a-f]{8}\.js$/.test(each.slice(name.length)));
  if (!file) throw new Error(`dist/site has no ${name}-*.js: run \`npm run build\`.`);
  return `export default ${JSON.stringify(await readFile(join(SITE, file), "utf8"))};`;
}

const PREFIX = "gemtab:";

const scriptsWithin = {
  name: "gemtab-scripts-within",
  enforce: "pre",
  resolveId(id, importer) {
    if (id.startsWith(PREFIX)) return `\0${id}`;
    const isScripts = id === "./scripts.ts" && importer && dirname(importer) === API;
    return isScripts ? join(API, "scripts-within.ts") : undefined;
  },
  load(id) {
    return id.startsWith(`\0${PREFIX}`) ? scriptText(id.slice(PREFIX.length + 1)) : undefined;
  },
};

/** What the site's build says of browsers and of packages holds for these modules too. */
async function buildOneFile({ module, source }, { resolve: alias, build: { target, cssTarget } }) {
  await build({
    configFile: false,
    root: ROOT,
    logLevel: "warn",
    publicDir: false,
    resolve: alias,
    plugins: [scriptsWithin],
    build: {
      outDir: join(OUT, "cdn"),
      emptyOutDir: false,
      target,
      cssTarget,
      modulePreload: false,
      lib: { entry: join(ROOT, source), formats: ["es"], fileName: () => module },
      rolldownOptions: { output: { codeSplitting: false, minify: true } },
    },
  });
}

async function writeManifest() {
  const root = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const exports = Object.entries(ENTRIES).map(([name, { module, source }]) => [
    name,
    { types: `./types/${declarationOf(source)}`, default: `./${module}` },
  ]);
  const manifest = {
    ...Object.fromEntries(KEPT.filter((key) => key in root).map((key) => [key, root[key]])),
    exports: { ...Object.fromEntries(exports), "./package.json": "./package.json" },
    // Importing gemtab/chat defines the element.
    sideEffects: ["./gemtab-chat*.js", "./cdn/*.js"],
  };
  await put("package.json", `${JSON.stringify(manifest, undefined, 2)}\n`);
}

async function put(name, text) {
  await mkdir(dirname(join(OUT, name)), { recursive: true });
  await writeFile(join(OUT, name), text);
}

await rm(OUT, { recursive: true, force: true });
await copyModules();
await copyDeclarations();
const site = await loadConfigFromFile({ command: "build", mode: "production" }, join(ROOT, "vite.config.ts"));
for (const entry of Object.values(ENTRIES)) if (entry.oneFile) await buildOneFile(entry, site.config);
await writeManifest();
await cp(join(ROOT, "webruntime/npm/README.md"), join(OUT, "README.md"));
await cp(join(ROOT, "LICENSE"), join(OUT, "LICENSE"));
console.log(`${relative(ROOT, OUT)}: ${(await readdir(OUT, { recursive: true })).length} files`);
