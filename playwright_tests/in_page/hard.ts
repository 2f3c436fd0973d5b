/** Visits a damaged bundle from the server of `tests/hard`. */

import type { Outcome, Visit, visit } from "../../webruntime/tests/hard/visit.ts";
import { importApi } from "./site.ts";

declare global {
  var unhandled: string[];
}

/** Return the outcome of the visit. An uncaught error is an outcome too, unless the visit hangs. */
export async function visitOnce(asked: Visit): Promise<Outcome> {
  globalThis.unhandled = [];
  globalThis.onunhandledrejection = ({ reason }) => void unhandled.push(`${reason}`);
  globalThis.onerror = (message) => void unhandled.push(`${message}`);
  const api = await importApi(new URL("/site/", location.href).href);
  const scripts: { visit: typeof visit } = await import(new URL("/scripts/visit.mjs", location.href).href);
  const outcome = await scripts.visit(api, asked);
  if (unhandled.length === 0 || outcome.outcome === "hang") return outcome;
  return { outcome: "untyped", name: "unhandled", message: unhandled.join("; ") };
}
