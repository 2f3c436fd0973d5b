/** Vite's development server: node develop.mjs PROJECT CACHE BEHIND POLICY. Writes its address and runs until it is ended. */

import { createServer } from "vite";

const [root, cacheDir, behind, policy] = process.argv.slice(2);
const proxy = Object.fromEntries(["/bundles", "/examples", "/favicon.ico"].map((path) => [path, behind]));
const server = await createServer({
  root,
  cacheDir,
  logLevel: "warn",
  server: { host: "127.0.0.1", port: 0, proxy, headers: { "Content-Security-Policy": policy } },
});
await server.listen();
console.log(server.resolvedUrls.local[0]);
