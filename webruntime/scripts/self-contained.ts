/** A part of the build: makes self-contained scripts, named in a form that other bundlers find and copy. */

import { createHash } from "node:crypto";
import { build, type Plugin, type Rolldown } from "vite";

/** Code that must not be in a script that bundlers copy unchanged, or minify as a module or as a classic script. */
const FORBIDDEN = /\bimport\.meta\b|^(?:import|export)\b|;(?:import|export)\b(?!\s*\()|__vite/m;

const PRELOAD_HELPER = "\0vite/preload-helper.js";

/**
 * Build each entry into one script. The script is at the root of the output, under its name and a digest of its
 * content, so that no browser combines an old script with new modules.
 *
 * The modules of the same build name a script as `new URL("./name.js", import.meta.url)`. Other bundlers look for the
 * same form in the output: with a plain string, in a file beside the script.
 *
 * @param entries the files by the names of the scripts
 */
export function selfContained(entries: Readonly<Record<string, string>>): Plugin {
  /** The scripts' names in the modules, and in the output. */
  const names = new Map<string, string>();
  return {
    name: "gemtab-self-contained",
    enforce: "pre",
    async buildStart() {
      for (const [name, entry] of Object.entries(entries)) {
        const { code, modules } = await bundle(entry);
        if (FORBIDDEN.test(code)) this.error(`${name} is not self-contained: ${FORBIDDEN.exec(code)?.[0]}`);
        for (const module of modules) this.addWatchFile(module);
        const fileName = name.replace(/\.js$/, `-${createHash("sha256").update(code).digest("hex").slice(0, 8)}.js`);
        names.set(name, fileName);
        this.emitFile({ type: "asset", fileName, source: code });
      }
    },
    load(id) {
      // Vite's helper for dynamic imports only preloads, by names that other bundlers change.
      return id === PRELOAD_HELPER ? "export const __vitePreload = (load) => load();" : undefined;
    },
    transform(code, id) {
      if (!id.endsWith(".ts") || ![...names.keys()].some((name) => code.includes(name))) return null;
      return { code: [...names].reduce((text, [name, fileName]) => text.replaceAll(name, fileName), code), map: null };
    },
    generateBundle(_, output) {
      const chunks = Object.values(output).filter((file) => file.type === "chunk");
      for (const fileName of names.values()) {
        const naming = chunks.filter((chunk) => nameLiterally(chunk, fileName));
        if (naming.length === 0) this.error(`No module names ${fileName}.`);
        const apart = naming.find((chunk) => chunk.fileName.includes("/"));
        if (apart) this.error(`${apart.fileName} names ${fileName}, which is not beside it.`);
      }
    },
  };
}

async function bundle(entry: string): Promise<{ code: string; modules: string[] }> {
  const [built] = (await build({
    configFile: false,
    logLevel: "warn",
    publicDir: false,
    plugins: [staticImports],
    build: {
      write: false,
      target: "es2023",
      lib: { entry, formats: ["iife"], name: "gemtab" },
      rolldownOptions: { output: { codeSplitting: false } },
    },
  })) as Rolldown.RolldownOutput[];
  const [script, ...rest] = built?.output ?? [];
  if (!script || rest.length > 0) throw new Error(`${entry} became ${1 + rest.length} files instead of one.`);
  return { code: script.code, modules: script.moduleIds };
}

/**
 * Turn `const { names } = await import("…")` into a static import: a single script cannot load parts later, and only
 * static imports drop unused code.
 */
export const staticImports: Plugin = {
  name: "gemtab-static-imports",
  transform(code, id) {
    if (!/\/(webruntime\/src|site)\//.test(id)) return null;
    const found = code.matchAll(/const (\{[^}]*\}) = await import\(("[^"]+")\);/g);
    const imports = [...found].map(([, names, from]) => `import ${names} from ${from};`);
    if (imports.length === 0) return null;
    const rest = code.replace(/const \{[^}]*\} = await import\("[^"]+"\);/g, "");
    return { code: [...new Set(imports), rest].join("\n"), map: null };
  },
};

/**
 * Write the address of `name` in a chunk in the form that bundlers know. Returns whether the chunk names the script.
 */
function nameLiterally(chunk: Rolldown.OutputChunk, name: string): boolean {
  const written = new RegExp(`new URL\\((?:/\\*.*?\\*/)?\\s*["'\`]\\./${name}["'\`],\\s*import\\.meta\\.url\\)`, "g");
  const before = chunk.code;
  chunk.code = before.replace(written, `new URL("./${name}",import.meta.url)`);
  return before.search(written) >= 0;
}
