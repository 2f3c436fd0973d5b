import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";
import { npmPackage } from "./webruntime/scripts/npm-package.ts";
import { selfContained } from "./webruntime/scripts/self-contained.ts";

const site = resolve(import.meta.dirname, "site");
const api = resolve(import.meta.dirname, "webruntime/src/api");
const engine = resolve(import.meta.dirname, "webruntime/src/engine");
const modules = resolve(import.meta.dirname, "node_modules");
const worker = resolve(import.meta.dirname, "webruntime/src/worker");

/** Every HTML page of site/ by its name. */
const pages = Object.fromEntries(
  readdirSync(site)
    .filter((file) => file.endsWith(".html"))
    .map((file) => [`page-${file.slice(0, -".html".length)}`, resolve(site, file)]),
);

/**
 * The bundles that a copy of the site offers. The host may edit the file. Servers of gemtab answer with their own list.
 */
const bundleList: Plugin = {
  name: "bundle-list",
  generateBundle() {
    this.emitFile({ type: "asset", fileName: "bundles/index.json", source: '["tiny"]\n' });
  },
};

/**
 * One build makes dist/site: the pages, and beside them the modules that other pages import: gemtab.js (the
 * runtime), gemtab-chat.js (the custom element) and gemtab-engine.js (plans and token ids alone); and the scripts of the
 * worker: gemtab-worker-*.js and gemtab-worker-media-*.js, which the worker imports when the first medium comes. All
 * addresses in it are relative, so that it can be served from any folder. dist/npm is made of the same files.
 */
export default defineConfig({
  root: site,
  base: "./",
  publicDir: false,
  // The form for browsers decodes entities by innerHTML, which pages with Trusted Types reject.
  resolve: {
    alias: { "decode-named-character-reference": resolve(modules, "decode-named-character-reference/index.js") },
  },
  plugins: [
    bundleList,
    selfContained({
      "gemtab-worker.js": resolve(worker, "worker.ts"),
      "gemtab-worker-media.js": resolve(worker, "media-script.ts"),
    }),
    npmPackage(),
  ],
  build: {
    outDir: resolve(import.meta.dirname, "dist/site"),
    emptyOutDir: true,
    target: "es2023",
    // The replacement of light-dark() for older browsers follows the system's colour scheme, not the page's.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // Inline data: addresses are blocked by the strict content security policy that pages run under.
    assetsInlineLimit: 0,
    // Preloaded files would be named by their names here, which other bundlers change.
    modulePreload: false,
    rolldownOptions: {
      input: {
        ...pages,
        gemtab: resolve(api, "index.ts"),
        "gemtab-chat": resolve(site, "gemtab-chat.ts"),
        "gemtab-engine": resolve(engine, "index.ts"),
      },
      preserveEntrySignatures: "strict",
      output: {
        entryFileNames: ({ name }) => (name.startsWith("gemtab") ? "[name].js" : "assets/[name]-[hash].js"),
        // Beside the scripts that they name.
        chunkFileNames: ({ name }) => `${name.startsWith("gemtab") ? "" : "gemtab-"}${name}-[hash].js`,
      },
    },
  },
});
