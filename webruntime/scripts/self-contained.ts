/** A part of the build: scripts that hold all that they need, named so that other bundlers find and copy them. */

import { posix } from "node:path";
import { build, type Plugin, type Rolldown } from "vite";

/** What must not be in a script that bundlers copy as it is, and minify as a module or as none. */
const FORBIDDEN = /\bimport\.meta\b|^(?:import|export)\b|;(?:import|export)\b(?!\s*\()|__vite/m;

const PRELOAD_HELPER = "\0vite/preload-helper.js";

/**
 * Builds each entry into one script, which lies at the root of the output under its name.
 *
 * The modules of the same build name a script as `new URL("./name", import.meta.url)`. That form is in the output too,
 * where other bundlers look for it: with a plain string, and relative to the file that it stands in.
 *
 * @param entries the files by the names of the scripts
 */
export function selfContained(entries: Readonly<Record<string, string>>): Plugin {
  return {
    name: "gemtab-self-contained",
    enforce: "pre",
    async buildStart() {
      for (const [fileName, entry] of Object.entries(entries)) {
        const { code, modules } = await bundle(entry);
        if (FORBIDDEN.test(code)) this.error(`${fileName} is not self-contained: ${FORBIDDEN.exec(code)?.[0]}`);
        for (const module of modules) this.addWatchFile(module);
        this.emitFile({ type: "asset", fileName, source: code });
      }
    },
    load(id) {
      // Vite's helper for dynamic imports only preloads, by names that other bundlers change.
      return id === PRELOAD_HELPER ? "export const __vitePreload = (load) => load();" : undefined;
    },
    generateBundle(_, output) {
      for (const name of Object.keys(entries)) {
        const found = Object.values(output).filter((file) => file.type === "chunk" && nameLiterally(file, name));
        if (found.length === 0) this.error(`No module names ${name}.`);
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
 * `const { names } = await import("…")` as a static import: in one script nothing can come later, and only of static imports
 * is what nobody uses left out.
 */
const staticImports: Plugin = {
  name: "gemtab-static-imports",
  transform(code, id) {
    if (!id.includes("/webruntime/src/")) return null;
    const found = code.matchAll(/const (\{[^}]*\}) = await import\(("[^"]+")\);/g);
    const imports = [...found].map(([, names, from]) => `import ${names} from ${from};`);
    if (imports.length === 0) return null;
    const rest = code.replace(/const \{[^}]*\} = await import\("[^"]+"\);/g, "");
    return { code: [...new Set(imports), rest].join("\n"), map: null };
  },
};

/** Brings the address of `name` in a chunk into the form that bundlers know; says whether there is one. */
function nameLiterally(chunk: Rolldown.OutputChunk, name: string): boolean {
  const written = new RegExp(`new URL\\((?:/\\*.*?\\*/)?\\s*["'\`]\\./${name}["'\`],\\s*import\\.meta\\.url\\)`, "g");
  const path = posix.relative(posix.dirname(chunk.fileName), name);
  const literal = `new URL("${path.startsWith(".") ? path : `./${path}`}",import.meta.url)`;
  const before = chunk.code;
  chunk.code = before.replace(written, literal);
  return before.search(written) >= 0;
}
