/**
 * A part of the build: dist/npm, the folder that is packed for npm. It holds the modules of dist/site and their
 * imports, the worker's scripts, the declarations of dist/types, and, in cdn/, each module again as one file. It holds
 * no demo page and nothing that only tests use.
 */

import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, normalize, resolve } from "node:path";
import { build, type Plugin, type ResolvedConfig } from "vite";
import { staticImports } from "./self-contained.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const SITE = join(ROOT, "dist/site");
const TYPES = join(ROOT, "dist/types");
const OUT = join(ROOT, "dist/npm");
const API = join(ROOT, "webruntime/src/api");

interface Entry {
  /** The name in dist/site. */
  module: string;
  source: string;
  /** Whether the module is also built as one file. */
  oneFile: boolean;
}

const ENTRIES: Readonly<Record<string, Entry>> = {
  ".": { module: "gemtab.js", source: "webruntime/src/api/index.ts", oneFile: true },
  "./chat": { module: "gemtab-chat.js", source: "site/gemtab-chat.ts", oneFile: true },
  "./engine": { module: "gemtab-engine.js", source: "webruntime/src/engine/index.ts", oneFile: false },
};

/** Fields of package.json that the repository and the package share. */
const KEPT = ["name", "version", "description", "keywords", "license", "repository", "type"];

/** Return the files of dist/site that a module or a script names. */
const NAMED = /["'`]\.\/(gemtab[\w.-]*\.js)["'`]/g;

/** Return the other files that a declaration names. */
const DECLARED = /((?:from|import)\s*\(?\s*")(\.[^"]+)\.ts(")/g;

/** Make dist/npm after dist/site. dist/types must exist before. Not in watch mode. */
export function npmPackage(): Plugin {
  let config: ResolvedConfig;
  return {
    name: "gemtab-npm-package",
    configResolved(resolved) {
      config = resolved;
    },
    async closeBundle(error) {
      if (error || this.meta.watchMode) return;
      await rm(OUT, { recursive: true, force: true });
      await copyModules();
      await copyDeclarations();
      for (const entry of Object.values(ENTRIES)) if (entry.oneFile) await buildOneFile(entry, config);
      await writeManifest();
      await cp(join(ROOT, "webruntime/npm/README.md"), join(OUT, "README.md"));
      await cp(join(ROOT, "LICENSE"), join(OUT, "LICENSE"));
    },
  };
}

async function copyModules(): Promise<void> {
  const first = Object.values(ENTRIES).map(({ module }) => module);
  const modules = await reached(SITE, first, (_, text) => captured(text, NAMED, 1));
  for (const [name, text] of modules) await put(name, text);
}

/** Declarations name each other by ".js", which compilers before TypeScript 5 read too. */
async function copyDeclarations(): Promise<void> {
  const first = Object.values(ENTRIES).map(({ source }) => declarationOf(source));
  const named = (name: string, text: string) =>
    captured(text, DECLARED, 2).map((path) => normalize(join(dirname(name), `${path}.d.ts`)));
  for (const [name, text] of await reached(TYPES, first, named)) {
    await put(join("types", name), text.replace(DECLARED, "$1$2.js$3"));
  }
}

/** Return the files below `folder` that the first ones name, directly or indirectly, each with its text. */
async function reached(
  folder: string,
  first: readonly string[],
  named: (name: string, text: string) => string[],
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const queue = [...first];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (files.has(name)) continue;
    const text = await readFile(join(folder, name), "utf8");
    files.set(name, text);
    queue.push(...named(name, text));
  }
  return files;
}

const captured = (text: string, pattern: RegExp, group: number): string[] =>
  [...text.matchAll(pattern)].map((match) => match[group] ?? "");

const declarationOf = (source: string): string => source.replace(/\.ts$/, ".d.ts");

/** These modules need the same browsers and packages as the site's build. */
async function buildOneFile({ module, source }: Entry, config: ResolvedConfig): Promise<void> {
  await build({
    configFile: false,
    root: ROOT,
    logLevel: "warn",
    publicDir: false,
    resolve: { alias: config.resolve.alias },
    plugins: [scriptsWithin, staticImports],
    build: {
      outDir: join(OUT, "cdn"),
      emptyOutDir: false,
      target: config.build.target,
      cssTarget: config.build.cssTarget,
      modulePreload: false,
      lib: { entry: join(ROOT, source), formats: ["es"], fileName: () => module },
      rolldownOptions: { output: { codeSplitting: false, minify: true } },
    },
  });
}

const PREFIX = "gemtab:";

/** Replace scripts.ts by scripts-within.ts, and insert the text of both scripts. */
const scriptsWithin: Plugin = {
  name: "gemtab-scripts-within",
  enforce: "pre",
  resolveId(id, importer) {
    if (id.startsWith(PREFIX)) return `\0${id}`;
    const isScripts = id === "./scripts.ts" && importer !== undefined && dirname(importer) === API;
    return isScripts ? join(API, "scripts-within.ts") : undefined;
  },
  load(id) {
    return id.startsWith(`\0${PREFIX}`) ? scriptText(id.slice(PREFIX.length + 1)) : undefined;
  },
};

/** Return the script of this name in dist/site, as a module of its text. */
async function scriptText(name: string): Promise<string> {
  const files = await readdir(SITE);
  const file = files.find((each) => each.startsWith(name) && /^-[0-9a-f]{8}\.js$/.test(each.slice(name.length)));
  if (!file) throw new Error(`dist/site has no ${name}-*.js.`);
  return `export default ${JSON.stringify(await readFile(join(SITE, file), "utf8"))};`;
}

async function writeManifest(): Promise<void> {
  const root: Record<string, unknown> = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const exports = Object.entries(ENTRIES).map(([name, { module, source }]) => [
    name,
    { types: `./types/${declarationOf(source)}`, default: `./${module}` },
  ]);
  const manifest = {
    ...Object.fromEntries(KEPT.map((key) => [key, root[key]])),
    exports: { ...Object.fromEntries(exports), "./package.json": "./package.json" },
    // Importing gemtab/chat defines the element.
    sideEffects: ["./gemtab-chat*.js", "./cdn/*.js"],
  };
  await put("package.json", `${JSON.stringify(manifest, undefined, 2)}\n`);
}

async function put(name: string, text: string): Promise<void> {
  const path = join(OUT, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
