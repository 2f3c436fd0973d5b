import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["webruntime/tests/**/*.test.ts", "site/tests/**/*.test.ts"], testTimeout: 20_000 },
});
