import { resolve } from "node:path";
import { defineConfig } from "vite";

/** Builds one module of the tab's text code, for corpus tests. */
export default defineConfig({
  root: import.meta.dirname,
  logLevel: "error",
  build: {
    lib: { entry: resolve(import.meta.dirname, "text-entry.ts"), formats: ["es"], fileName: "text" },
    target: "es2023",
  },
});
