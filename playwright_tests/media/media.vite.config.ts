import { resolve } from "node:path";
import { defineConfig } from "vite";

/** One module of the code that reads media, for tests that call its functions. */
export default defineConfig({
  root: import.meta.dirname,
  logLevel: "error",
  build: {
    lib: {
      entry: resolve(import.meta.dirname, "../../webruntime/src/input/media.ts"),
      formats: ["es"],
      fileName: "media",
    },
    target: "es2023",
    rolldownOptions: { output: { codeSplitting: false } },
  },
});
