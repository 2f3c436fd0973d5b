/**
 * The host for a browser: `/site/`, `/scripts/` and, below `/bundles/`, folders with their own faults. Writes its
 * address.
 */

import { writeSync } from "node:fs";
import { below, faultFor, readFaults, serveFiles } from "./host.ts";

const [site = "", scripts = "", bundles = ""] = process.argv.slice(2);
const roots: Record<string, string> = { site, scripts, bundles };

const split = (path: string) => /^(\w+)\/(.*)$/s.exec(path) ?? [];

const address = await serveFiles(
  (path) => {
    const [, root = "", rest = ""] = split(path);
    if (path === "") return below(scripts, "index.html");
    return Object.hasOwn(roots, root) ? below(roots[root] ?? "", rest) : undefined;
  },
  (path) => {
    const [, name = "", file = ""] = /^bundles\/([^/]+\/[^/]+|[^/]+)\/(.*)$/s.exec(path) ?? [];
    const folder = name && below(bundles, name);
    return folder ? faultFor(readFaults(folder), file) : undefined;
  },
);
writeSync(1, `${address}\n`);
