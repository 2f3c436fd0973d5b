/** A visit of a spoilt bundle, by what `tests/hard` serves. */

import type { Outcome, Visit, visit } from "../../webruntime/tests/hard/visit.ts";
import { importApi } from "./site.ts";

declare global {
  var unhandled: string[];
}

/** What became of the visit; errors that nobody caught are its outcome too, but where it hangs. */
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
